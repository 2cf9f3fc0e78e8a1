//! Finds the line of a value in a playbook's file.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IgnoredAny},
};

/// A step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way to a value as errors name it, such as `parameters[2].default`.
pub(super) fn steps(field: &str) -> Vec<Step> {
    let parts = field.split(['.', '[']).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.strip_suffix(']').and_then(|index| index.parse().ok()) {
            Some(index) => Step::Index(index),
            None => Step::Key(part.to_owned()),
        })
        .collect()
}

/// The line of the value of a field, counted from 1. If the file has no such field, the line of what it would be a part of.
pub fn line_of(text: &str, field: &str) -> Option<usize> {
    let steps = steps(field);
    let deserializer = yaml_serde::Deserializer::from_str(text);
    // The probe fails at the value, and the error of the parser knows the place.
    let error = Probe(&steps).deserialize(deserializer).err()?;
    error.location().map(|place| place.line())
}

/// Follows the steps to a value, and fails there.
struct Probe<'a>(&'a [Step]);

impl<'de> DeserializeSeed<'de> for Probe<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Probe<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another value")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some((Step::Key(wanted), rest)) = self.0.split_first() {
            while let Some(key) = map.next_key::<String>()? {
                if key == *wanted {
                    return map.next_value_seed(Probe(rest));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Err(de::Error::custom("here"))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if let Some((Step::Index(wanted), rest)) = self.0.split_first() {
            for _ in 0..*wanted {
                if list.next_element::<IgnoredAny>()?.is_none() {
                    return Err(de::Error::custom("here"));
                }
            }
            if list.next_element_seed(Probe(rest))?.is_some() {
                return Ok(());
            }
        }
        Err(de::Error::custom("here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_field_is_that_of_its_value() {
        let text = "description: x\n# note\nparameters:\n- name: A\n  default: 1\n-\n  name: B\n  allowed:\n  - one\n  - two\ncommands: [\"true\"]\n";
        for (field, line) in [
            ("description", 1),
            ("parameters[0].default", 5),
            ("parameters[1].name", 7),
            ("parameters[1].allowed[1]", 10),
            ("parameters[0].allowed", 4),
            ("commands", 11),
            ("timeout", 1),
        ] {
            assert_eq!(line_of(text, field), Some(line), "{field}");
        }
        assert_eq!(line_of("[", "commands"), Some(1));
    }
}
