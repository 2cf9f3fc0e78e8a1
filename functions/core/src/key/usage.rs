//! Notices a use of a key that is to be written down, once a minute at most.

use std::time::Duration;

use jiff::Timestamp;

use super::{ApiKeyHash, ApiKeyRecord};
use crate::{App, Email};

/// The shortest time between two refreshes of `last_used`, so that a key that is used all the time costs one write a minute.
const LAST_USED_INTERVAL: Duration = Duration::from_mins(1);

/// A use of a key that is to be written down.
#[derive(Debug)]
pub struct KeyUse {
    pub(crate) email: Email,
    pub(crate) key_hash: ApiKeyHash,
    pub(crate) at: Timestamp,
}

impl KeyUse {
    /// The use of a key now, unless one was written down less than a minute ago.
    pub(crate) fn to_note(app: &App, record: &ApiKeyRecord) -> Option<Self> {
        let at = app.now();
        let is_fresh = record.last_used.is_some_and(|last| at.duration_since(last).unsigned_abs() < LAST_USED_INTERVAL);
        (!is_fresh).then(|| Self { email: record.email.clone(), key_hash: record.key_hash.clone(), at })
    }
}
