//! Takes the locks of an execution, or a place in line for the next one.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};

use crate::{
    App, Error, Result,
    audit::{self, Entry},
    boxed,
    execution::{self, ExecutionId, ExecutionRecord, Idempotency, RunRequest, Status},
    item_update::ItemUpdate,
    lock::{
        ATTEMPTS,
        items::{self, Claim, Head},
        order::{self, RUNNING},
        running,
    },
    table::{self, Attempted, number, string},
    time,
};

/// # Errors
/// [`Error::Conflict`] when a lock has another number of slots.
pub(crate) async fn check_slots(app: &App, name: &str, slots: Option<u32>) -> Result<()> {
    let Some(wanted) = slots else { return Ok(()) };
    match items::head(app, name).await? {
        Some(head) if head.slots != wanted => {
            Err(Error::conflict(format!("lock {name} has {} slots, not {wanted}", head.slots))
                .with_hint(format!("leave slots out, or change them: PUT /api/v1/locks/{name}"))
                .at_field("slots"))
        }
        _ => Ok(()),
    }
}

/// The result of an attempt to take all locks at once.
pub(crate) enum Taken {
    Yes,
    /// The execution exists already.
    Exists,
    /// A lock is not free. The error names its holder.
    No(Error),
}

/// Takes all locks of a new execution, which is made in the same transaction, or none.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails or too many take the locks at the same time.
pub(crate) async fn take_all(
    app: &App,
    record: &ExecutionRecord,
    writes: &[TransactWriteItem],
    entries: &[Entry],
) -> Result<Taken> {
    for attempt in 0..ATTEMPTS {
        let mut all = writes.to_vec();
        for index in 0..order::needed(app, &record.execution) {
            let name = order::nth(&record.execution, index);
            let head = running::head(app, name).await?;
            if head.as_ref().is_some_and(|head| !head.is_free()) {
                return Ok(Taken::No(is_held(app, name).await?));
            }
            all.push(take(app, name, record.execution.asked.slots)?);
            all.push(Claim::new(app, &record.execution, index).put(app)?);
        }
        match audit::transact_once(app, all, entries).await? {
            Attempted::Done => return Ok(Taken::Yes),
            Attempted::Refused(0) => return Ok(Taken::Exists),
            Attempted::Refused(_) | Attempted::Conflict => app.sleep(table::pause(app, attempt)).await,
        }
    }
    Err(table::too_much_contention("a lock"))
}

/// Makes a new execution that waits: it takes the locks that are free, up to the first that is not, and a place in the line of that one. If
/// all have become free meanwhile, it takes them. All of it is one transaction, so that no line gets longer than it may.
///
/// # Errors
/// [`Error::Conflict`] when as many wait for the lock as may; [`Error::Aws`] when DynamoDB fails or too many take the locks at the same time.
pub(crate) async fn wait_in_line(
    app: &App,
    new: &ExecutionRecord,
    request: &RunRequest,
    idempotency: Option<&Idempotency>,
    entries: &[Entry],
) -> Result<()> {
    let needed = order::needed(app, &new.execution);
    for attempt in 0..ATTEMPTS {
        let (mut record, mut locks) = (new.clone(), Vec::new());
        record.queue(Vec::new());
        let mut held = 0;
        while held < needed && record.place.is_none() {
            let name = order::nth(&new.execution, held);
            let head = running::head(app, name).await?;
            let claim = Claim::new(app, &new.execution, held);
            if head.as_ref().is_none_or(Head::is_free) {
                locks.extend([take(app, name, new.execution.asked.slots)?, claim.put(app)?]);
                held += 1;
                continue;
            }
            if let Some(full) = head.filter(Head::is_full) {
                return Err(is_full(&full));
            }
            let claim = claim.in_line();
            locks.extend([limited(queue(app, name)).write()?, claim.put(app)?]);
            record.place = Some(claim.place);
            record.execution.waits_for = Some(running::waits_for(name));
        }
        if record.place.is_none() {
            record = new.clone();
        }
        record.locks_held = u32::try_from(held).unwrap_or(u32::MAX);
        let mut all = execution::items::writes(app, &record, Some(request), idempotency)?;
        all.extend(locks);
        match audit::transact_once(app, all, entries).await? {
            Attempted::Done | Attempted::Refused(0) => return Ok(()),
            Attempted::Refused(_) | Attempted::Conflict => app.sleep(table::pause(app, attempt)).await,
        }
    }
    Err(table::too_much_contention("a lock"))
}

