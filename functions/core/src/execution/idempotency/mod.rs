//! Names a request and its repetitions: the hash of the caller and the `Idempotency-Key`, and the hash of the request.

mod earlier_request;

use jiff::Timestamp;
use runvoy_api_types::Schedule;
use serde::Serialize;

pub(super) use earlier_request::first_of_conflict;

use crate::{Error, Result, auth::Principal, digest::digest, time};

/// A key and the request that it was sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// A hash of the caller and the key, of 43 characters: short enough for a client token and for a tag.
    pub key: String,
    /// A hash of the request as it was sent.
    pub request_hash: String,
}

impl Idempotency {
    /// # Errors
    /// [`Error::Internal`] when the request cannot be serialized, which is a bug.
    pub fn new(caller: &Principal, key: &str, request: &impl Serialize) -> Result<Self> {
        let request = serde_json::to_string(request)
            .map_err(|error| Error::internal_with("a request could not be serialized", error))?;
        Ok(Self { key: digest(&[caller.email.as_str(), key]), request_hash: digest(&[&request]) })
    }

    /// The key of one time of a schedule. A change of the schedule's run, owner or rights does not change it, so that each time has one run.
    pub fn of_schedule(schedule: &Schedule, at: Timestamp) -> Self {
        let made = schedule.created_by_request_id.as_str();
        let key = digest(&["schedule", schedule.name.as_str(), made, &time::rfc3339(at)]);
        Self { request_hash: key.clone(), key }
    }
}
