//! Reads the values of options: durations, times, numbers, patterns, variables and parameters.

use jiff::{Span, SpanRelativeTo, Timestamp};

/// Seconds, from a duration such as `90`, `90s`, `10m`, `1h30m` or `1d`. 0 is no limit.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let wrong = || "it wants a duration such as 90s, 10m, 1h30m or 1d".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    let is_whole = duration.subsec_nanos() == 0;
    u64::try_from(duration.as_secs()).ok().filter(|_| is_whole).ok_or_else(wrong)
}

/// A time from an RFC 3339 text, or from a duration before now.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = text.parse::<Span>().ok().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    ago.and_then(|ago| Timestamp::now().checked_sub(ago.abs()).ok())
        .ok_or_else(|| "it wants a duration such as 10m or 2d, or a time such as 2030-01-31T12:00:00Z".to_owned())
}

/// A number of things.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it wants a number such as 10".to_owned())
}

pub(super) fn pattern(text: &str) -> Result<regex_lite::Regex, String> {
    regex_lite::Regex::new(text).map_err(|error| error.to_string())
}

/// Reads one of these words. The words are said for any other.
pub(super) fn one_of<T, const N: usize>(words: [&'static str; N]) -> impl clap::builder::TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}

/// A variable with its value, which is this environment's where none is given.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    if text.contains('=') {
        return name_and_value(text);
    }
    match std::env::var(text) {
        Ok(value) => Ok((text.to_owned(), value)),
        Err(_) => Err("it wants NAME=VALUE, or the name of a variable that is set here".to_owned()),
    }
}

pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it wants NAME=VALUE".to_owned()),
    }
}

/// A parameter with its value, which is a file's text for `@FILE`.
pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = name_and_value(text)?;
    let value = match value.strip_prefix('@') {
        None => value,
        Some(literal) if literal.starts_with('@') => literal.to_owned(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
            // An editor ends the last line, which is not part of the value.
            text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text).to_owned()).unwrap_or(text)
        }
    };
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5400),
            ("1d", 86_400),
            ("1d2h", 93_600),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(seconds), "{text}");
        }
        for text in ["", "-5s", "0.2s", "soon", "1mo"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_a_duration_before_now() {
        assert_eq!(moment("2030-01-31T12:00:00Z").unwrap().as_second(), 1_896_091_200);
        let ago = |text: &str| Timestamp::now().as_second() - moment(text).unwrap().as_second();
        assert!((600..610).contains(&ago("10m")) && (172_800..172_810).contains(&ago("2d")));
        assert!(moment("soon").is_err());
    }
}
