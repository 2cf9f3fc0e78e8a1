//! Parses JSON bodies, and says which field of a body is wrong without quoting the body, which may contain secrets.

use std::collections::BTreeMap;

use runvoy_core::{Error, Result};
use serde::de::DeserializeOwned;
use utoipa::{
    ToSchema,
    openapi::{Object, RefOr, Schema},
};

/// The likeness of an unknown name and a known one, from 0 to 1, from which on the known one is proposed.
const LIKENESS: f64 = 0.75;

/// The hint for a body that does not fit.
const DESCRIPTION: &str = "GET /api/v1/docs describes the body";

/// Parses a body as a `T` with no other fields than a `T` has.
///
/// # Errors
/// [`Error::Invalid`] with the path of the field that is wrong or unknown.
pub(crate) fn parse<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T> {
    // Without this, an array would be read as the fields in their order.
    if matches!(bytes.trim_ascii_start().first(), Some(first) if *first != b'{') && is_json(bytes) {
        return Err(Error::invalid("the body is of the wrong type: it must be a JSON object").with_hint(DESCRIPTION));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let mut unknown: Option<String> = None;
    let deserializer = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let parsed = serde_ignored::deserialize(deserializer, |path| {
        unknown.get_or_insert_with(|| path.to_string());
    });
    let parsed: T = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let path = track.path();
            // The path of the whole body: an object that lacks a field.
            let is_whole = path.iter().next().is_none();
            return Err(if error.is_data() && is_whole {
                refuse_missing::<T>(bytes)
            } else {
                describe(&error, &path.to_string())
            });
        }
    };
    json.end().map_err(|error| describe(&error, ""))?;
    match unknown {
        None => Ok(parsed),
        Some(path) => Err(refuse_unknown::<T>(&path)),
    }
}

/// The error for a body that cannot be read. The parser's own text may quote a value, so the only part of it that is used is the place.
fn describe(error: &serde_json::Error, path: &str) -> Error {
    let place = format!("line {} column {}", error.line(), error.column());
    if !error.is_data() {
        return Error::invalid(format!("the body is not valid JSON: look at {place}"));
    }
    Error::invalid(format!("{path} has a value of the wrong type: look at {place}"))
        .with_hint(DESCRIPTION)
        .at_field(path)
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

fn refuse_missing<T: ToSchema>(bytes: &[u8]) -> Error {
    let given: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(bytes).unwrap_or_default();
    let missing = object::<T>().and_then(|object| object.required.into_iter().find(|name| !given.contains_key(name)));
    match missing {
        Some(name) => Error::invalid(format!("{name} is required")).with_hint(DESCRIPTION).at_field(name),
        None => Error::invalid("the body has a field twice, or lacks one").with_hint(DESCRIPTION),
    }
}

fn refuse_unknown<T: ToSchema>(path: &str) -> Error {
    let known: Vec<String> = object::<T>().map(|object| object.properties.into_keys().collect()).unwrap_or_default();
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(name, path), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let hint = match nearest {
        Some((_, name)) => format!("did you mean {name}?"),
        None => format!("the fields are {}", known.join(", ")),
    };
    // The name may be long, and is the caller's.
    let shown: String = path.chars().take(64).collect();
    Error::invalid(format!("there is no field {shown:?}")).with_hint(hint).at_field(shown)
}

fn object<T: ToSchema>() -> Option<Object> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, ToSchema)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Body {
        name: String,
        role: Option<String>,
        timeout: Option<u64>,
        env: Option<BTreeMap<String, String>>,
    }

    fn refusal(body: &str) -> (Option<String>, String, Option<String>) {
        let error = parse::<Body>(body.as_bytes()).unwrap_err();
        (error.field().map(str::to_owned), error.to_string(), error.hint().map(Into::into))
    }

    #[test]
    fn a_wrong_field_is_named_by_its_path_and_its_value_is_not_quoted() {
        for (body, field) in [
            (r#"{"name":31337}"#, Some("name")),
            (r#"{"name":"a","timeout":1.5}"#, Some("timeout")),
            (r#"{"name":"a","timeout":"31337"}"#, Some("timeout")),
            (r#"{"name":"a","env":{"PORT":31337}}"#, Some("env.PORT")),
            (r#"{"name":"a","env":["31337"]}"#, Some("env")),
            (r#"["31337"]"#, None),
            (r#"{"role":"31337"}"#, Some("name")),
            (r#"{"name":"a","name":"31337"}"#, None),
            ("{", None),
            (r#"{"name":"a"} 31337"#, None),
        ] {
            let (named, message, _) = refusal(body);
            assert_eq!(named.as_deref(), field, "{body}");
            assert!(!message.contains("31337"), "{message}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_nearest_name() {
        let (field, message, hint) = refusal(r#"{"name":"a","timout":31337}"#);
        assert_eq!((field.as_deref(), hint.as_deref()), (Some("timout"), Some("did you mean timeout?")));
        assert!(!message.contains("31337"), "{message}");
        let (_, _, hint) = refusal(r#"{"name":"a","colour":1}"#);
        assert_eq!(hint.as_deref(), Some("the fields are env, name, role, timeout"));
    }
}
