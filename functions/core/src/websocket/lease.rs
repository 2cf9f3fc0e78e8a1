//! Gives leases on viewers. An invocation takes a lease on a viewer's record before it sends anything, so that one invocation at a time
//! sends to a viewer.
//!
//! A lease lasts for [`LEASE`] and is renewed after a tenth of that. An invocation that dies leaves a lease that does not change
//! until it ends.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::update_item::{UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;
use serde::Deserialize;

use super::connection::{Connection, ConnectionKey, item_key};
use crate::{
    App, Result,
    error::SdkError,
    random::random_text,
    table::{self, WriteError as _, number, string},
};

/// The time that a lease lasts. It is longer than the longest call to AWS, so that an invocation still has its lease when a slow call
/// returns.
const LEASE: Duration = Duration::from_secs(20);

/// The exclusive right to send to a viewer. Releasing or renewing it also writes the viewer's progress, as `connection` has it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    owner: String,
    taken: Timestamp,
}

/// The lease on a viewer as another invocation reads it. A later reading differs when the lease has been renewed or taken by a
/// third invocation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct LeaseHolder {
    lease_owner: String,
    lease_until: i64,
}

/// The result of an attempt to take a lease.
pub(super) enum LeaseAttempt {
    Taken(Box<Lease>),
    /// Another invocation has the lease.
    HeldBy(LeaseHolder),
    /// The viewer is a member of the fan-out, whose holder serves it.
    Member,
    /// The viewer has left.
    ViewerGone,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    joined: bool,
}

