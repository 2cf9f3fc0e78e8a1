//! Emulates SNS: topics with subscriptions by e-mail. No mail leaves the machine: the [outbox](super::outbox) keeps them, also those that
//! ask a recipient to confirm the address.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{
    error::EMULATED,
    exchange::Answer,
    outbox::{Entry, Outbox},
    state_file::StateFile,
};
use crate::stack::{ACCOUNT, REGION};

/// Characters of a topic's name ("CreateTopic", Amazon SNS API Reference).
const MAX_NAME: usize = 256;
/// The most characters of a subject: it has less than 100 ("Publish").
const MAX_SUBJECT: usize = 99;
/// Bytes of a message ("Publish").
const MAX_MESSAGE: usize = 256 * 1024;

/// The emulated SNS.
#[derive(Clone)]
pub struct Sns {
    topics: Arc<Mutex<BTreeMap<String, Topic>>>,
    file: StateFile,
    outbox: Outbox,
}

/// A topic, by its ARN.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Topic {
    subscriptions: Vec<Subscription>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Subscription {
    endpoint: String,
    /// A part of the ARN, and the token by which the recipient confirms.
    id: String,
    is_confirmed: bool,
}

struct SnsError {
    status: u16,
    code: &'static str,
    message: String,
}

fn refused(code: &'static str, message: impl Into<String>) -> SnsError {
    SnsError { status: 400, code, message: message.into() }
}

fn no_topic() -> SnsError {
    SnsError { status: 404, code: "NotFound", message: "Topic does not exist".to_owned() }
}

/// The operations that are emulated.
pub(super) const OPERATIONS: [&str; 5] =
    ["CreateTopic", "DeleteTopic", "Subscribe", "ListSubscriptionsByTopic", "Publish"];

