//! A caller's `Idempotency-Key`: the same request under the same key again is the first one's execution.
//!
//! Two places remember a key. ECS does at once, by the task's client token, until an hour after the task's end and for a day
//! at most ("Ensuring idempotency", Amazon ECS API Reference). The execution's record does for good, by an index that lags
//! behind a little.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ExecutionRecord, list};
use crate::{App, Error, Result, auth::Principal};

const BY_KEY: &str = "by-idempotency-key";

/// A key and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Stands for the caller and the key; fits a client token and a tag.
    pub key: String,
    /// Stands for the request, as it was sent.
    pub request_hash: String,
}

impl Idempotency {
    pub fn new(caller: &Principal, key: &str, request: &impl Serialize) -> Result<Self> {
        let request = serde_json::to_string(request)
            .map_err(|error| Error::Internal(format!("a request could not be written down: {error}")))?;
        Ok(Self { key: digest(&[caller.email.as_str(), key]), request_hash: digest(&[&request]) })
    }

    /// The execution that an earlier request has started under this key, as far as its record tells.
    ///
    /// # Errors
    /// [`Error::Conflict`] when that was another request.
    pub async fn first(&self, app: &App) -> Result<Option<ExecutionRecord>> {
        let ids = list::having(app, BY_KEY, "idempotency_key", &self.key).await?;
        let Some(id) = ids.first() else { return Ok(None) };
        super::find(app, id).await?.map(|record| self.confirm(record)).transpose()
    }

    /// The execution, if it was this request that started it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it was another.
    pub fn confirm(&self, record: ExecutionRecord) -> Result<ExecutionRecord> {
        if record.request_hash.as_ref() == Some(&self.request_hash) { Ok(record) } else { Err(conflict()) }
    }
}

/// That a key stands for another request.
pub fn conflict() -> Error {
    Error::Conflict("this Idempotency-Key stands for another request; use a new key".to_owned())
}

/// 43 URL-safe characters that stand for these parts: fits a client token (64) and a tag.
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}
