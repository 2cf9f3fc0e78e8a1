//! Reads the files of playbooks, which are YAML.

use super::{Playbook, fault};
use crate::Problem;

/// Bytes of a playbook's file.
pub const MAX_FILE_BYTES: usize = 128 * 1024;
/// Brackets that may be open at one place of a file, and lists that may begin in one line. The time that the parser takes grows with the
/// square of them: 2,000 take some 30 ms, and 60,000 would take 18 s. Brackets of a script count too, so that there is room for those.
const MAX_NESTING: usize = 2000;
/// Fields that a file may have. Others are told, because a misspelt one would mean nothing.
const FIELDS: [&str; 22] = [
    "approvals",
    "notifications",
    "schedules",
    "description",
    "image",
    "git_repo",
    "git_ref",
    "git_path",
    "secrets",
    "env",
    "timeout",
    "deadline",
    "cpu",
    "memory",
    "disk",
    "spot",
    "parameters",
    "commands",
    "lock",
    "slots",
    "on_conflict",
    "retry",
];
/// The fields of `approvals`.
const APPROVALS_FIELDS: [&str; 3] = ["count", "by", "expires"];
/// The fields of `retry`.
const RETRY_FIELDS: [&str; 3] = ["attempts", "on", "backoff"];
/// The fields of an entry of `notifications`.
const NOTIFICATION_FIELDS: [&str; 2] = ["name", "on"];
/// The fields of an entry of `schedules`.
const SCHEDULE_FIELDS: [&str; 7] = ["name", "cron", "rate", "at", "timezone", "parameters", "on_missed"];
/// The fields of a parameter.
const PARAMETER_FIELDS: [&str; 10] =
    ["name", "type", "label", "description", "default", "required", "allowed", "pattern", "min_length", "max_length"];

/// The text is no playbook.
pub type FileError = Problem;

/// The playbook of a file, and its keys that mean nothing, such as `commmands` or `parameters[].defualt`. A scalar is the text that the file
/// has: `1.10` is not 1.1.
///
/// # Errors
/// The text is not YAML, or lacks what a playbook has. The message names the line.
pub fn from_yaml(text: &str) -> Result<(Playbook, Vec<String>), FileError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(Problem::new(format!("a playbook's file has at most {MAX_FILE_BYTES} bytes")));
    }
    if nesting(text) > MAX_NESTING {
        return Err(Problem::new(format!("a playbook's file is nested at most {MAX_NESTING} levels deep")));
    }
    let text = text.trim_start_matches('\u{feff}');
    let file: yaml_serde::Value = yaml_serde::from_str(text).map_err(|error| fault::of_text(text, &error))?;
    let unknown = unknown_keys(&file);
    match yaml_serde::from_str(text) {
        Ok(playbook) => Ok((playbook, unknown)),
        Err(error) => {
            let problem = fault::of_value(text, &file, &error);
            // A misspelt key is often why one is missing.
            Err(if unknown.is_empty() {
                problem
            } else {
                problem.with_hint(format!("unknown, and ignored: {}", unknown.join(", ")))
            })
        }
    }
}

/// The most brackets that are open at one place, or lists that begin in one line, if those are more.
fn nesting(text: &str) -> usize {
    let (mut open, mut most): (usize, usize) = (0, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    let lists = text.lines().map(|line| line.matches("- ").count() + line.matches("? ").count()).max();
    most.max(lists.unwrap_or_default())
}

fn unknown_keys(file: &yaml_serde::Value) -> Vec<String> {
    let keys = |value: &yaml_serde::Value, known: &[&str], before: &str| -> Vec<String> {
        let names = value.as_mapping().into_iter().flat_map(|mapping| mapping.keys()).filter_map(|key| key.as_str());
        names.filter(|name| !known.contains(name)).map(|name| format!("{before}{name}")).collect()
    };
    let mut unknown = keys(file, &FIELDS, "");
    unknown.extend(
        file.get("approvals").into_iter().flat_map(|approvals| keys(approvals, &APPROVALS_FIELDS, "approvals.")),
    );
    unknown.extend(file.get("retry").into_iter().flat_map(|retry| keys(retry, &RETRY_FIELDS, "retry.")));
    for (list, known) in [
        ("parameters", &PARAMETER_FIELDS[..]),
        ("notifications", &NOTIFICATION_FIELDS),
        ("schedules", &SCHEDULE_FIELDS),
    ] {
        for entry in file.get(list).and_then(|list| list.as_sequence()).into_iter().flatten() {
            unknown.extend(keys(entry, known, &format!("{list}[].")));
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::{ParameterType, Span};

    #[test]
    fn a_file_keeps_its_scalars_as_they_are_written() {
        let text = "timeout: 15m\nenv: {A: 1.10, B: 0x1F, C: null, D: yes}\nparameters:\n- {name: V, type: choice, allowed: [1.10, 2]}\n- {name: N, required: false}\ncommands: [true]\ntimout: 5\n";
        let (playbook, unknown) = from_yaml(text).unwrap();
        assert_eq!(playbook.timeout, Some(Span(900)));
        assert_eq!(playbook.env.values().collect::<Vec<_>>(), ["1.10", "0x1F", "null", "yes"]);
        assert_eq!(
            (playbook.parameters[0].kind, playbook.parameters[0].allowed[0].as_str()),
            (ParameterType::Choice, "1.10")
        );
        assert_eq!(playbook.parameters[1].required, Some(false));
        assert_eq!(playbook.commands, ["true"]);
        assert_eq!(unknown, ["timout"]);
        for deep in ["[", "{", "[a,", "- ", "? "] {
            let refused = from_yaml(&format!("commands:\n{}", deep.repeat(40_000))).unwrap_err();
            assert!(refused.message.contains("nested"), "{deep}");
        }
        assert!(from_yaml("commands: 5: 6").is_err() && from_yaml("description: x").is_err());
    }
}
