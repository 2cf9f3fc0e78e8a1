//! Emulates SQS: standard queues, with visibility timeouts, delays and redrive to a queue of dead letters. A message is handed over at
//! least once.

mod store;

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

use anyhow::Result;
use aws_smithy_async::time::SharedTimeSource;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use self::store::{Hidden, Store};
pub use self::store::{Queue, Received};
use super::{
    AwsError,
    error::{parse, write},
};

/// Bytes of a message, and of all messages of a batch ("Amazon SQS message quotas").
const MAX_BYTES: usize = 256 * 1024;
/// Messages of a batch ("SendMessageBatch", Amazon SQS API Reference).
const MAX_BATCH: usize = 10;
/// Seconds of the longest delay ("SendMessage").
const MAX_DELAY: i64 = 900;
/// Seconds of the longest visibility timeout ("ChangeMessageVisibility").
const MAX_VISIBILITY: i64 = 43_200;
/// Characters of an id in a batch ("SendMessageBatchRequestEntry").
const MAX_ID: usize = 80;

/// All queues of the stack.
#[derive(Clone)]
pub struct Sqs {
    queues: Arc<Vec<Queue>>,
    store: Arc<Mutex<Store>>,
    clock: SharedTimeSource,
    /// Notified when a message has come, or its visibility was changed.
    changed: Arc<Notify>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Send {
    queue_url: String,
    message_body: String,
    delay_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendBatch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    message_body: String,
    delay_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Receive {
    queue_url: String,
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    queue_url: String,
    receipt_handle: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeVisibility {
    queue_url: String,
    receipt_handle: String,
    visibility_timeout: i64,
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterValue", message)
}

/// Refuses a text that cannot be a receipt handle. The handle of a message that is gone is not refused here.
fn check_receipt(receipt: &str) -> Result<(), AwsError> {
    if uuid::Uuid::parse_str(receipt).is_ok() {
        return Ok(());
    }
    Err(AwsError::new(
        "com.amazonaws.sqs#ReceiptHandleIsInvalid",
        format!("The input receipt handle \"{receipt}\" is not a valid receipt handle."),
    ))
}

impl Sqs {
    /// Opens the queues in this directory. Without one, their messages end with the process.
    ///
    /// # Errors
    /// The database cannot be read. It is never replaced.
    pub fn open(directory: Option<&Path>, queues: Vec<Queue>, clock: SharedTimeSource) -> Result<Self> {
        let store = Arc::new(Mutex::new(Store::open(directory)?));
        Ok(Self { queues: Arc::new(queues), store, clock, changed: Arc::default() })
    }

    /// Answers one call.
    ///
    /// # Errors
    /// The error that SQS answers.
    pub fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        match operation {
            "SendMessage" => self.send(parse(body)?),
            "SendMessageBatch" => self.send_batch(parse(body)?),
            "ReceiveMessage" => self.receive_call(parse(body)?),
            "DeleteMessage" => self.delete_call(parse(body)?),
            "ChangeMessageVisibility" => self.change_visibility(parse(body)?),
            _ => Err(AwsError::unknown_operation()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since 1970, by the clock of the functions.
    fn now(&self) -> i64 {
        let since = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn queue(&self, url: &str) -> Result<&Queue, AwsError> {
        let name = url.rsplit('/').next().unwrap_or_default();
        self.queues
            .iter()
            .find(|queue| queue.name == name)
            .ok_or_else(|| AwsError::new("com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist."))
    }

    /// The queue with this ARN.
    pub(crate) fn queue_of_arn(&self, arn: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.arn() == arn)
    }

    fn send(&self, request: Send) -> Result<Vec<u8>, AwsError> {
        let queue = self.queue(&request.queue_url)?;
        check_body(&request.message_body)?;
        let id = self.put(queue, &request.message_body, request.delay_seconds)?;
        write(&json!({"MessageId": id, "MD5OfMessageBody": md5_of(&request.message_body)}))
    }

    fn put(&self, queue: &Queue, body: &str, delay: Option<i64>) -> Result<String, AwsError> {
        let delay = delay.unwrap_or(queue.delay);
        if !(0..=MAX_DELAY).contains(&delay) {
            return Err(invalid(format!(
                "Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= {MAX_DELAY}."
            )));
        }
        let sent = self.lock().put(&queue.name, body, self.now(), delay * 1000);
        let id = sent.map_err(|error| AwsError::internal(&error))?;
        self.changed.notify_waiters();
        Ok(id)
    }

    fn send_batch(&self, request: SendBatch) -> Result<Vec<u8>, AwsError> {
        let queue = self.queue(&request.queue_url)?;
        let entries = &request.entries;
        let refused = |code: &'static str, message: &str| Err(AwsError::new(code, message.to_owned()));
        if entries.is_empty() {
            return refused(
                "com.amazonaws.sqs#EmptyBatchRequest",
                "There should be at least one SendMessageBatchRequestEntry in the request.",
            );
        }
        if entries.len() > MAX_BATCH {
            return refused(
                "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
                "Maximum number of entries per request are 10.",
            );
        }
        let is_id = |id: &str| {
            (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if !entries.iter().all(|entry| is_id(&entry.id)) {
            return refused(
                "com.amazonaws.sqs#InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            );
        }
        if entries.iter().map(|entry| entry.id.as_str()).collect::<HashSet<_>>().len() < entries.len() {
            return refused(
                "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
                "Two or more batch entries in the request have the same Id.",
            );
        }
        if entries.iter().map(|entry| entry.message_body.len()).sum::<usize>() > MAX_BYTES {
            return refused(
                "com.amazonaws.sqs#BatchRequestTooLong",
                "Batch requests cannot be longer than 262144 bytes.",
            );
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::<Value>::new());
        for entry in entries {
            let body = &entry.message_body;
            match check_body(body).and_then(|()| self.put(queue, body, entry.delay_seconds)) {
                Ok(id) => {
                    successful.push(json!({"Id": entry.id, "MessageId": id, "MD5OfMessageBody": md5_of(body)}));
                }
                Err(error) if error.status >= 500 => return Err(error),
                Err(error) => {
                    failed.push(
                        json!({"Id": entry.id, "SenderFault": true, "Code": error.code, "Message": error.message}),
                    );
                }
            }
        }
        let mut answer = json!({"Successful": successful});
        if !failed.is_empty() {
            answer["Failed"] = failed.into();
        }
        write(&answer)
    }

    fn receive_call(&self, request: Receive) -> Result<Vec<u8>, AwsError> {
        let queue = self.queue(&request.queue_url)?;
        let most = request.max_number_of_messages.unwrap_or(1);
        if !(1..=MAX_BATCH).contains(&most) {
            return Err(invalid(format!(
                "Value {most} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
            )));
        }
        let visibility = request.visibility_timeout.unwrap_or(queue.visibility);
        check_visibility(visibility)?;
        let received = self.receive(queue, most, visibility).map_err(|error| AwsError::internal(&error))?;
        if received.is_empty() {
            return write(&json!({}));
        }
        let messages: Vec<Value> = received
            .iter()
            .map(|message| json!({"MessageId": message.id, "ReceiptHandle": message.receipt, "Body": message.body, "MD5OfBody": md5_of(&message.body)}))
            .collect();
        write(&json!({"Messages": messages}))
    }

    /// Takes the next messages, and hides them for so many seconds. One that was taken as often as the redrive policy allows goes to the
    /// dead letters instead.
    pub(crate) fn receive(&self, queue: &Queue, most: usize, visibility: i64) -> Result<Vec<Received>> {
        self.lock().receive(queue, most, self.now(), visibility * 1000)
    }

    fn delete_call(&self, request: Delete) -> Result<Vec<u8>, AwsError> {
        let queue = self.queue(&request.queue_url)?;
        check_receipt(&request.receipt_handle)?;
        self.delete(queue, &request.receipt_handle).map_err(|error| AwsError::internal(&error))?;
        write(&json!({}))
    }

    /// Deletes the message that was received with this handle. One that was received again since stays.
    pub(crate) fn delete(&self, queue: &Queue, receipt: &str) -> Result<()> {
        self.lock().delete(&queue.name, receipt)
    }

    fn change_visibility(&self, request: ChangeVisibility) -> Result<Vec<u8>, AwsError> {
        let queue = self.queue(&request.queue_url)?;
        let seconds = request.visibility_timeout;
        check_visibility(seconds)?;
        check_receipt(&request.receipt_handle)?;
        let hidden =
            self.lock().hide(&queue.name, &request.receipt_handle, self.now(), seconds * 1000, MAX_VISIBILITY * 1000);
        match hidden.map_err(|error| AwsError::internal(&error))? {
            Hidden::Yes => {
                self.changed.notify_waiters();
                write(&json!({}))
            }
            Hidden::NotInFlight => Err(AwsError::new(
                "com.amazonaws.sqs#MessageNotInflight",
                format!(
                    "Value {} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.",
                    request.receipt_handle
                ),
            )),
            Hidden::TooLong => Err(invalid(format!(
                "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [{MAX_VISIBILITY} seconds]."
            ))),
        }
    }

    /// Milliseconds until a message of the queue can be received. `None` if there is none.
    pub(crate) fn due_in(&self, queue: &Queue) -> Result<Option<i64>> {
        Ok(self.lock().next_visible(&queue.name)?.map(|at| (at - self.now()).max(0)))
    }

    /// The number of messages of a queue, hidden ones included.
    pub fn count(&self, name: &str) -> usize {
        self.lock().count(name).unwrap_or_default()
    }

    /// The notifier for messages that have come, or whose visibility was changed.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }
}

fn check_visibility(seconds: i64) -> Result<(), AwsError> {
    if (0..=MAX_VISIBILITY).contains(&seconds) {
        return Ok(());
    }
    Err(invalid(format!(
        "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and {MAX_VISIBILITY}"
    )))
}

fn check_body(body: &str) -> Result<(), AwsError> {
    if body.is_empty() {
        return Err(AwsError::new("MissingParameter", "The request must contain the parameter MessageBody."));
    }
    if body.len() > MAX_BYTES {
        return Err(invalid(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {MAX_BYTES} bytes."
        )));
    }
    // "SendMessage": the characters of XML 1.0.
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{fffe}' | '\u{ffff}');
    if body.chars().all(is_allowed) {
        Ok(())
    } else {
        Err(AwsError::new(
            "com.amazonaws.sqs#InvalidMessageContents",
            "Invalid characters were found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        ))
    }
}

/// The MD5 of a text in hexadecimal digits, by which callers see that it arrived as it was sent.
pub(crate) fn md5_of(text: &str) -> String {
    format!("{:x}", md5::compute(text))
}
