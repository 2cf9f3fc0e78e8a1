//! Writes times as the API shows them and as the tables sort them.

use jiff::Timestamp;

/// RFC 3339 in UTC with exactly three fractional digits, so that text order is time order in an index.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Serializes a [`Timestamp`] as [`rfc3339`].
pub mod as_rfc3339 {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer};

    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    /// # Errors
    /// The input is no text, or no time as RFC 3339 writes it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// As [`as_rfc3339`], for a time that may be absent.
pub mod as_optional_rfc3339 {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer};

    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::as_rfc3339::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// # Errors
    /// The input is no text, or no time as RFC 3339 writes it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_times_sort_as_text() {
        let early = rfc3339("2026-01-02T03:04:05Z".parse().unwrap());
        let late = rfc3339("2026-01-02T03:04:05.01Z".parse().unwrap());
        assert_eq!(early, "2026-01-02T03:04:05.000Z");
        assert!(early < late);
    }
}