impl Lease {
    /// Takes the lease on a viewer, unless another invocation has it.
    pub(super) async fn take(app: &App, key: &ConnectionKey) -> Result<LeaseAttempt> {
        let owner = random_text::<12>()?;
        let taken = app.now();
        let now = taken.as_millisecond();
        let update = app
            .aws
            .dynamodb
            .update_item()
            .table_name(&app.config.tables.websocket_connections)
            .set_key(Some(item_key(key)))
            .update_expression("SET lease_owner = :owner, lease_until = :until REMOVE handed_over, fan_out")
            .condition_expression(
                "attribute_exists(connection_id) AND attribute_not_exists(joined) AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            )
            .expression_attribute_values(":owner", string(&owner))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":until", number(now + LEASE.as_millis() as i64))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let item = match table::write(app, || update.clone().send()).await {
            Ok(answer) => answer.attributes,
            Err(error) if error.condition_failed() => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(refused) => refused.item,
                _ => None,
            },
            Err(error) => return Err(error.into()),
        };
        let Some(item) = item.filter(|item| !item.is_empty()) else { return Ok(LeaseAttempt::ViewerGone) };
        if table::from_item::<Refused>(item.clone())?.joined {
            return Ok(LeaseAttempt::Member);
        }
        let holder: LeaseHolder = table::from_item(item.clone())?;
        // A refusal that names this owner means that the answer to the SDK's first try was lost: the lease is taken.
        if holder.lease_owner != owner {
            return Ok(LeaseAttempt::HeldBy(holder));
        }
        Ok(LeaseAttempt::Taken(Box::new(Self { connection: table::from_item(item)?, owner, taken })))
    }

    /// Takes a viewer out of the fan-out, and the lease on it, with its own position as `connection` has it. `None` if the viewer has left, or
    /// is no member any more.
    pub(super) async fn of_member(app: &App, connection: Connection) -> Result<Option<Self>> {
        let owner = random_text::<12>()?;
        let taken = app.now();
        let lease = Self { connection, owner, taken };
        let mut update =
            lease.update(app, &["lease_owner = :owner", "lease_until = :until"], &["joined", "handed_over", "fan_out"]);
        update = update
            .condition_expression("joined = :true")
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":until", number(taken.as_millisecond() + LEASE.as_millis() as i64))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match table::write(app, || update.clone().send()).await {
            Ok(_) => Ok(Some(lease)),
            Err(error) if error.condition_failed() => {
                let item = match error.into_service_error() {
                    UpdateItemError::ConditionalCheckFailedException(refused) => refused.item,
                    _ => None,
                };
                // A refusal that names this owner means that the answer to the SDK's first try was lost.
                let holder: Option<LeaseHolder> = item.and_then(|item| table::from_item(item).ok());
                Ok(holder.is_some_and(|holder| holder.lease_owner == lease.owner).then_some(lease))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tells whether the lease should be renewed before more is sent. A tenth of its time is early enough for waiting invocations to see
    /// within 2 seconds that its holder is alive.
    pub(super) fn is_aging(&self, app: &App) -> bool {
        app.now().duration_since(self.taken).unsigned_abs() > LEASE / 10
    }

    /// Renews the lease. `false` when it was lost to another invocation.
    pub(super) async fn renew(&mut self, app: &App) -> Result<bool> {
        let taken = app.now();
        let until = taken.as_millisecond() + LEASE.as_millis() as i64;
        let update = self.update(app, &["lease_until = :until"], &["handed_over", "fan_out"]);
        let is_held = self.write(app, update.expression_attribute_values(":until", number(until))).await?;
        self.taken = taken;
        Ok(is_held)
    }

    /// Releases the lease, unless it was lost. A repeated try of a release whose answer was lost looks like a lost lease, too.
    pub(super) async fn release(self, app: &App) -> Result<()> {
        let update = self.update(app, &[], &["lease_owner", "lease_until", "handed_over", "fan_out"]);
        self.write(app, update).await.map(drop)
    }

    /// Releases the lease on a viewer that lacks lines still, and marks the viewer as handed over: see
    /// [`hand_over`](super::hand_over::of_viewer).
    pub(super) async fn hand_over(self, app: &App) -> Result<()> {
        let update = self.update(app, &["handed_over = :true"], &["lease_owner", "lease_until", "fan_out"]);
        self.write(app, update.expression_attribute_values(":true", AttributeValue::Bool(true))).await.map(drop)
    }

    /// An update under this lease, which also writes the viewer's progress.
    fn update(&self, app: &App, set: &[&str], remove: &[&str]) -> UpdateItemFluentBuilder {
        let (mut set, mut remove) = (set.to_vec(), remove.to_vec());
        let mut update = app
            .aws
            .dynamodb
            .update_item()
            .table_name(&app.config.tables.websocket_connections)
            .set_key(Some(item_key(&self.connection.key)))
            .condition_expression("lease_owner = :owner")
            .expression_attribute_values(":owner", string(&self.owner));
        let Connection { served, last_event_id, sent_status, sent_ending, full_since, .. } = &self.connection;
        match full_since {
            Some(since) => {
                set.push("full_since = :full_since");
                update = update.expression_attribute_values(":full_since", number(*since));
            }
            None => remove.push("full_since"),
        }
        if *sent_ending {
            set.push("sent_ending = :true");
            update = update.expression_attribute_values(":true", AttributeValue::Bool(true));
        }
        if let Some(served) = served {
            set.push("served = :served");
            update = update.expression_attribute_values(":served", number(*served));
            match last_event_id {
                Some(id) => {
                    set.push("last_event_id = :last");
                    update = update.expression_attribute_values(":last", string(id));
                }
                None => remove.push("last_event_id"),
            }
        }
        if let Some(status) = sent_status {
            set.push("told = :told");
            update = update.expression_attribute_values(":told", string(*status));
        }
        let set = if set.is_empty() { String::new() } else { format!("SET {} ", set.join(", ")) };
        update.update_expression(format!("{set}REMOVE {}", remove.join(", ")))
    }

    /// `false` when another invocation has the lease.
    async fn write(&self, app: &App, update: UpdateItemFluentBuilder) -> Result<bool> {
        let written: Result<UpdateItemOutput, SdkError<UpdateItemError>> =
            table::write(app, || update.clone().send()).await;
        match written {
            Ok(_) => Ok(true),
            Err(error) if error.condition_failed() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
