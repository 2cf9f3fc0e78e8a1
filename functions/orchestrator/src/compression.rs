//! Compresses answers. Lambda answers with 6 MB at most, and a compressed log of that size has about 40 MB of lines.
//!
//! Brotli is not among the encodings. It compresses no better than zstd, every client that accepts it accepts gzip too, and its encoder
//! would make the function's package larger by half a megabyte.

use std::io::{self, Write};

use axum::http::{HeaderMap, HeaderValue, header};
use flate2::{Compression, write::GzEncoder};

/// Bytes below which an answer is not compressed, because it fits into a network packet.
const MIN_SIZE: usize = 1024;

/// A fast level, because the time of a function's processor is scarcer than that of its network.
const ZSTD_LEVEL: i32 = 1;

/// The encodings of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Zstd,
    Gzip,
    Identity,
}

impl Encoding {
    /// The one of these that a caller prefers, by its header `Accept-Encoding` (RFC 9110, section 12.5.3). Among equals, zstd, which is
    /// the faster.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let weight = |parameters: &str| {
            parameters
                .split(';')
                .find_map(|one| one.trim().strip_prefix("q=")?.trim().parse::<f32>().ok())
                .unwrap_or(1.0)
        };
        let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let entries: Vec<(&str, f32)> = lists
            .flat_map(|list| list.split(','))
            .map(|one| one.split_once(';').unwrap_or((one, "")))
            .map(|(name, parameters)| (name.trim(), weight(parameters)))
            .collect();
        let weight_of = |wanted: &str| {
            entries.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, weight)| *weight)
        };
        let zstd = weight_of("zstd").unwrap_or(0.0);
        // `*` stands for what the list does not name. A client that names nothing is more likely to know gzip than zstd.
        let gzip = weight_of("gzip").or_else(|| weight_of("*")).unwrap_or(0.0);
        if zstd > 0.0 && zstd >= gzip {
            Self::Zstd
        } else if gzip > 0.0 {
            Self::Gzip
        } else {
            Self::Identity
        }
    }
}

/// Compresses a body and sets the headers that say so. `None` when the body is sent as it is.
pub(crate) fn compress(encoding: Encoding, headers: &mut HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
    // One header, because the answer of a Function URL has one value for each name.
    let vary = match headers.get(header::VARY).and_then(|vary| vary.to_str().ok()) {
        Some(vary) => format!("{vary}, accept-encoding"),
        None => "accept-encoding".to_owned(),
    };
    headers.insert(header::VARY, HeaderValue::from_str(&vary).ok()?);
    if body.len() < MIN_SIZE || headers.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    let (name, compressed) = match encoding {
        Encoding::Zstd => ("zstd", zstd::bulk::compress(body, ZSTD_LEVEL).ok()?),
        Encoding::Gzip => ("gzip", gzip(body).ok()?),
        Encoding::Identity => return None,
    };
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    headers.remove(header::CONTENT_LENGTH);
    Some(compressed)
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of a log are measured by deflate, with a tenth to spare.
    #[test]
    fn zstd_is_not_much_larger_than_gzip() {
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let kinds: [fn(u64) -> String; 4] = [
            |_| "the same line again".to_owned(),
            |number| {
                format!("2026-01-02T03:04:05.{:06}Z INFO request {number} took {} ms", number % 999_983, number % 97)
            },
            |number| format!("{number:x}"),
            |number| {
                (0..8).map(|part| format!("{:016x}", (number + part).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
            },
        ];
        for (at, line) in kinds.into_iter().enumerate() {
            let events: Vec<String> = (0..20_000)
                .map(|number| {
                    let id = format!("{:013}{:043}", 1_700_000_000_000 + number / 7, 1_700_000_000_000_000 + number);
                    serde_json::json!({"event_id": id, "timestamp": number, "message": line(hash(number))}).to_string()
                })
                .collect();
            let body = events.join(",");
            let size = |encoding| compress(encoding, &mut HeaderMap::new(), body.as_bytes()).unwrap().len();
            let (zstd, gzip) = (size(Encoding::Zstd), size(Encoding::Gzip));
            assert!(zstd < gzip + gzip / 10, "kind {at}: {zstd} and {gzip}");
        }
    }

    #[test]
    fn callers_get_what_they_prefer() {
        for (header, accepted) in [
            ("gzip", Encoding::Gzip),
            ("gzip, deflate, br", Encoding::Gzip),
            ("gzip, deflate, br, zstd", Encoding::Zstd),
            ("br;q=1.0, GZIP;q=0.5", Encoding::Gzip),
            ("br", Encoding::Identity),
            ("zstd;q=0.5, gzip;q=0.6, *;q=0.1", Encoding::Gzip),
            ("*", Encoding::Gzip),
            ("gzip;q=0, *", Encoding::Identity),
            ("gzip;q=0", Encoding::Identity),
            ("deflate, *;q=0", Encoding::Identity),
            ("identity", Encoding::Identity),
            ("", Encoding::Identity),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(header))]);
            assert_eq!(Encoding::accepted(&headers), accepted, "{header}");
        }
        assert_eq!(Encoding::accepted(&HeaderMap::new()), Encoding::Identity);
    }
}
