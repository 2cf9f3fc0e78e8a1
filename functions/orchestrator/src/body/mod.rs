//! Parses JSON bodies, and says which field of a body is wrong without quoting the body, which may contain secrets.

mod path;
mod schema;
mod strict;

use std::cell::LazyCell;

use runvoy_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use self::{
    path::Step,
    schema::{Document, Part},
};

/// The likeness of an unknown name and a known one, from 0 to 1, from which on the known one is proposed.
const LIKENESS: f64 = 0.75;

/// The hint for a body that does not fit.
const DESCRIPTION: &str = "GET /api/v1/docs describes the body";

/// Parses a body as a `T` with no other fields than a `T` has. An optional field that is empty means the same as an absent one.
///
/// # Errors
/// [`Error::Invalid`] with the path of the field that is wrong, unknown or given twice.
pub(crate) fn parse<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T> {
    let (mut body, doubled) = strict::read(bytes).map_err(|error| {
        // The parser's own text may quote a value, so the only part of it that is used is the place.
        let place = format!("line {} column {}", error.line(), error.column());
        Error::invalid(format!("the body is not valid JSON: look at {place}"))
    })?;
    if !body.is_object() {
        return Err(Error::invalid("the body is of the wrong type: it must be a JSON object").with_hint(DESCRIPTION));
    }
    if let Some(doubled) = doubled {
        return Err(Error::invalid(format!("{doubled} is given twice")).with_hint("give it once").at_field(doubled));
    }
    // Most bodies need no schema.
    let document = LazyCell::new(Document::of::<T>);
    if schema::has_empty(&body) {
        document.whole().drop_empty(&mut body);
    }
    let mut track = serde_path_to_error::Track::new();
    let mut unknown: Option<Vec<Step>> = None;
    let deserializer = serde_path_to_error::Deserializer::new(&body, &mut track);
    let parsed = serde_ignored::deserialize(deserializer, |ignored| {
        unknown.get_or_insert_with(|| path::of_ignored(&ignored));
    });
    match (parsed, unknown) {
        (Ok(parsed), None) => Ok(parsed),
        (Ok(_), Some(steps)) => Err(refuse_unknown(&document.whole(), &steps)),
        (Err::<T, serde_json::Error>(_), _) => {
            Err(refuse_value(&document.whole(), &body, &path::of_error(&track.path())))
        }
    }
}

/// The error for a value that does not fit at this place.
fn refuse_value(whole: &Part<'_>, body: &Value, steps: &[Step]) -> Error {
    let (name, part) = (path::text(steps), whole.at(steps));
    let value = steps.iter().try_fold(body, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    });
    if let Some((Step::Key(last), before)) = steps.split_last() {
        let parent = whole.at(before);
        if parent.has_fixed_fields() && !parent.fields().contains(&last.as_str()) {
            return refuse_unknown(whole, steps);
        }
    }
    let below = |key: &str| [steps, &[Step::Key(key.to_owned())]].concat();
    if let Some(Value::Object(given)) = value {
        let known = part.fields();
        let is_unknown = |key: &&String| part.has_fixed_fields() && !known.contains(&key.as_str());
        if let Some(unknown) = given.keys().find(is_unknown) {
            return refuse_unknown(whole, &below(unknown));
        }
        if let Some(kinds) = part.kinds().filter(|_| given.len() != 1) {
            return Error::invalid(format!("{name} must have exactly one of {}", kinds.join(", "))).at_field(name);
        }
        if let Some(missing) = part.required().find(|key| !given.contains_key(*key)) {
            let missing = path::text(&below(missing));
            return Error::invalid(format!("{missing} is required")).at_field(missing);
        }
    }
    let (choices, types) = (part.choices(), part.types());
    let error = if let (false, Some(Value::String(_))) = (choices.is_empty(), value) {
        Error::invalid(format!("{name} must be one of {}", choices.join(", ")))
    } else if let (true, Some(Value::String(_))) = (types.contains(&"a text"), value) {
        let error = Error::invalid(format!("{name} has a value that cannot be used"));
        match part.example() {
            Some(example) => error.with_hint(format!("such as {example}")),
            None => error,
        }
    } else if types.is_empty() {
        Error::invalid(format!("{name} is of the wrong type"))
    } else {
        Error::invalid(format!("{name} is of the wrong type: it must be {}", types.join(", or ")))
    };
    error.at_field(name)
}

