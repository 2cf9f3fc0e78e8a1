//! Reads the value that a request gives for a parameter of a playbook.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// A value of a run's request: a text, a number, a boolean, or a list of texts for several choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RequestedValue(pub String);

impl<'de> Deserialize<'de> for RequestedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = RequestedValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, a boolean or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<RequestedValue, E> {
                Ok(RequestedValue(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<RequestedValue, E> {
                Ok(RequestedValue(value.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<RequestedValue, E> {
                Ok(RequestedValue(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<RequestedValue, E> {
                Ok(RequestedValue(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<RequestedValue, E> {
                Ok(RequestedValue(number.to_string()))
            }

            fn visit_unit<E>(self) -> Result<RequestedValue, E> {
                Ok(RequestedValue(String::new()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<RequestedValue, A::Error> {
                let mut texts: Vec<String> = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(RequestedValue(texts.join("\n")))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
