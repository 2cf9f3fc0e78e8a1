//! Times as the API shows them and as the tables sort them, and durations as settings give them.

use std::time::Duration;

use jiff::Timestamp;

/// RFC 3339 in UTC with exactly three fractional digits, so that text order is time order in an index.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Serializes a [`Timestamp`] as [`rfc3339`].
pub mod as_rfc3339 {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// As [`as_rfc3339`], for a time that may be absent.
pub mod as_optional_rfc3339 {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::as_rfc3339::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

/// Reads a duration such as `30s`, `1m30s` or `500ms`, or plain seconds. `None` for any other text and for a negative one.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    // jiff also reads ISO 8601 ("PT30S"), which is as clear.
    text.parse::<jiff::SignedDuration>().ok().and_then(|duration| duration.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, milliseconds) in
            [("30s", 30_000), ("1m", 60_000), ("90", 90_000), ("1m30s", 90_000), ("500ms", 500), ("0", 0)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "s", "-1", "-1s", "soon", "1x", "99999999999999999999", "9999999999999999999h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn written_times_sort_as_text() {
        let early = rfc3339("2026-01-02T03:04:05Z".parse().unwrap());
        let late = rfc3339("2026-01-02T03:04:05.01Z".parse().unwrap());
        assert_eq!(early, "2026-01-02T03:04:05.000Z");
        assert!(early < late);
    }
}