impl Sns {
    pub(crate) fn open(file: StateFile, outbox: Outbox) -> Result<Self> {
        Ok(Self { topics: Arc::new(Mutex::new(file.read()?)), file, outbox })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one call of SNS's query protocol.
    pub fn call(&self, operation: &str, body: &[u8]) -> Answer {
        let form: BTreeMap<String, String> = parameters(body);
        let text = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let answered = match operation {
            "CreateTopic" => self.create(text("Name")),
            "DeleteTopic" => self.delete(text("TopicArn")),
            "Subscribe" => self.subscribe(text("TopicArn"), text("Protocol"), text("Endpoint")),
            "ListSubscriptionsByTopic" => self.list(text("TopicArn")),
            "Publish" => self.publish(text("TopicArn"), form.get("Subject").map(String::as_str), text("Message")),
            _ => Err(refused("InvalidAction", format!("this operation is not emulated; emulated are: {EMULATED}"))),
        };
        let (status, xml) = match answered {
            Ok(result) => {
                let result = if result.is_empty() {
                    String::new()
                } else {
                    format!("<{operation}Result>{result}</{operation}Result>")
                };
                (
                    200,
                    format!(
                        "<{operation}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">{result}<ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{operation}Response>",
                        uuid::Uuid::new_v4()
                    ),
                )
            }
            Err(SnsError { status, code, message }) => {
                let message = escaped(&message);
                (
                    status,
                    format!(
                        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
                        uuid::Uuid::new_v4()
                    ),
                )
            }
        };
        Answer { status, content_type: "text/xml", body: xml.into_bytes() }
    }

    fn write(&self, topics: &BTreeMap<String, Topic>) -> Result<(), SnsError> {
        self.file.write(topics).map_err(|error| SnsError {
            status: 500,
            code: "InternalError",
            message: error.to_string(),
        })
    }

    fn create(&self, name: &str) -> Result<String, SnsError> {
        let is_name = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !is_name {
            return Err(refused("InvalidParameter", "Invalid parameter: Topic Name"));
        }
        let arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
        let mut topics = self.lock();
        topics.entry(arn.clone()).or_default();
        self.write(&topics)?;
        Ok(format!("<TopicArn>{arn}</TopicArn>"))
    }

    fn delete(&self, arn: &str) -> Result<String, SnsError> {
        let mut topics = self.lock();
        topics.remove(arn);
        self.write(&topics)?;
        Ok(String::new())
    }

    fn subscribe(&self, arn: &str, protocol: &str, endpoint: &str) -> Result<String, SnsError> {
        let mut topics = self.lock();
        let topic = topics.get_mut(arn).ok_or_else(no_topic)?;
        if protocol != "email" {
            return Err(refused("InvalidParameter", "Invalid parameter: the emulation knows the protocol email only"));
        }
        if !endpoint.contains('@') {
            return Err(refused("InvalidParameter", "Invalid parameter: Email address"));
        }
        let subscription = match topic.subscriptions.iter().find(|one| one.endpoint == endpoint) {
            Some(existing) => existing.clone(),
            None => {
                let new = Subscription {
                    endpoint: endpoint.to_owned(),
                    id: uuid::Uuid::new_v4().to_string(),
                    is_confirmed: false,
                };
                topic.subscriptions.push(new.clone());
                new
            }
        };
        self.write(&topics)?;
        drop(topics);
        if !subscription.is_confirmed {
            let body = format!("You have chosen to subscribe to the topic {arn}. To confirm, use the button below.");
            let mail = Entry::mail(endpoint, "AWS Notification - Subscription Confirmation", &body);
            self.outbox.add(Entry { confirms: Some(subscription.id.clone()), ..mail });
        }
        Ok(format!(
            "<SubscriptionArn>{}</SubscriptionArn>",
            if subscription.is_confirmed { subscription.arn(arn) } else { "pending confirmation".to_owned() }
        ))
    }

    fn list(&self, arn: &str) -> Result<String, SnsError> {
        let topics = self.lock();
        let topic = topics.get(arn).ok_or_else(no_topic)?;
        let members: String = topic
            .subscriptions
            .iter()
            .map(|one| {
                let own = if one.is_confirmed { one.arn(arn) } else { "PendingConfirmation".to_owned() };
                let endpoint = escaped(&one.endpoint);
                format!("<member><TopicArn>{arn}</TopicArn><Protocol>email</Protocol><SubscriptionArn>{own}</SubscriptionArn><Owner>{ACCOUNT}</Owner><Endpoint>{endpoint}</Endpoint></member>")
            })
            .collect();
        Ok(format!("<Subscriptions>{members}</Subscriptions>"))
    }

    fn publish(&self, arn: &str, subject: Option<&str>, message: &str) -> Result<String, SnsError> {
        let topics = self.lock();
        let topic = topics.get(arn).ok_or_else(no_topic)?;
        if message.is_empty() {
            return Err(refused("InvalidParameter", "Invalid parameter: Empty message"));
        }
        if message.len() > MAX_MESSAGE {
            return Err(refused("InvalidParameter", "Invalid parameter: Message too long"));
        }
        // "Publish": ASCII that begins with a letter, a digit or punctuation, without line breaks and control characters.
        let is_subject = |subject: &str| {
            (1..=MAX_SUBJECT).contains(&subject.len())
                && subject.bytes().all(|b| (b' '..=b'~').contains(&b))
                && !subject.starts_with(' ')
        };
        if subject.is_some_and(|subject| !is_subject(subject)) {
            return Err(refused("InvalidParameter", "Invalid parameter: Subject"));
        }
        for subscription in topic.subscriptions.iter().filter(|one| one.is_confirmed) {
            self.outbox.add(Entry::mail(
                &subscription.endpoint,
                subject.unwrap_or("AWS Notification Message"),
                message,
            ));
        }
        Ok(format!("<MessageId>{}</MessageId>", uuid::Uuid::new_v4()))
    }

    /// Confirms a subscription, as its recipient does by the link in the mail. `false` when there is none with this token.
    ///
    /// # Errors
    /// The state cannot be written.
    pub(crate) fn confirm(&self, token: &str) -> Result<bool> {
        let mut topics = self.lock();
        let mut found = topics.values_mut().flat_map(|topic| &mut topic.subscriptions).filter(|one| one.id == token);
        let Some(subscription) = found.next() else { return Ok(false) };
        subscription.is_confirmed = true;
        self.file.write(&*topics)?;
        Ok(true)
    }
}

impl Subscription {
    fn arn(&self, topic: &str) -> String {
        format!("{topic}:{}", self.id)
    }
}

/// The parameters of a call in the query protocol.
fn parameters(body: &[u8]) -> BTreeMap<String, String> {
    let decoded =
        |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let body = String::from_utf8_lossy(body);
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
