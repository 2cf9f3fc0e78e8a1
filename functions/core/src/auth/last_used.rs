//! Writes down when a key and its user were used last, beside the request's own work, once a minute at most.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    App, Email, Error, Result,
    key::{self, ApiKeyHash, ApiKeyRecord},
    user,
};

/// The shortest time between two refreshes of `last_used`.
const LAST_USED_INTERVAL: Duration = Duration::from_mins(1);
/// The time that a request may wait for that refresh after its own work is done.
const REFRESH_TIMEOUT: Duration = Duration::from_millis(500);

/// A use of a key that is to be written down.
#[derive(Debug)]
pub struct KeyUse {
    email: Email,
    key_hash: ApiKeyHash,
    at: Timestamp,
}

impl KeyUse {
    /// The use of a key now, unless one was written down a moment ago.
    pub(super) fn to_note(app: &App, record: &ApiKeyRecord) -> Option<Self> {
        let at = app.now();
        let is_fresh = record.last_used.is_some_and(|last| at.duration_since(last).unsigned_abs() < LAST_USED_INTERVAL);
        (!is_fresh).then(|| Self { email: record.email.clone(), key_hash: record.key_hash.clone(), at })
    }
}

/// Writes down when a key was used, on the user and on the key. A failure or a slow table is logged and costs the request half
/// a second at most. The caller awaits it, because Lambda freezes an instance once the answer is sent.
pub async fn note_use(app: &App, key_use: &KeyUse) {
    let written = tokio::select! {
        written = write_use(app, key_use) => written,
        () = app.sleep(REFRESH_TIMEOUT) => Err(Error::internal("the write took too long")),
    };
    if let Err(error) = written {
        tracing::debug!(error = %error.chain(), "last_used was not refreshed");
    }
}

async fn write_use(app: &App, key_use: &KeyUse) -> Result<()> {
    app.aws
        .dynamodb
        .transact_write_items()
        .transact_items(user::note_use(app, &key_use.email, key_use.at)?)
        .transact_items(key::note_use(app, &key_use.key_hash, key_use.at)?)
        .send()
        .await?;
    Ok(())
}
