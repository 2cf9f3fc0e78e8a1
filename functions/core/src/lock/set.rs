//! Shows and changes locks, and looks after them each minute.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use runvoy_api_types::{LockInFull, LockUse, SetLock};

use super::{
    MAX_QUEUE, MAX_SLOTS,
    items::{self, Claim, HEAD, HOLDER, Head, PLACE, check_name},
    nudge,
    release::free_lost,
};
use crate::{
    App, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    execution::ExecutionRecord,
    table::{self, number},
};

/// All locks, by name.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn list(app: &App) -> Result<Vec<LockInFull>> {
    let scan = app.aws.dynamodb.scan().table_name(&app.config.tables.locks).consistent_read(true);
    let mut found = scan.into_paginator().items().send();
    let (mut heads, mut claims) = (BTreeMap::new(), BTreeMap::<String, Vec<Claim>>::new());
    while let Some(item) = found.next().await {
        let item = item?;
        if item.get("place").and_then(|place| place.as_s().ok()).is_some_and(|place| place == HEAD) {
            let head: Head = table::from_item(item)?;
            heads.insert(head.name.clone(), head);
        } else {
            let claim: Claim = table::from_item(item)?;
            claims.entry(claim.name.clone()).or_default().push(claim);
        }
    }
    let mut in_full = |head: Head| {
        let mut claims = claims.remove(&head.name).unwrap_or_default();
        claims.sort_by(|one, other| one.place.cmp(&other.place));
        let (holders, queue) = claims.into_iter().partition(|claim| claim.place.starts_with(HOLDER));
        shown(head, holders, queue)
    };
    Ok(heads.into_values().map(&mut in_full).collect())
}

/// A lock with its holders and its line.
///
/// # Errors
/// [`Error::NotFound`] when no run has used it and no one has set it.
pub async fn show(app: &App, name: &str) -> Result<LockInFull> {
    let missing = || Error::not_found("lock", name);
    check_name(name).map_err(|_| missing())?;
    let head = items::head(app, name).await?.ok_or_else(missing)?;
    let holders = items::claims(app, name, HOLDER, None).await?;
    Ok(shown(head, holders, items::claims(app, name, PLACE, None).await?))
}

fn shown(head: Head, holders: Vec<Claim>, queue: Vec<Claim>) -> LockInFull {
    let in_line = |(at, claim): (usize, Claim)| LockUse { position: Some(at + 1), ..claim.shown() };
    LockInFull {
        lock: head.shown(),
        holders: holders.into_iter().map(Claim::shown).collect(),
        queue: queue.into_iter().enumerate().map(in_line).collect(),
    }
}

/// The place of an execution in the line of the lock that it waits for, counted from 1. `None` if it waits for none.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn place_in_line(app: &App, record: &ExecutionRecord) -> Result<Option<usize>> {
    let Some(name) = record.execution.locks.get(record.locks_held as usize) else { return Ok(None) };
    if record.place.is_none() {
        return Ok(None);
    }
    let line = items::claims(app, name, PLACE, None).await?;
    Ok(line.iter().position(|claim| claim.execution_id == record.execution.execution_id).map(|at| at + 1))
}

/// Changes a lock, and gives it to those in line if there are more slots now.
///
/// # Errors
/// [`Error::Invalid`] for a bad name or number.
pub async fn set(app: &App, name: &str, change: &SetLock, actor: &Actor) -> Result<LockInFull> {
    check_name(name)?;
    if change.slots.is_some_and(|slots| !(1..=MAX_SLOTS).contains(&slots)) {
        return Err(Error::invalid(format!("slots must be 1 to {MAX_SLOTS}")).at_field("slots"));
    }
    if change.max_queue.is_some_and(|most| most > MAX_QUEUE) {
        return Err(
            Error::invalid(format!("max_queue must be at most {MAX_QUEUE}, or 0 for no limit")).at_field("max_queue")
        );
    }
    let mut update = items::change(app, name).set_default("held", number(0)).set_default("waiting", number(0));
    update = match change.slots {
        Some(slots) => update.set("slots", number(slots)),
        None => update.set_default("slots", number(1)),
    };
    if let Some(paused) = change.paused {
        update = update.set("paused", AttributeValue::Bool(paused));
    }
    update = match change.max_queue {
        Some(0) => update.remove("max_queue"),
        Some(most) => update.set("max_queue", number(most)),
        None => update,
    };
    let entry = Entry::done(app, actor, Action::SetLock, format!("lock:{name}"))
        .detail("slots", change.slots)
        .detail("paused", change.paused)
        .detail("max_queue", change.max_queue);
    audit::transact(app, vec![update.write()?], &[entry]).await?;
    nudge(app, name).await?;
    show(app, name).await
}

/// Gives locks to those in line for whom nothing else does it, and takes them from executions that have ended.
///
/// # Errors
/// The first error, after all locks have been tried.
pub(crate) async fn sweep(app: &App) -> Result<()> {
    let mut failed = None;
    for lock in list(app).await?.into_iter().map(|one| one.lock).filter(|lock| lock.held > 0 || lock.waiting > 0) {
        let swept = async {
            free_lost(app, &lock.name).await?;
            nudge(app, &lock.name).await
        };
        if let Err(error) = swept.await {
            tracing::warn!(lock = lock.name, error = %error.chain(), "the lock was not looked after");
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}