fn is_full(head: &Head) -> Error {
    let Head { name, waiting, .. } = head;
    Error::conflict(format!("{waiting} executions wait for lock {name}, as many as may"))
        .with_hint(format!("try again later, or raise max_queue: PUT /api/v1/locks/{name}"))
        .at_field("lock")
}

/// The refusal of a run that does not wait.
async fn is_held(app: &App, name: &str) -> Result<Error> {
    if name == RUNNING {
        return Ok(running::is_reached(app));
    }
    let holder = items::claims(app, name, items::HOLDER, Some(1)).await?.pop();
    let problem = match holder {
        Some(Claim { execution_id, by, since, .. }) => {
            format!("lock {name} is held by execution {execution_id} of {by} since {}", time::rfc3339(since))
        }
        None => match items::head(app, name).await? {
            Some(head) if head.paused => format!("lock {name} is paused"),
            Some(head) if head.waiting > 0 => {
                format!("others wait for lock {name}, which is being given to the first in line")
            }
            _ => format!("lock {name} was held until this moment"),
        },
    };
    let hint = format!("wait for it with \"on_conflict\": \"queue\"; GET /api/v1/locks/{name} shows it");
    Ok(Error::conflict(problem).with_hint(hint).at_field("lock"))
}

/// The change of a lock that is taken by an execution which comes now.
fn take(app: &App, name: &str, slots: Option<u32>) -> Result<TransactWriteItem> {
    items::change(app, name)
        .set_default("slots", number(running::first_slots(app, name, slots)))
        .set_default("waiting", number(0))
        .add("held", 1)
        .with_value(":zero", number(0))
        .with_value(":false", AttributeValue::Bool(false))
        .only_if_expression(
            "(attribute_not_exists(held) OR (held < slots AND waiting = :zero AND (attribute_not_exists(paused) OR \
             paused = :false)))",
        )
        .write()
}

/// The change of a lock for which another execution waits from now on.
fn queue(app: &App, name: &str) -> ItemUpdate {
    items::change(app, name)
        .add("waiting", 1)
        .with_value(":zero", number(0))
        .with_value(":true", AttributeValue::Bool(true))
        .only_if_expression("(held >= slots OR waiting > :zero OR paused = :true)")
}

/// The update of a line for an execution that comes now: the limit of the line may keep it out. One that holds other locks already gets in.
fn limited(queue: ItemUpdate) -> ItemUpdate {
    queue.only_if_expression("(attribute_not_exists(max_queue) OR waiting < max_queue)")
}

/// Takes the next locks of a QUEUED execution as far as they are free, or a place in line for the first that is not. An execution with all
/// its locks is STARTING. Does nothing if it has a place already.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails, or too many take the lock at the same time.
#[boxed]
pub(crate) async fn advance(app: &App, id: &ExecutionId) -> Result<()> {
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        let Some(record) = execution::find(app, id).await?.filter(|record| record.goes_on(app.now())) else {
            return Ok(());
        };
        let index = record.locks_held as usize;
        if index >= order::needed(app, &record.execution) {
            // It has its locks, or needs none any more.
            execution::begin(app, &record, &[]).await?;
            return Ok(());
        }
        let name = order::nth(&record.execution, index);
        let head = running::head(app, name).await?;
        let is_free = head.as_ref().is_none_or(Head::is_free);
        let claim = Claim::new(app, &record.execution, index);
        let change = execution::items::change_from(app, id, &[Status::Queued])
            .only_if("locks_held", [number(record.locks_held)])
            .only_if("attempt", record.execution.attempt.map(number))
            .only_if_absent("place");
        let writes = if is_free {
            vec![
                take(app, name, record.execution.asked.slots)?,
                claim.put(app)?,
                execution::with_lock(app, change, &claim).write()?,
            ]
        } else {
            let claim = claim.in_line();
            let change = change.set("place", string(&claim.place)).set("waits_for", string(running::waits_for(name)));
            vec![queue(app, name).write()?, claim.put(app)?, change.write()?]
        };
        match table::transact_once(app, writes).await? {
            Attempted::Done if is_free => attempt = 0,
            Attempted::Done => return Ok(()),
            Attempted::Refused(_) | Attempted::Conflict => {
                app.sleep(table::pause(app, attempt)).await;
                attempt += 1;
            }
        }
    }
    Err(table::too_much_contention("a lock"))
}
