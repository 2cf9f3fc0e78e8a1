//! Says what is wrong with a playbook's file, in words for those who have written it, and in which line.

use std::fmt::Display;

use strum::VariantArray;
use yaml_serde::Value;

use super::{ParameterType, place::line_of};
use crate::{NotificationEvent, OnConflict, OnMissed, Problem, RetryOn, span::Span};

/// Characters of a value that a message shows.
const SHOWN: usize = 40;

/// A problem at a line of the file.
fn at_line(line: Option<usize>, message: impl Display) -> Problem {
    Problem::new(match line {
        Some(line) => format!("line {line}: {message}"),
        None => message.to_string(),
    })
}

/// The problem of a text that is no YAML, or has a key twice, or is empty.
pub(super) fn of_text(text: &str, error: &yaml_serde::Error) -> Problem {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return empty();
    }
    let said = error.to_string();
    let line = error.location().map(|place| place.line());
    if said.contains("more than one document") {
        return Problem::new("a file has one playbook, and this one has several documents")
            .with_hint("remove the lines `---`");
    }
    if let Some((_, key)) = said.split_once("duplicate entry with key ") {
        let key = key.split(" at line").next().unwrap_or(key).trim_matches('"');
        return at_line(line, format_args!("{key} is given twice")).with_hint("give it once");
    }
    if said.contains("repetition limit") || said.contains("recursion limit") {
        return at_line(line, "anchors repeat too much of the file").with_hint("write out what they stand for");
    }
    if let Some((number, _)) = text.lines().enumerate().find(|(_, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        indent.contains('\t') && !line.trim().is_empty()
    }) {
        // The parser's own place is often the line before.
        if line.is_none_or(|line| number <= line && line <= number + 2) {
            return at_line(Some(number + 1), "a tab at the beginning, where YAML takes blanks only")
                .with_hint("indent with blanks");
        }
    }
    let (what, hint) = NOT_YAML.iter().find(|(mark, ..)| said.contains(mark)).map_or(
        ("this is not YAML", "look at the indentation, the colons and the quotes there and in the line before"),
        |(_, what, hint)| (*what, *hint),
    );
    at_line(line, what).with_hint(hint)
}

/// Parts of what the parser says, each with words for people and a remedy.
const NOT_YAML: [(&str, &str, &str); 9] = [
    (
        "expected ',' or ']'",
        "a list that begins with `[` is not closed",
        "end it with `]`, and put commas between its entries",
    ),
    (
        "expected ',' or '}'",
        "fields that begin with `{` are not closed",
        "end them with `}`, and put commas between them",
    ),
    (
        "mapping values are not allowed",
        "a colon where none can be",
        "put the text into quotes, or look at the indentation",
    ),
    ("cannot start any token", "a character with which no text begins", "put the text into quotes"),
    (
        "did not find expected key",
        "neither a field nor the end of the fields",
        "look at the indentation and the quotes",
    ),
    ("expected '-' indicator", "an entry of a list without `- `", "begin each entry with `- `, all in the same column"),
    ("unexpected end of stream", "a quote is not closed", "end the text with the quote with which it begins"),
    ("expected ':'", "a field without a colon", "write `name: value`, or put the text into quotes"),
    (
        "unknown anchor",
        "an alias `*` of an anchor that the file does not have",
        "put a text that begins with `*` into quotes",
    ),
];

fn empty() -> Problem {
    Problem::new("the file is empty: a playbook has at least commands")
        .with_hint("begin with `commands:` and a list of commands")
}

/// Tells whether a number has more digits than the parser's values take, although a playbook takes it as the text that it is.
pub(super) fn is_long_number(error: &yaml_serde::Error) -> bool {
    let said = error.to_string();
    said.contains("as u128") || said.contains("as i128")
}

/// The problem of YAML that is no playbook. `file` has its values, if the parser's types take them all.
pub(super) fn of_value(text: &str, file: Option<&Value>, error: &yaml_serde::Error) -> Problem {
    if file.is_some_and(Value::is_null) {
        return empty();
    }
    match file.and_then(|file| check(file, "", &Kind::Parts(&PLAYBOOK, &["commands"]))) {
        Some(Fault { field, message }) => at_line(line_of(text, &field), message),
        None => {
            let said = error.to_string();
            let line = error.location().map(|place| place.line());
            at_line(line, said.split(" at line ").next().unwrap_or(&said))
        }
    }
}

