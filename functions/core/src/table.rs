//! Reading and writing typed items. Every read that can come in pages is read to its end or to its limit.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};

use crate::Result;

pub type Item = HashMap<String, AttributeValue>;

/// The largest item that DynamoDB keeps, names and values together ("Constraints in Amazon DynamoDB").
pub const MAX_ITEM_BYTES: usize = 400 * 1024;

pub fn to_item<T: Serialize>(value: &T) -> Result<Item> {
    Ok(serde_dynamo::to_item(value)?)
}

pub fn from_item<T: DeserializeOwned>(item: Item) -> Result<T> {
    Ok(serde_dynamo::from_item(item)?)
}

pub fn string(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Reads one item by its key, strongly consistent.
pub async fn get<T: DeserializeOwned>(
    dynamodb: &aws_sdk_dynamodb::Client,
    table: &str,
    key: &str,
    value: &str,
) -> Result<Option<T>> {
    let found = dynamodb.get_item().table_name(table).key(key, string(value)).consistent_read(true).send().await?;
    found.item.map(from_item).transpose()
}

/// Reads a whole small table, page by page.
pub async fn scan<T: DeserializeOwned>(dynamodb: &aws_sdk_dynamodb::Client, table: &str) -> Result<Vec<T>> {
    let mut pages = dynamodb.scan().table_name(table).consistent_read(true).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        for item in page?.items.unwrap_or_default() {
            all.push(from_item(item)?);
        }
    }
    Ok(all)
}

/// Whether a conditional write was refused by its condition, as opposed to having failed.
pub trait ConditionFailed {
    fn condition_failed(&self) -> bool;
}

impl<E: aws_smithy_types::error::metadata::ProvideErrorMetadata> ConditionFailed for crate::error::SdkError<E> {
    fn condition_failed(&self) -> bool {
        self.as_service_error().and_then(|error| error.code()) == Some("ConditionalCheckFailedException")
    }
}

/// The reason for each action of a refused transaction, in the actions' order; empty when it failed otherwise.
pub fn cancellation_codes(
    error: &crate::error::SdkError<aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError>,
) -> Vec<String> {
    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException;
    match error.as_service_error() {
        Some(TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default().to_owned()).collect()
        }
        _ => Vec::new(),
    }
}
