//! Defines the parameters of playbooks, and checks the values that callers give them.

use serde::{Deserialize, Serialize};

use crate::Problem;

/// The kind of a parameter's values.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantArray,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ParameterType {
    /// One line.
    #[default]
    String,
    /// Several lines.
    Text,
    /// A decimal number, which the command gets as it was written.
    Number,
    /// `true` or `false`.
    Boolean,
    /// One of `allowed`.
    Choice,
    /// Some of `allowed`. The command gets them one to a line.
    Choices,
    /// A day as `2030-01-31`.
    Date,
}

/// A parameter of a playbook. The command gets its value in the environment variable of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Parameter {
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z_][A-Za-z0-9_]*$", example = "SERVICE"))]
    pub name: String,
    #[serde(rename = "type", default, skip_serializing_if = "is_default")]
    pub kind: ParameterType,
    /// The name for people; `name` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The value for callers who give none. Those of `choices` are separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Refuses a run without a value; `true` if absent, unless there is a default. A value that is not required is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// The only values that are taken, of any type but `boolean`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// A regular expression that the whole value of a `string` or `text` matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Characters of a `string` or `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
}

fn is_default(kind: &ParameterType) -> bool {
    *kind == ParameterType::default()
}

/// Bytes of a compiled pattern: patterns that need more are refused.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// The expression that matches whole values. `None` for a text that is no expression by itself, such as `a)|(b`.
pub(super) fn pattern(text: &str) -> Option<regex_lite::Regex> {
    let compiled = |text: &str| regex_lite::RegexBuilder::new(text).size_limit(MAX_PATTERN_BYTES).build().ok();
    compiled(text)?;
    compiled(&format!("^(?:{text})$"))
}

impl Parameter {
    /// Tells whether a run without a value is refused.
    pub fn is_required(&self) -> bool {
        self.required.unwrap_or(self.default.is_none())
    }

    /// The value that the command gets: the caller's, else the default, else nothing. An empty value is none.
    ///
    /// # Errors
    /// A value that is missing or wrong, at `parameters.NAME`. The text does not quote it.
    pub fn value(&self, given: Option<&str>) -> Result<String, Problem> {
        let at = |problem: Problem| problem.at_field(format!("parameters.{}", self.name));
        match given.filter(|value| !value.is_empty()).or(self.default.as_deref()) {
            Some(value) => self.checked(value).map_err(at),
            None if self.is_required() => {
                Err(at(Problem::new(format!("{} is required", self.name)).with_hint(if self.allowed.is_empty() {
                    "give it a value".to_owned()
                } else {
                    format!("choose from {}", self.allowed.join(", "))
                })))
            }
            None => Ok(String::new()),
        }
    }

    /// A value in the form in which the command gets it.
    ///
    /// # Errors
    /// A value that does not fit the parameter's type, pattern, length or allowed values.
    pub(super) fn checked(&self, value: &str) -> Result<String, Problem> {
        let name = &self.name;
        let value = value.replace("\r\n", "\n");
        if value.contains('\0') {
            return Err(Problem::new(format!("{name} contains a NUL character, which no variable can hold")));
        }
        match self.kind {
            ParameterType::String if value.contains('\n') => Err(Problem::new(format!("{name} must be one line"))),
            ParameterType::String | ParameterType::Text => {
                self.check_text(&value)?;
                self.check_allowed(value)
            }
            ParameterType::Number if !is_number(&value) => {
                Err(Problem::new(format!("{name} must be a number")).with_hint("such as 3, -1 or 0.5"))
            }
            ParameterType::Boolean if !["true", "false"].contains(&value.as_str()) => {
                Err(Problem::new(format!("{name} must be true or false")))
            }
            ParameterType::Date if !is_date(&value) => {
                Err(Problem::new(format!("{name} must be a day")).with_hint("write it as 2030-01-31"))
            }
            ParameterType::Boolean => Ok(value),
            ParameterType::Number | ParameterType::Date | ParameterType::Choice => self.check_allowed(value),
            ParameterType::Choices => {
                let mut chosen: Vec<String> = Vec::new();
                for one in value.split([',', '\n']).map(str::trim).filter(|one| !one.is_empty()) {
                    let one = self.check_allowed(one.to_owned())?;
                    if !chosen.contains(&one) {
                        chosen.push(one);
                    }
                }
                Ok(chosen.join("\n"))
            }
        }
    }

