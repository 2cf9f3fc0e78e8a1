//! Checks a playbook before it is published, so that no run of it is refused for a fault of the playbook.

use std::collections::BTreeSet;

use super::{Parameter, ParameterType, Playbook, parameter};
use crate::{
    Problem,
    limits::{DISK_GIB, MAX_DEADLINE_SECONDS, MAX_DESCRIPTION_BYTES, MAX_TIMEOUT_SECONDS},
    text,
};

/// Parameters of a playbook: more than a form can have that people fill in.
const MAX_PARAMETERS: usize = 50;
/// Allowed values of a parameter.
const MAX_ALLOWED: usize = 200;
/// Characters of a script, of which ECS carries as many to a task, variables included ("TaskOverride", Amazon ECS API Reference).
const MAX_COMMAND_CHARS: usize = 8192;
/// Characters of a name for people.
const MAX_LABEL_CHARS: usize = 128;
/// Words in a value that say that a choice changes production.
const PRODUCTION: [&str; 4] = ["production", "prod", "prd", "live"];

impl Playbook {
    /// Checks the playbook as far as it says itself whether it can run.
    ///
    /// # Errors
    /// The first fault, with its field, such as `parameters[2].default`.
    pub fn check(&self) -> Result<(), Problem> {
        let command = self.command();
        if command.trim().is_empty() {
            return Err(Problem::new("commands has no command")
                .with_hint("say what /bin/sh is to run")
                .at_field("commands"));
        }
        if let Some(at) = self.commands.iter().position(|command| command.contains('\0')) {
            let problem = "a command contains a NUL character, which no shell can be given";
            return Err(Problem::new(problem).at_field(format!("commands[{at}]")));
        }
        if command.chars().count() > MAX_COMMAND_CHARS {
            return Err(Problem::new(format!("commands have more than {MAX_COMMAND_CHARS} characters"))
                .with_hint("put the script into a git repository and name it with git_repo")
                .at_field("commands"));
        }
        if self.description.len() > MAX_DESCRIPTION_BYTES {
            let problem = format!("description must have at most {MAX_DESCRIPTION_BYTES} bytes");
            return Err(Problem::new(problem).at_field("description"));
        }
        text::check_prose("description", &self.description)?;
        if self.timeout.is_some_and(|timeout| timeout.0 > MAX_TIMEOUT_SECONDS) {
            let problem = format!("timeout must be 1 to {MAX_TIMEOUT_SECONDS} seconds, or 0 for none");
            return Err(Problem::new(problem).at_field("timeout"));
        }
        if self.deadline.is_some_and(|deadline| deadline.0 > MAX_DEADLINE_SECONDS) {
            let problem = format!("deadline must be 1 to {MAX_DEADLINE_SECONDS} seconds, or 0 for none");
            return Err(Problem::new(problem).at_field("deadline"));
        }
        if let Some(retry) = self.retry.clone() {
            retry.checked(false).map_err(|problem| {
                let field = problem.field.clone().unwrap_or_default();
                Problem { field: Some(format!("retry.{field}")), ..problem }
            })?;
        }
        if let Some(disk) = self.disk.filter(|disk| *disk > 0 && !DISK_GIB.contains(disk)) {
            let (least, most) = (DISK_GIB.start(), DISK_GIB.end());
            return Err(Problem::new(format!("disk must be {least} to {most} GiB, not {disk}")).at_field("disk"));
        }
        if let Some(approvals) = &self.approvals {
            approvals.check().map_err(|problem| {
                let field = problem.field.clone().unwrap_or_default();
                Problem { field: Some(format!("approvals.{field}")), ..problem }
            })?;
        }
        if self.parameters.len() > MAX_PARAMETERS {
            let problem = format!("a playbook has at most {MAX_PARAMETERS} parameters");
            return Err(Problem::new(problem).at_field("parameters"));
        }
        let mut names = BTreeSet::new();
        for (at, parameter) in self.parameters.iter().enumerate() {
            let within = |problem: Problem| {
                let field = problem.field.clone().unwrap_or_else(|| "name".to_owned());
                Problem { field: Some(format!("parameters[{at}].{field}")), ..problem }
            };
            if !names.insert(parameter.name.as_str()) {
                return Err(within(Problem::new(format!("two parameters have the name {}", parameter.name))));
            }
            parameter.check().map_err(within)?;
        }
        self.check_parts()
    }
}

