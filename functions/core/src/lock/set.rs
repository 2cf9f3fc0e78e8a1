//! Shows and changes locks.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, TransactWriteItem};
use runvoy_api_types::{ExecutionId, LockInFull, LockUse, SetLock};

use super::{
    MAX_QUEUE, MAX_SLOTS,
    items::{self, Claim, HEAD, HOLDER, Head, PLACE, check_name},
    order::RUNNING,
};
use crate::{
    App, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    page::{Page, PageRequest},
    table::{self, Transacted, number},
};

/// A page of the locks that runs can ask for, by name.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn page(app: &App, request: &PageRequest) -> Result<Page<LockInFull>> {
    let mut locks = all(app).await?;
    locks.retain(|one| one.lock.name != RUNNING);
    request.of(locks, |one| one.lock.name.clone(), |one| one.lock.name.clone())
}

/// All locks, with the one that limits running executions.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn all(app: &App) -> Result<Vec<LockInFull>> {
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

/// The place of an execution in a lock's line, counted from 1. `None` if it is not in the line.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn place_in_line(app: &App, name: &str, id: &ExecutionId) -> Result<Option<usize>> {
    let line = items::claims(app, name, PLACE, None).await?;
    Ok(line.iter().position(|claim| claim.execution_id == *id).map(|at| at + 1))
}

/// Changes a lock. The caller of this function gives slots that have become free to those in line.
///
/// # Errors
/// [`Error::Invalid`] for a bad name or number.
pub async fn set(app: &App, name: &str, change: &SetLock, actor: &Actor) -> Result<()> {
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
    audit::transact(app, vec![update.write()?], &[entry]).await.map(drop)
}

/// Deletes a lock that no execution holds or waits for. The next run that names it makes it anew, with the slots that the run asks for and
/// without a pause.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Conflict`] while it is held or waited for.
pub async fn delete(app: &App, name: &str, actor: &Actor) -> Result<()> {
    let missing = || Error::not_found("lock", name);
    check_name(name).map_err(|_| missing())?;
    let delete = Delete::builder()
        .table_name(&app.config.tables.locks)
        .set_key(Some(items::key(name, HEAD)))
        // The counts change in the transactions that change the holders and the line.
        .condition_expression("held = :zero AND waiting = :zero")
        .expression_attribute_values(":zero", number(0))
        .build()?;
    let entry = Entry::done(app, actor, Action::DeleteLock, format!("lock:{name}"));
    let write = TransactWriteItem::builder().delete(delete).build();
    if audit::transact(app, vec![write], &[entry]).await? == Transacted::Done {
        return Ok(());
    }
    let Head { held, waiting, .. } = items::head(app, name).await?.ok_or_else(missing)?;
    Err(Error::conflict(format!("executions use lock {name}: {held} hold it, and {waiting} wait for it"))
        .with_hint(format!("wait for their ends, or stop them: GET /api/v1/locks/{name} shows them")))
}