    fn check_text(&self, value: &str) -> Result<(), Problem> {
        let name = &self.name;
        let length = value.chars().count();
        if self.min_length.is_some_and(|least| length < least as usize) {
            return Err(Problem::new(format!("{name} must have at least {} characters", self.min_length.unwrap_or(0))));
        }
        if self.max_length.is_some_and(|most| length > most as usize) {
            return Err(Problem::new(format!("{name} must have at most {} characters", self.max_length.unwrap_or(0))));
        }
        match self.pattern.as_deref() {
            Some(text) if !pattern(text).is_some_and(|pattern| pattern.is_match(value)) => {
                Err(Problem::new(format!("{name} does not fit the pattern {text}")))
            }
            _ => Ok(()),
        }
    }

    fn check_allowed(&self, value: String) -> Result<String, Problem> {
        if self.allowed.is_empty() || self.allowed.contains(&value) {
            return Ok(value);
        }
        Err(Problem::new(format!("{} must be one of the allowed values", self.name))
            .with_hint(format!("choose from {}", self.allowed.join(", "))))
    }
}

/// Tells whether a text is a decimal number, as JSON writes one without an exponent.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(text),
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(kind: ParameterType) -> Parameter {
        Parameter { name: "P".into(), kind, ..Parameter::default() }
    }

    #[test]
    fn values_are_checked_by_type() {
        use ParameterType::*;
        let two = || vec!["a".to_owned(), "b c".to_owned()];
        let choice = Parameter { allowed: two(), ..parameter(Choice) };
        let choices = Parameter { allowed: two(), ..parameter(Choices) };
        let fits = Parameter { pattern: Some("[a-z]+|1".into()), max_length: Some(3), ..parameter(String) };
        for (parameter, value, expected) in [
            (&parameter(String), "$(id) 'x' \"y\" *", Some("$(id) 'x' \"y\" *")),
            (&parameter(String), "a\nb", None),
            (&parameter(String), "a\0", None),
            (&parameter(Text), "a\r\nb\n", Some("a\nb\n")),
            (&parameter(Number), "1.10", Some("1.10")),
            (&parameter(Number), "-3", Some("-3")),
            (&parameter(Number), "1e3", None),
            (&parameter(Number), ".5", None),
            (&parameter(Number), "1; id", None),
            (&parameter(Boolean), "true", Some("true")),
            (&parameter(Boolean), "yes", None),
            (&parameter(Date), "2030-02-28", Some("2030-02-28")),
            (&parameter(Date), "2030-02-30", None),
            (&parameter(Date), "2030-02-28T00", None),
            (&choice, "b c", Some("b c")),
            (&choice, "c", None),
            (&choices, "b c, a,a", Some("b c\na")),
            (&choices, "a,c", None),
            (&fits, "abc", Some("abc")),
            (&fits, "abcd", None),
            (&fits, "a1", None),
            (&fits, "1", Some("1")),
        ] {
            assert_eq!(parameter.checked(value).ok().as_deref(), expected, "{parameter:?} {value:?}");
        }
    }

    #[test]
    fn a_value_is_the_callers_then_the_default_then_refused() {
        let required = parameter(ParameterType::String);
        let problem = required.value(Some("")).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("parameters.P"));
        let with_default = Parameter { default: Some("d".into()), ..required.clone() };
        assert_eq!(
            (with_default.value(None).unwrap(), with_default.value(Some("x")).unwrap()),
            ("d".into(), "x".into())
        );
        let optional = Parameter { required: Some(false), ..required };
        assert_eq!(optional.value(None).unwrap(), "");
    }
}
