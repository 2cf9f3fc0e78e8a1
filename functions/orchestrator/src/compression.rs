//! Compression of answers. Lambda answers with 6 MB at most, and a compressed log of that size has about 40 MB of lines.

use std::io::Write;

use axum::http::{HeaderMap, HeaderValue, header};
use flate2::{Compression, write::GzEncoder};

/// Bytes below which an answer is not compressed, because it fits into a network packet.
const MIN_SIZE: usize = 1024;

/// Whether the caller accepts gzip. A caller that asks for another encoding accepts an answer without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    Gzip,
    Identity,
}

impl Accepted {
    /// Reads the header `Accept-Encoding` (RFC 9110, section 12.5.3).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let weight = |parameters: &str| {
            parameters
                .split(';')
                .find_map(|one| one.trim().strip_prefix("q=")?.trim().parse::<f32>().ok())
                .unwrap_or(1.0)
        };
        let entries = || {
            let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
            lists.flat_map(|list| list.split(',')).map(|one| one.split_once(';').unwrap_or((one, "")))
        };
        let weight_of = |wanted: &str| {
            entries()
                .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
                .map(|(_, parameters)| weight(parameters))
        };
        // `*` stands for what the list does not name.
        let accepts_gzip = weight_of("gzip").or_else(|| weight_of("*")).is_some_and(|weight| weight > 0.0);
        if accepts_gzip { Self::Gzip } else { Self::Identity }
    }
}

/// Compresses a body and sets the headers that say so. `None` when the body is sent as it is.
pub(crate) fn compress(accepted: Accepted, headers: &mut HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
    // One header, because the answer of a Function URL has one value for each name.
    let vary = match headers.get(header::VARY).and_then(|vary| vary.to_str().ok()) {
        Some(vary) => format!("{vary}, accept-encoding"),
        None => "accept-encoding".to_owned(),
    };
    headers.insert(header::VARY, HeaderValue::from_str(&vary).ok()?);
    if accepted == Accepted::Identity || body.len() < MIN_SIZE || headers.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    let compressed = encoder.finish().ok()?;
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(header::CONTENT_LENGTH);
    Some(compressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_for_callers_that_accept_it() {
        for (header, accepted) in [
            ("gzip, deflate, br", Accepted::Gzip),
            ("br;q=1.0, GZIP;q=0.5", Accepted::Gzip),
            ("*", Accepted::Gzip),
            ("gzip;q=0", Accepted::Identity),
            ("gzip;q=0, *", Accepted::Identity),
            ("br, *;q=0", Accepted::Identity),
            ("br", Accepted::Identity),
            ("", Accepted::Identity),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(header))]);
            assert_eq!(Accepted::of(&headers), accepted, "{header}");
        }
        assert_eq!(Accepted::of(&HeaderMap::new()), Accepted::Identity);
    }
}
