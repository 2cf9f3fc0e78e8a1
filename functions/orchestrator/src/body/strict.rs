//! Reads JSON in which no object has a key twice. Of two values of the same key one would be lost without a word.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::path::{self, Step};

/// Reads a text, and the path of the first key that an object in it has twice.
///
/// # Errors
/// The text is not JSON.
pub(super) fn read(bytes: &[u8]) -> serde_json::Result<(Value, Option<String>)> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let (mut steps, mut doubled) = (Vec::new(), None);
    let value = Reader { steps: &mut steps, doubled: &mut doubled }.deserialize(&mut json)?;
    json.end()?;
    Ok((value, doubled))
}

struct Reader<'a> {
    /// The place of the value that is read.
    steps: &'a mut Vec<Step>,
    doubled: &'a mut Option<String>,
}

impl Reader<'_> {
    fn below(&mut self, step: Step) -> Reader<'_> {
        self.steps.push(step);
        Reader { steps: self.steps, doubled: self.doubled }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.below(Step::Index(values.len())))? {
            self.steps.pop();
            values.push(value);
        }
        self.steps.pop();
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(self.below(Step::Key(key.clone())))?;
            if values.contains_key(&key) {
                self.doubled.get_or_insert_with(|| path::text(self.steps));
            }
            self.steps.pop();
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}