/// The kinds of values that the fields of a file have.
enum Kind {
    Text,
    Whole,
    YesOrNo,
    Duration,
    /// A list, of which each entry is of a kind, and what a message calls it.
    List(&'static Kind, &'static str),
    TextOrTexts,
    /// Names with texts.
    Named,
    OneOf(fn() -> Vec<String>),
    /// Fields of these kinds, of which some are needed.
    Parts(&'static [(&'static str, Kind)], &'static [&'static str]),
}

fn names<T: VariantArray + Display>() -> Vec<String> {
    T::VARIANTS.iter().map(T::to_string).collect()
}

/// The events that a notification of a playbook may be told of.
fn events() -> Vec<String> {
    let events = NotificationEvent::VARIANTS.iter().filter(|event| **event != NotificationEvent::Test);
    events.map(NotificationEvent::to_string).collect()
}

const TEXTS: Kind = Kind::List(&Kind::Text, "a list of names, such as [one, two]");

const PLAYBOOK: [(&str, Kind); 22] = [
    ("description", Kind::Text),
    ("image", Kind::Text),
    ("git_repo", Kind::Text),
    ("git_ref", Kind::Text),
    ("git_path", Kind::Text),
    ("secrets", TEXTS),
    ("env", Kind::Named),
    ("timeout", Kind::Duration),
    ("deadline", Kind::Duration),
    ("cpu", Kind::Whole),
    ("memory", Kind::Whole),
    ("disk", Kind::Whole),
    ("spot", Kind::YesOrNo),
    ("lock", Kind::TextOrTexts),
    ("slots", Kind::Whole),
    ("on_conflict", Kind::OneOf(names::<OnConflict>)),
    ("retry", Kind::Parts(&RETRY, &["attempts"])),
    ("approvals", Kind::Parts(&APPROVALS, &[])),
    ("notifications", Kind::List(&Kind::Parts(&NOTIFICATION, &["name"]), "a list, of which each entry has a name")),
    ("schedules", Kind::List(&Kind::Parts(&SCHEDULE, &[]), "a list, of which each entry has a cron, a rate or an at")),
    ("parameters", Kind::List(&Kind::Parts(&PARAMETER, &["name"]), "a list, of which each entry has a name")),
    ("commands", Kind::List(&Kind::Text, "a list of commands, each in a line that begins with `- `")),
];
const RETRY: [(&str, Kind); 3] = [
    ("attempts", Kind::Whole),
    ("on", Kind::List(&Kind::OneOf(names::<RetryOn>), "a list, such as [start, exit]")),
    ("backoff", Kind::Duration),
];
const APPROVALS: [(&str, Kind); 3] = [("count", Kind::Whole), ("by", TEXTS), ("expires", Kind::Duration)];
const NOTIFICATION: [(&str, Kind); 2] =
    [("name", Kind::Text), ("on", Kind::List(&Kind::OneOf(events), "a list, such as [failed, recovered]"))];
const SCHEDULE: [(&str, Kind); 7] = [
    ("name", Kind::Text),
    ("cron", Kind::Text),
    ("rate", Kind::Text),
    ("at", Kind::Text),
    ("timezone", Kind::Text),
    ("parameters", Kind::Named),
    ("on_missed", Kind::OneOf(names::<OnMissed>)),
];
const PARAMETER: [(&str, Kind); 10] = [
    ("name", Kind::Text),
    ("type", Kind::OneOf(names::<ParameterType>)),
    ("label", Kind::Text),
    ("description", Kind::Text),
    ("default", Kind::Text),
    ("required", Kind::YesOrNo),
    ("allowed", Kind::List(&Kind::Text, "a list of values, such as [one, two]")),
    ("pattern", Kind::Text),
    ("min_length", Kind::Whole),
    ("max_length", Kind::Whole),
];

