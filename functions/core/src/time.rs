//! Reads durations as settings give them, and writes times as the API shows them.

use std::time::Duration;

pub use runvoy_api_types::time::{as_optional_rfc3339, as_rfc3339, rfc3339};

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
}
