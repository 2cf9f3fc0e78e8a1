//! Keeps the signing keys of webhooks and the addresses of Slack: parameters of SSM Parameter Store. No other module reads or writes one.

use std::time::Duration;

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{App, Error, Result, aws::ssm::NewParameter, error::Service, random::random_text, time};

/// The time for which the key before the last rotation signs, too, so that a receiver can change over without losing a message.
pub(super) const OVERLAP: Duration = Duration::from_hours(24);
/// Marks a text as a signing key, for people and for programs that look for leaked keys.
const PREFIX: &str = "whsec_";

/// The most earlier keys that sign, too, so that a webhook has six signatures at most. One more rotation ends the oldest before its time.
const MOST_PREVIOUS: usize = 5;

/// The parameter of a notification in SSM.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kept {
    /// The keys by which a webhook is signed.
    Webhook { key: String, previous: Vec<Previous> },
    /// The address of an incoming webhook.
    Slack { url: String },
}

/// A key before a rotation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Previous {
    key: String,
    #[serde(with = "time::as_rfc3339")]
    until: Timestamp,
}

impl Kept {
    /// The keys that sign now, the newest first.
    pub(super) fn signing(&self, now: Timestamp) -> Vec<&str> {
        match self {
            Self::Webhook { key, previous } => {
                let still = previous.iter().filter(|previous| previous.until > now);
                [key.as_str()].into_iter().chain(still.map(|previous| previous.key.as_str())).collect()
            }
            Self::Slack { .. } => Vec::new(),
        }
    }

    /// The keys after a rotation. Those before it sign until their overlap is over.
    pub(super) fn rotated(self, new: String, now: Timestamp) -> Self {
        let Self::Webhook { key, previous } = self else { return self };
        let until = now.checked_add(OVERLAP).unwrap_or(now);
        let still = previous.into_iter().filter(|previous| previous.until > now);
        let previous = [Previous { key, until }].into_iter().chain(still).take(MOST_PREVIOUS).collect();
        Self::Webhook { key: new, previous }
    }
}

/// A new signing key.
pub(super) fn new_key() -> Result<String> {
    Ok(format!("{PREFIX}{}", random_text::<32>()?))
}

fn full_name(app: &App, id: &str) -> String {
    format!("{}/{id}", app.config.notifications_prefix)
}

pub(super) async fn write(app: &App, id: &str, kept: &Kept) -> Result<()> {
    let value = serde_json::to_string(kept)
        .map_err(|error| Error::internal_with("the key of a notification could not be serialized", error))?;
    let put = NewParameter {
        name: full_name(app, id),
        value,
        kms_key: app.config.secrets_kms_key.clone(),
        overwrite: true,
        ..NewParameter::default()
    };
    app.aws.ssm.put(put).await.map_err(Error::aws(Service::Ssm))
}

/// Reads the parameter of a notification; `None` when it has been deleted.
pub(super) async fn read(app: &App, id: &str) -> Result<Option<Kept>> {
    match app.aws.ssm.get(full_name(app, id)).await {
        // The error does not quote the value.
        Ok(value) => serde_json::from_str(&value)
            .map(Some)
            .map_err(|_| Error::internal("the key of a notification does not have the shape that this version writes")),
        Err(error) if error.code() == Some("ParameterNotFound") => Ok(None),
        Err(error) => Err(Error::aws(Service::Ssm)(error)),
    }
}

/// Deletes what is kept of a notification, if anything is.
pub(super) async fn delete(app: &App, id: &str) -> Result<()> {
    match app.aws.ssm.delete(full_name(app, id)).await {
        Err(error) if error.code() == Some("ParameterNotFound") => Ok(()),
        deleted => deleted.map_err(Error::aws(Service::Ssm)),
    }
}

/// The ids of the notifications for which something is kept, with the times at which it was written. Reads no key.
pub(super) async fn all(app: &App) -> Result<Vec<(String, Option<Timestamp>)>> {
    let prefix = &app.config.notifications_prefix;
    let found = app.aws.ssm.below(prefix).await.map_err(Error::aws(Service::Ssm))?;
    let ids = found.into_iter().filter_map(|parameter| {
        let id = parameter.name.strip_prefix(prefix)?.strip_prefix('/')?;
        let written = parameter.last_modified_date.and_then(|at| Timestamp::from_second(at as i64).ok());
        Some((id.to_owned(), written))
    });
    Ok(ids.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_rotation_both_keys_sign_for_a_day() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let kept = Kept::Webhook { key: "one".to_owned(), previous: Vec::new() };
        assert_eq!(kept.signing(at(0)), ["one"]);
        let kept = kept.rotated("two".to_owned(), at(0));
        assert_eq!(kept.signing(at(86_399)), ["two", "one"]);
        assert_eq!(kept.signing(at(86_400)), ["two"]);
        let again = kept.rotated("three".to_owned(), at(10));
        assert_eq!(again.signing(at(20)), ["three", "two", "one"], "a receiver may know any of them");
        assert_eq!(again.signing(at(86_405)), ["three", "two"]);
    }
}