/// The known name that an unknown one may be a misspelling of.
pub(crate) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = known.iter().map(|name| (strsim::jaro_winkler(name, unknown), *name));
    let near = likeness.filter(|(likeness, _)| *likeness >= LIKENESS);
    near.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}

fn refuse_unknown(whole: &Part<'_>, steps: &[Step]) -> Error {
    let (last, before) = match steps.split_last() {
        Some((Step::Key(last), before)) => (last.as_str(), before),
        _ => ("", steps),
    };
    let known = whole.at(before).fields();
    let hint = match nearest(last, &known) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("the fields are {}", known.join(", ")),
    };
    let shown = path::text(steps);
    Error::invalid(format!("there is no field {shown:?}")).with_hint(hint).at_field(shown)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runvoy_api_types::{CreateKey, CreateNotification, CreateSchedule, Playbook, Run};

    use super::*;

    #[derive(Debug, serde::Deserialize, ToSchema)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Body {
        name: String,
        role: Option<String>,
        timeout: Option<u64>,
        env: Option<BTreeMap<String, String>>,
    }

    fn refusal_of<T: DeserializeOwned + ToSchema>(body: &str) -> (Option<String>, String, Option<String>) {
        let Err(error) = parse::<T>(body.as_bytes()) else { panic!("{body} is taken") };
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
            (r#"{"name":"a","name":"31337"}"#, Some("name")),
            (r#"{"name":"a","env":{"A":"1","B":"2","A":"31337"}}"#, Some("env.A")),
            ("{", None),
            (r#"{"name":"a"} 31337"#, None),
        ] {
            let (named, message, _) = refusal_of::<Body>(body);
            assert_eq!(named.as_deref(), field, "{body}");
            assert!(!message.contains("31337"), "{message}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_nearest_name_of_its_object() {
        let (field, message, hint) = refusal_of::<Body>(r#"{"name":"a","timout":31337}"#);
        assert_eq!((field.as_deref(), hint.as_deref()), (Some("timout"), Some("did you mean timeout?")));
        assert!(!message.contains("31337"), "{message}");
        let (_, _, hint) = refusal_of::<Body>(r#"{"name":"a","colour":1}"#);
        assert_eq!(hint.as_deref(), Some("the fields are env, name, role, timeout"));
        for (refusal, field, name) in [
            (
                refusal_of::<CreateSchedule>(r#"{"name":"x","run":{"command":"true","timeot":5}}"#),
                "run.timeot",
                "timeout",
            ),
            (
                refusal_of::<Playbook>(r#"{"commands":["true"],"parameters":[{"name":"A","requird":true}]}"#),
                "parameters[0].requird",
                "required",
            ),
            (
                refusal_of::<Playbook>(r#"{"commands":["true"],"approvals":{"expiry":"2h"}}"#),
                "approvals.expiry",
                "expires",
            ),
            (
                refusal_of::<CreateNotification>(r#"{"name":"x","channel":{"email":{"adress":"a@example.com"}}}"#),
                "channel.email.adress",
                "address",
            ),
            (
                refusal_of::<CreateNotification>(r#"{"name":"x","channel":{"webhok":{"url":"https://example.com"}}}"#),
                "channel.webhok",
                "webhook",
            ),
        ] {
            assert_eq!((refusal.0.as_deref(), refusal.2), (Some(field), Some(format!("did you mean {name}?"))));
        }
        let (field, _, hint) = refusal_of::<CreateNotification>(
            r#"{"name":"x","channel":{"email":{"address":"a@example.com"}},"for":{"all":true}}"#,
        );
        assert_eq!(
            (field.as_deref(), hint.as_deref()),
            (Some("for.all"), Some("the fields are image, playbook, schedule, user"))
        );
        let (field, _, hint) = refusal_of::<CreateKey>(r#"{"name":"x","scope":{"x":1}}"#);
        assert_eq!((field.as_deref(), hint.as_deref()), (Some("scope.x"), Some("the fields are actions, playbooks")));
    }

    #[test]
    fn a_part_that_lacks_something_or_a_wrong_choice_says_what_there_can_be() {
        for (refusal, field, message) in [
            (refusal_of::<CreateSchedule>(r#"{"name":"x","run":{}}"#), "run.command", "run.command is required"),
            (
                refusal_of::<CreateNotification>(r#"{"name":"x","channel":{}}"#),
                "channel",
                "exactly one of webhook, slack, email",
            ),
            (
                refusal_of::<CreateNotification>(r#"{"name":"x","channel":{"slack":{},"webhook":{"url":"u"}}}"#),
                "channel",
                "exactly one of",
            ),
            (
                refusal_of::<CreateNotification>(r#"{"name":"x","channel":{"webhook":{}}}"#),
                "channel.webhook.url",
                "is required",
            ),
            (refusal_of::<Run>(r#"{"command":"true","on_conflict":"wait"}"#), "on_conflict", "one of refuse, queue"),
            (refusal_of::<Run>(r#"{"command":"true","if":"nope"}"#), "if", "one of succeeded, ended"),
            (refusal_of::<Run>(r#"{"command":"true","lock":7}"#), "lock", "a text, or a list"),
            (refusal_of::<CreateSchedule>(r#"{"name":"x","on_missed":"never"}"#), "on_missed", "one of skip, run_once"),
            (
                refusal_of::<CreateNotification>(r#"{"name":"x","channel":{"slack":{}},"on":["sometimes"]}"#),
                "on[0]",
                "one of failed, ",
            ),
            (
                refusal_of::<Playbook>(r#"{"commands":["true"],"parameters":[{"name":"A","type":"strin"}]}"#),
                "parameters[0].type",
                "one of string, text",
            ),
            (refusal_of::<Playbook>(r#"{"commands":["true"],"timeout":"soon"}"#), "timeout", "cannot be used"),
        ] {
            assert_eq!(refusal.0.as_deref(), Some(field), "{}", refusal.1);
            assert!(refusal.1.contains(message), "{}", refusal.1);
        }
    }

    #[test]
    fn an_optional_field_that_is_empty_is_absent() {
        let body = br#"{"command":"true","lock":"","slots":null,"on_conflict":"","if":"","after":"","env":{"A":""},"image":null}"#;
        let run: Run = parse(body).unwrap();
        assert!(run.lock.is_none() && run.slots.is_none() && run.on_conflict.is_none() && run.run_if.is_none());
        assert!(run.after.is_none() && run.image.is_none());
        assert_eq!(run.env.unwrap()["A"], "", "a variable may be empty");
        let body = br#"{"name":"x","on_missed":"","run":{"command":"true","slots":null,"lock":"","env":null}}"#;
        let schedule: CreateSchedule = parse(body).unwrap();
        let run = schedule.run.unwrap();
        assert!(schedule.on_missed.is_none() && run.slots.is_none() && run.lock.is_empty() && run.env.is_empty());
        let body = br#"{"commands":["true"],"timeout":"","slots":null,"parameters":[{"name":"A","type":"","min_length":0,"default":""}]}"#;
        let playbook: Playbook = parse(body).unwrap();
        assert!(playbook.timeout.is_none() && playbook.slots.is_none());
        let parameter = &playbook.parameters[0];
        assert_eq!((parameter.min_length, parameter.default.as_deref()), (Some(0), Some("")));
        assert_eq!(
            refusal_of::<Body>(r#"{"name":null}"#).0.as_deref(),
            Some("name"),
            "a required field is not dropped"
        );
    }
}
