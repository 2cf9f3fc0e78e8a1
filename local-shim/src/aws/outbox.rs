//! Keeps what would leave the machine: mails, and webhooks to other machines. Webhooks to this machine are sent, and kept too.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use runvoy_core::config::Origin;
use serde::{Deserialize, Serialize};

use super::state_file::StateFile;

/// Entries that are kept. A further one takes the place of the oldest.
const MOST: usize = 200;
/// Characters of a body that are kept.
const MAX_BODY: usize = 16 * 1024;
/// Headers that a person wants to see.
const HEADERS: [&str; 3] = ["x-runvoy-id", "x-runvoy-timestamp", "x-runvoy-signature"];

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Mail,
    Webhook,
}

/// A mail or a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub time: Timestamp,
    pub kind: Kind,
    /// An address, or the URL of a receiver without its path: the path of Slack's is as good as a password.
    pub to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub body: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Tells whether it was sent, too: only webhooks to this machine are.
    pub is_sent: bool,
    /// The token by which the recipient of this mail confirms the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirms: Option<String>,
}

impl Entry {
    fn new(kind: Kind, to: &str, body: &str) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            time: Timestamp::now(),
            kind,
            to: to.to_owned(),
            subject: None,
            body: body.chars().take(MAX_BODY).collect(),
            headers: Vec::new(),
            is_sent: false,
            confirms: None,
        }
    }

    pub(super) fn mail(to: &str, subject: &str, body: &str) -> Self {
        Self { subject: Some(subject.to_owned()), ..Self::new(Kind::Mail, to, body) }
    }
}

/// The mails and webhooks that would leave the machine, oldest first.
#[derive(Clone, Debug)]
pub struct Outbox {
    entries: Arc<Mutex<VecDeque<Entry>>>,
    file: StateFile,
}

impl Outbox {
    pub(crate) fn open(file: StateFile) -> Result<Self> {
        Ok(Self { entries: Arc::new(Mutex::new(file.read()?)), file })
    }

    pub(super) fn add(&self, entry: Entry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push_back(entry);
        while entries.len() > MOST {
            entries.pop_front();
        }
        if let Err(error) = self.file.write(&*entries) {
            tracing::warn!(%error, "the outbox was not written");
        }
    }

    /// The entries, newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    /// A client for requests to receivers. It keeps each request here, and sends those to this machine by `loopback`.
    pub(crate) fn receivers(&self, loopback: SharedHttpConnector) -> SharedHttpConnector {
        SharedHttpConnector::new(Receivers { outbox: self.clone(), loopback })
    }
}

/// Takes the place of the network between webhooks and their receivers.
struct Receivers {
    outbox: Outbox,
    loopback: SharedHttpConnector,
}

impl fmt::Debug for Receivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receivers")
    }
}

impl HttpConnector for Receivers {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let origin = Origin::of_url(request.uri());
        let is_sent = goes_to_this_machine(origin.as_ref());
        let origin = origin.map(|origin| origin.to_string()).unwrap_or_default();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let headers =
            HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), request.headers().get(*name)?.to_owned())));
        self.outbox.add(Entry { headers: headers.collect(), is_sent, ..Entry::new(Kind::Webhook, &origin, &body) });
        if is_sent {
            return self.loopback.call(request);
        }
        HttpConnectorFuture::new(async {
            let status = 202_u16.try_into().map_err(|error| ConnectorError::user(Box::new(error)))?;
            Ok(HttpResponse::new(status, SdkBody::from("the local system keeps it in its outbox")))
        })
    }
}

fn goes_to_this_machine(origin: Option<&Origin>) -> bool {
    origin.is_some_and(Origin::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_to_this_machine_is_sent() {
        for here in ["http://localhost:1/x", "http://127.0.0.1/", "http://[::1]:8080/a?b", "http://[::ffff:127.0.0.1]/"]
        {
            assert!(goes_to_this_machine(Origin::of_url(here).as_ref()), "{here}");
        }
        for other in [
            "https://example.com",
            "https://localhost.example.com/",
            "http://10.0.0.1",
            "https://example.com/?http://localhost",
            "http://localhost:x@example.com/",
        ] {
            assert!(!goes_to_this_machine(Origin::of_url(other).as_ref()), "{other}");
        }
    }
}
