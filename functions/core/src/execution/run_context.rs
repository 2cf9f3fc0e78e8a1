//! Holds the circumstances of a run.

use jiff::Timestamp;

use super::Idempotency;
use crate::{RequestId, auth::Principal};

/// The circumstances of a run: the user, the invocation, where it was asked for, and the key under which it may be repeated.
#[derive(Clone, Copy, Debug)]
pub struct RunContext<'a> {
    pub principal: &'a Principal,
    pub request_id: &'a RequestId,
    /// The caller's address, as AWS saw it.
    pub source_address: Option<&'a str>,
    /// Where the request came from: `api`, `playbook:name@3`.
    pub source: &'a str,
    pub idempotency: Option<&'a Idempotency>,
    /// When the command is stopped, whenever it has started.
    pub deadline: Option<Timestamp>,
}
