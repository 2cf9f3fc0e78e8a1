//! Reads the files of playbooks, which are YAML.

use super::{Playbook, fault};
use crate::Problem;

/// Bytes of a playbook's file.
pub const MAX_FILE_BYTES: usize = 128 * 1024;
/// Brackets that may be open at one place of a file, and lists that may begin in one line. The time that the parser takes grows with the
/// square of them: 2,000 take some 30 ms, and 60,000 would take 18 s. Brackets of a script count too, so that there is room for those.
const MAX_NESTING: usize = 2000;
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
    let file: Option<yaml_serde::Value> = match yaml_serde::from_str(text) {
        Ok(file) => Some(file),
        Err(error) if fault::is_long_number(&error) => None,
        Err(error) => return Err(fault::of_text(text, &error)),
    };
    let unknown = file.as_ref().map(fault::unknown_keys).unwrap_or_default();
    match yaml_serde::from_str(text) {
        Ok(playbook) => Ok((playbook, unknown)),
        Err(error) => {
            let problem = fault::of_value(text, file.as_ref(), &error);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{playbook::ParameterType, span::Span};

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
