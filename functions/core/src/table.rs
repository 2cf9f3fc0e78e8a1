//! Reads and writes typed items of tables. A read that comes in pages is read to its end or to its limit.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, KeysAndAttributes, TransactWriteItem},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    App, Error, Result,
    backoff::{self, Backoff},
    boxed,
    error::{SdkError, Service},
};

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The largest item that DynamoDB keeps, names and values together ("Constraints in Amazon DynamoDB").
pub(crate) const MAX_ITEM_BYTES: usize = 400 * 1024;
/// The most times that a call is tried, because it collides with other writes or leaves keys unprocessed.
const ATTEMPTS: u32 = 8;
/// The first and the longest pause before a repetition.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(640));

pub(crate) fn to_item<T: Serialize>(value: &T) -> Result<Item> {
    Ok(serde_dynamo::to_item(value)?)
}

pub(crate) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T> {
    Ok(serde_dynamo::from_item(item)?)
}

pub(crate) fn string(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Reads one item by its key, strongly consistent.
pub(crate) async fn get<T: DeserializeOwned>(
    dynamodb: &aws_sdk_dynamodb::Client,
    table: &str,
    key: &str,
    value: &str,
) -> Result<Option<T>> {
    get_item(dynamodb, table, key, value).await?.map(from_item).transpose()
}

#[boxed]
async fn get_item(dynamodb: &aws_sdk_dynamodb::Client, table: &str, key: &str, value: &str) -> Result<Option<Item>> {
    let found = dynamodb.get_item().table_name(table).key(key, string(value)).consistent_read(true).send().await?;
    Ok(found.item)
}

/// Keys of one BatchGetItem ("BatchGetItem", DynamoDB API Reference).
pub(crate) const MAX_BATCH_GET: usize = 100;

/// Reads several items by their keys, at most [`MAX_BATCH_GET`], strongly consistent and in no particular order.
pub(crate) async fn batch_get<T: DeserializeOwned>(
    app: &App,
    table: &str,
    key: &str,
    values: impl IntoIterator<Item = String>,
) -> Result<Vec<T>> {
    let keys = values.into_iter().map(|value| HashMap::from([(key.to_owned(), string(value))])).collect();
    batch_get_items(app, table, keys).await?.into_iter().map(from_item).collect()
}

#[boxed]
async fn batch_get_items(app: &App, table: &str, keys: Vec<Item>) -> Result<Vec<Item>> {
    let mut wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?;
    let (mut found, mut pauses) = (Vec::new(), Backoff::new(PAUSES));
    for _ in 0..ATTEMPTS {
        let answer = app.aws.dynamodb.batch_get_item().request_items(table, wanted).send().await?;
        found.extend(answer.responses.unwrap_or_default().into_values().flatten());
        match answer.unprocessed_keys.and_then(|keys| keys.into_values().next()) {
            Some(rest) => wanted = rest,
            None => return Ok(found),
        }
        pauses.wait(app).await;
    }
    Err(Error::unavailable(Service::DynamoDb, "a batch of keys stayed unprocessed"))
}

/// Reads a whole small table, page by page, strongly consistent.
pub(crate) async fn scan<T: DeserializeOwned>(dynamodb: &aws_sdk_dynamodb::Client, table: &str) -> Result<Vec<T>> {
    let mut pages = dynamodb.scan().table_name(table).consistent_read(true).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        for item in page?.items.unwrap_or_default() {
            all.push(from_item(item)?);
        }
    }
    Ok(all)
}

/// The pause before the next attempt of a write that lost a race: random, so that those that collided do not collide again, and
/// longer after each attempt.
pub(crate) fn pause(app: &App, attempt: u32) -> Duration {
    app.jitter(backoff::after(PAUSES.0, PAUSES.1, attempt))
}

/// The failure of a write that has lost too many races, so that the caller's event is delivered again.
pub(crate) fn too_much_contention(what: &str) -> Error {
    Error::unavailable(Service::DynamoDb, format!("too many invocations write {what} at the same time"))
}