/// The keys of a file that mean nothing, such as `commmands` or `parameters[].defualt`: a misspelt one would be ignored.
pub(super) fn unknown_keys(file: &Value) -> Vec<String> {
    let mut unknown = unknown_of(file, &PLAYBOOK, "");
    for (name, kind) in &PLAYBOOK {
        match (kind, file.get(name)) {
            (Kind::Parts(fields, _), Some(value)) => unknown.extend(unknown_of(value, fields, &format!("{name}."))),
            (Kind::List(Kind::Parts(fields, _), _), Some(Value::Sequence(entries))) => {
                unknown.extend(entries.iter().flat_map(|entry| unknown_of(entry, fields, &format!("{name}[]."))));
            }
            _ => {}
        }
    }
    unknown
}

fn unknown_of(value: &Value, known: &[(&str, Kind)], before: &str) -> Vec<String> {
    let names = value.as_mapping().into_iter().flat_map(|mapping| mapping.keys()).filter_map(Value::as_str);
    let unknown = names.filter(|name| !known.iter().any(|(one, _)| one == name));
    unknown.map(|name| format!("{before}{name}")).collect()
}

struct Fault {
    field: String,
    message: String,
}

/// The first value that is not of its kind, in the order of the file.
fn check(value: &Value, field: &str, kind: &Kind) -> Option<Fault> {
    let name = if field.is_empty() { "a playbook" } else { field };
    let wanted = |what: &str| {
        Some(Fault { field: field.to_owned(), message: format!("{name} must be {what}, and not {}", shown(value)) })
    };
    let is_scalar = !matches!(value, Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_));
    match kind {
        Kind::Text if !is_scalar => wanted("a text"),
        Kind::Whole if value.as_u64().is_none_or(|number| u32::try_from(number).is_err()) => wanted("a whole number"),
        Kind::YesOrNo if !value.is_bool() => wanted("true or false"),
        Kind::Duration => {
            let text = value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|seconds| seconds.to_string()));
            match text.map(|text| text.parse::<Span>()) {
                Some(Ok(_)) => None,
                _ => wanted("seconds, or a duration such as 90s, 10m, 1h30m or 1d"),
            }
        }
        Kind::TextOrTexts if is_scalar => None,
        Kind::TextOrTexts => check(value, field, &TEXTS),
        Kind::Named => match value {
            Value::Mapping(entries) => entries.iter().find_map(|(key, value)| {
                check(value, &format!("{field}.{}", key.as_str().unwrap_or_default()), &Kind::Text)
            }),
            _ => wanted("names with values, such as `NAME: value`"),
        },
        Kind::OneOf(choices) => {
            let choices = choices();
            let is_one = value.as_str().is_some_and(|text| choices.iter().any(|choice| choice == text));
            if is_one { None } else { wanted(&format!("one of {}", choices.join(", "))) }
        }
        Kind::List(entry, what) => match value {
            Value::Sequence(entries) => {
                entries.iter().enumerate().find_map(|(at, value)| check(value, &format!("{field}[{at}]"), entry))
            }
            _ => wanted(what),
        },
        Kind::Parts(fields, needed) => match value {
            Value::Mapping(entries) => {
                let below = |key: &str| if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") };
                let wrong = entries.iter().find_map(|(key, value)| {
                    let key = key.as_str()?;
                    let (_, kind) = fields.iter().find(|(name, _)| *name == key)?;
                    // An optional field without a value is absent.
                    if value.is_null() && !needed.contains(&key) && !matches!(kind, Kind::List(..)) {
                        return None;
                    }
                    check(value, &below(key), kind)
                });
                let missing = || {
                    let missing = needed.iter().find(|key| !entries.contains_key(**key))?;
                    Some(Fault { field: field.to_owned(), message: format!("{name} needs {missing}") })
                };
                wrong.or_else(missing)
            }
            _ => {
                let known: Vec<String> = fields.iter().take(3).map(|(name, _)| format!("`{name}:`")).collect();
                let begins = needed.first().map_or_else(|| known.join(", "), |first| format!("`{first}:`"));
                wanted(&format!("fields such as {begins}"))
            }
        },
        Kind::Text | Kind::Whole | Kind::YesOrNo => None,
    }
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return "nothing".to_owned(),
        Value::Sequence(_) => return "a list".to_owned(),
        Value::Mapping(_) => return "fields".to_owned(),
        Value::Tagged(tagged) => return format!("a value with the tag {}", tagged.tag),
        Value::Bool(truth) => return truth.to_string(),
        Value::Number(number) => return number.to_string(),
        Value::String(text) => text,
    };
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
