//! Reads answers about executions of which the status may be one that only a later server knows.

use std::ops::Deref;

use runvoy_api_types::Status;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

/// An answer about an execution, with its status as the server words it. An unknown status is taken for one that is no end.
#[derive(Clone, Debug)]
pub(crate) struct WithStatus<T> {
    pub(crate) status: String,
    value: T,
}

impl<T> WithStatus<T> {
    /// The answer. A status that is unknown is RUNNING in it.
    pub(crate) fn into_known(self) -> T {
        self.value
    }
}

impl<T> Deref for WithStatus<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for WithStatus<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut answer = Value::deserialize(deserializer)?;
        let status = answer.get_mut("status").ok_or_else(|| D::Error::missing_field("status"))?;
        let Value::String(word) = status.clone() else { return Err(D::Error::custom("a status is a text")) };
        if word.parse::<Status>().is_err() {
            *status = Value::from(Status::Running.to_string());
        }
        Ok(Self { status: word, value: T::deserialize(answer).map_err(D::Error::custom)? })
    }
}