/// Tells refusals of a single write by DynamoDB apart.
pub(crate) trait WriteError {
    /// The write's own condition does not hold.
    fn condition_failed(&self) -> bool;

    /// A transaction is writing the same item at this moment ("TransactionConflictException", DynamoDB API Reference). The SDK
    /// does not repeat such a write.
    fn is_conflict(&self) -> bool;
}

impl<E: ProvideErrorMetadata> WriteError for SdkError<E> {
    fn condition_failed(&self) -> bool {
        self.as_service_error().and_then(|error| error.code()) == Some("ConditionalCheckFailedException")
    }

    fn is_conflict(&self) -> bool {
        self.as_service_error().and_then(|error| error.code()) == Some("TransactionConflictException")
    }
}

/// Sends a single write, and sends it again while a transaction is writing the same item.
pub(crate) async fn write<T, E, F>(app: &App, send: impl Fn() -> F) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let mut attempt = 0;
    loop {
        match send().await {
            Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                app.sleep(pause(app, attempt)).await;
                attempt += 1;
            }
            done => return done,
        }
    }
}

/// The reasons for which DynamoDB cancels a transaction that may succeed a moment later ("TransactionCanceledException", DynamoDB API
/// Reference). The SDK repeats throttled calls, and does not repeat these.
const BUSY: [&str; 4] =
    ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"];

/// The result of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transacted {
    Done,
    /// The condition of the write with this index does not hold. Nothing was written.
    Refused(usize),
}

/// The result of a transaction that was sent once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempted {
    Done,
    /// The condition of the write with this index does not hold. Nothing was written.
    Refused(usize),
    /// Another write of one of the items is under way, or DynamoDB throttles one of the keys. Nothing was written, and the transaction
    /// may be sent again.
    Conflict,
}

/// Sends a transaction once. For callers that read again before they repeat it.
#[boxed]
pub(crate) async fn transact_once(app: &App, writes: Vec<TransactWriteItem>) -> Result<Attempted> {
    let transaction = app.aws.dynamodb.transact_write_items().set_transact_items(Some(writes));
    let Err(error) = transaction.send().await else { return Ok(Attempted::Done) };
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return if error.is_conflict() { Ok(Attempted::Conflict) } else { Err(error.into()) };
    };
    // A reason for each write, in the order of the writes.
    let mut codes = cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default());
    if let Some(at) = codes.clone().position(|code| code == "ConditionalCheckFailed") {
        return Ok(Attempted::Refused(at));
    }
    if codes.any(|code| BUSY.contains(&code)) { Ok(Attempted::Conflict) } else { Err(error.into()) }
}

/// Tells whether a transaction failed because the items with one partition key have reached the 10 GB that DynamoDB allows in a table with a
/// local index ("Item collections").
pub(crate) fn is_full(error: &Error) -> bool {
    let Error::Aws { cause, .. } = error else { return false };
    let error = cause.downcast_ref::<SdkError<TransactWriteItemsError>>().and_then(|error| error.as_service_error());
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error else { return false };
    cancelled.cancellation_reasons().iter().any(|reason| reason.code() == Some("ItemCollectionSizeLimitExceeded"))
}

/// Sends a transaction, and sends it again while another write is in conflict with it or DynamoDB throttles it.
///
/// # Errors
/// [`Error::Aws`] when that lasts for more than a second.
#[boxed]
pub(crate) async fn transact(app: &App, writes: Vec<TransactWriteItem>) -> Result<Transacted> {
    for attempt in 0..ATTEMPTS {
        match transact_once(app, writes.clone()).await? {
            Attempted::Done => return Ok(Transacted::Done),
            Attempted::Refused(at) => return Ok(Transacted::Refused(at)),
            Attempted::Conflict => app.sleep(pause(app, attempt)).await,
        }
    }
    Err(Error::unavailable(Service::DynamoDb, "a transaction stayed in conflict with other writes, or was throttled"))
}