impl Parameter {
    fn check(&self) -> Result<(), Problem> {
        use ParameterType::{Boolean, Choice, Choices, String, Text};
        if self.label.as_ref().is_some_and(|label| label.chars().count() > MAX_LABEL_CHARS) {
            return Err(Problem::new(format!("a label has at most {MAX_LABEL_CHARS} characters")).at_field("label"));
        }
        if self.description.len() > MAX_DESCRIPTION_BYTES {
            let problem = format!("a description has at most {MAX_DESCRIPTION_BYTES} bytes");
            return Err(Problem::new(problem).at_field("description"));
        }
        text::check_prose("description", &self.description)?;
        if let Some(label) = self.label.as_ref().filter(|label| !label.is_empty()) {
            text::check_line("label", label)?;
        }
        let is_text = matches!(self.kind, String | Text);
        if let Some(text) = &self.pattern {
            if !is_text {
                return Err(Problem::new("only a string or a text has a pattern").at_field("pattern"));
            }
            if parameter::pattern(text).is_none() {
                return Err(
                    Problem::new("pattern is no regular expression, or one that is too large").at_field("pattern")
                );
            }
        }
        for (field, length) in [("min_length", self.min_length), ("max_length", self.max_length)] {
            if length.is_some() && !is_text {
                return Err(Problem::new("only a string or a text has a length").at_field(field));
            }
        }
        if self.min_length.zip(self.max_length).is_some_and(|(least, most)| least > most) {
            return Err(Problem::new("min_length is greater than max_length").at_field("min_length"));
        }
        self.check_allowed_values()?;
        let Some(default) = &self.default else { return Ok(()) };
        if matches!(self.kind, Choice | Choices) || !self.allowed.is_empty() {
            let names_production = |value: &str| {
                let words = value.split(|c: char| !c.is_alphanumeric());
                words.into_iter().any(|word| PRODUCTION.iter().any(|name| word.eq_ignore_ascii_case(name)))
            };
            if self.kind != Boolean && names_production(default) {
                return Err(Problem::new(format!("{} changes production by default", self.name))
                    .with_hint("leave the default out, so that whoever runs the playbook chooses")
                    .at_field("default"));
            }
        }
        self.checked(default).map(drop).map_err(|problem| Problem { field: Some("default".to_owned()), ..problem })
    }

    fn check_allowed_values(&self) -> Result<(), Problem> {
        use ParameterType::{Boolean, Choice, Choices};
        if matches!(self.kind, Choice | Choices) && self.allowed.is_empty() {
            return Err(Problem::new(format!("{} has nothing to choose from", self.name))
                .with_hint("list the values in allowed")
                .at_field("allowed"));
        }
        if self.kind == Boolean && !self.allowed.is_empty() {
            return Err(Problem::new("a boolean is true or false").with_hint("leave allowed out").at_field("allowed"));
        }
        if self.allowed.len() > MAX_ALLOWED {
            return Err(
                Problem::new(format!("a parameter has at most {MAX_ALLOWED} allowed values")).at_field("allowed")
            );
        }
        for (at, value) in self.allowed.iter().enumerate() {
            let field = format!("allowed[{at}]");
            let is_part = self.kind != Choices || !value.contains([',', '\n']) && value.trim() == value;
            if value.is_empty() || !is_part {
                let problem = "an allowed value is not empty, and of several choices none has a comma, a line end or blanks around it";
                return Err(Problem::new(problem).at_field(field));
            }
            if self.allowed[..at].contains(value) {
                return Err(Problem::new("an allowed value is there twice").at_field(field));
            }
            // A value that no run could take must not be offered.
            self.checked(value).map_err(|problem| Problem { field: Some(field), ..problem })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playbook(parameter: Parameter) -> Playbook {
        Playbook { commands: vec!["true".into()], parameters: vec![parameter], ..Playbook::default() }
    }

    fn field(parameter: Parameter) -> Option<String> {
        playbook(parameter).check().err().map(|problem| problem.field.unwrap())
    }

    fn named(kind: ParameterType) -> Parameter {
        Parameter { name: "P".into(), kind, ..Parameter::default() }
    }

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn a_value_that_no_run_could_take_is_refused_with_its_field() {
        use ParameterType::*;
        let at = |field: &str| Some(format!("parameters[0].{field}"));
        assert_eq!(field(named(String)), None);
        assert_eq!(field(named(Choice)), at("allowed"));
        assert_eq!(field(Parameter { allowed: texts(&["1", "x"]), ..named(Number) }), at("allowed[1]"));
        assert_eq!(
            field(Parameter { allowed: texts(&["a", "B"]), pattern: Some("[a-z]".into()), ..named(String) }),
            at("allowed[1]")
        );
        assert_eq!(field(Parameter { allowed: texts(&["a", "a"]), ..named(Choice) }), at("allowed[1]"));
        assert_eq!(field(Parameter { allowed: texts(&["a,b"]), ..named(Choices) }), at("allowed[0]"));
        assert_eq!(field(Parameter { default: Some("x".into()), ..named(Number) }), at("default"));
        assert_eq!(
            field(Parameter { default: Some("c".into()), allowed: texts(&["a"]), ..named(Choice) }),
            at("default")
        );
        for no_expression in ["(", "a)|(b"] {
            assert_eq!(field(Parameter { pattern: Some(no_expression.into()), ..named(String) }), at("pattern"));
        }
        assert_eq!(field(Parameter { pattern: Some("a".into()), ..named(Date) }), at("pattern"));
        assert_eq!(field(Parameter { min_length: Some(2), max_length: Some(1), ..named(String) }), at("min_length"));
    }

    #[test]
    fn a_choice_that_changes_production_has_no_default() {
        use ParameterType::*;
        let with = |default: &str, kind| Parameter {
            default: Some(default.into()),
            allowed: texts(&["staging", "production", "eu-prod", "product"]),
            ..named(kind)
        };
        for default in ["production", "eu-prod"] {
            for kind in [String, Choice, Choices] {
                assert_eq!(field(with(default, kind)).as_deref(), Some("parameters[0].default"), "{default}");
            }
        }
        for default in ["staging", "product"] {
            assert_eq!(field(with(default, Choice)), None, "{default}");
        }
    }
}
