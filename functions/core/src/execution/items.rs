//! Reads and writes the items of the executions table: executions, and pointers that lead from a task's id to its execution.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, Put, ReturnValue, TransactWriteItem, Update},
};
use jiff::Timestamp;
use runvoy_api_types::playbook_in_source;

use super::{
    Execution, ExecutionId, ExecutionRecord, Idempotency, LogStream, NewExecution, RunRequest, Status, TaskId, outcome,
    request,
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    boxed,
    image::task_definition::RUNNER,
    item_update::ItemUpdate,
    ownership::{self, OwnershipChange},
    table::{self, Item, Transacted, number, string},
    time,
};

/// The partition of the index that lists all executions.
pub(super) const LISTING: &str = "executions";

/// A sort key by start time, then by id. Its text order is its time order.
pub(super) fn started_key(started_at: Timestamp, id: &ExecutionId) -> String {
    format!("{}#{id}", time::rfc3339(started_at))
}

pub(super) fn update_of(app: &App, id: &ExecutionId) -> UpdateItemFluentBuilder {
    let update = app.aws.dynamodb.update_item();
    update.table_name(&app.config.tables.executions).key("execution_id", string(id.as_str()))
}

pub(crate) fn key(id: &ExecutionId) -> Item {
    Item::from([("execution_id".to_owned(), string(id.as_str()))])
}

/// A change of an execution's record that is made only if it has one of these statuses.
pub(crate) fn change_from(app: &App, id: &ExecutionId, from: &[Status]) -> ItemUpdate {
    ItemUpdate::new(&app.config.tables.executions, key(id)).only_if("status", from.iter().map(|from| string(*from)))
}

/// The writes that make a new execution: its record, and the request that its task is started from.
pub(crate) fn writes(
    app: &App,
    record: &ExecutionRecord,
    request: Option<&RunRequest>,
    idempotency: Option<&Idempotency>,
) -> Result<Vec<TransactWriteItem>> {
    let execution = &record.execution;
    let mut item = table::to_item(record)?;
    item.insert("listing".to_owned(), string(LISTING));
    item.insert("started_key".to_owned(), string(started_key(execution.started_at, &execution.execution_id)));
    if let Some(idempotency) = idempotency {
        item.insert("idempotency_key".to_owned(), string(&idempotency.key));
    }
    if let Some(playbook) = execution.asked.playbook() {
        item.insert("playbook".to_owned(), string(playbook));
    }
    // The index of finished attributes has no null.
    item.retain(|_, value| !value.is_null());
    let put = Put::builder()
        .table_name(&app.config.tables.executions)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(execution_id)")
        .build()?;
    let mut writes = vec![TransactWriteItem::builder().put(put).build()];
    if let Some(request) = request {
        writes.extend(request::write(app, &execution.execution_id, request)?);
    }
    Ok(writes)
}

impl ExecutionRecord {
    /// The record in an image of a stream record.
    ///
    /// # Errors
    /// [`Error::Internal`] for an item that is no execution.
    pub fn from_image(image: serde_dynamo::Item) -> Result<Self> {
        Ok(serde_dynamo::from_item::<_, Self>(image)?.with_reason())
    }

    /// The record in an item, with the reason of its end in words.
    pub(super) fn from_item(item: Item) -> Result<Self> {
        Ok(table::from_item::<Self>(item)?.with_reason())
    }

    /// The record with the reason of its end in words and its timing, which are made from the other attributes.
    pub(super) fn with_reason(mut self) -> Self {
        self.execution.reason = outcome::reason(&self);
        // The pause before an attempt is a part of it, and the attempts before are not.
        let asked_at = self.execution.earlier_attempts.last().map_or(self.execution.started_at, |one| one.ended_at);
        self.execution.timing = self.times.map(|times| times.timing(asked_at));
        self
    }
}

/// Writes the record of a task that ECS has accepted, the request that it was asked with, and the audit's entries of the run, all or none.
/// An event of the task may have made the record, and its entries, already; what it wrote stays.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
#[boxed]
pub async fn create(
    app: &App,
    new: &NewExecution,
    request: Option<&RunRequest>,
    entries: &[Entry],
) -> Result<ExecutionRecord> {
    let record = ExecutionRecord::of_task(new);
    let writes = writes(app, &record, request, new.idempotency.as_ref())?;
    match audit::transact(app, writes, entries).await? {
        Transacted::Done => Ok(record),
        Transacted::Refused(_) => {
            let keep = async {
                if let Some(request) = request {
                    request::keep(app, &new.execution_id, request).await;
                }
            };
            tokio::join!(merge(app, new), keep).0
        }
    }
}

/// Adds what is known of a new task to a record that an event of the task has made.
#[boxed]
async fn merge(app: &App, new: &NewExecution) -> Result<ExecutionRecord> {
    let id = &new.execution_id;
    let mut expression = "SET created_by = :by, owned_by = :owners, command = :command, image_id = :image, \
        listing = :listing, log_stream_name = :stream, created_by_request_id = :request, cloud = :cloud, \
        modified_by_request_id = if_not_exists(modified_by_request_id, :request), \
        started_at = if_not_exists(started_at, :started), started_key = if_not_exists(started_key, :started_key), \
        #status = if_not_exists(#status, :starting)"
        .to_owned();
    let mut update = update_of(app, id)
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":by", string(new.created_by.as_str()))
        .expression_attribute_values(":owners", AttributeValue::L(vec![string(new.created_by.as_str())]))
        .expression_attribute_values(":command", string(&new.command))
        .expression_attribute_values(":image", string(new.image_id.as_str()))
        .expression_attribute_values(":listing", string(LISTING))
        .expression_attribute_values(":stream", string(LogStream::new(RUNNER, &TaskId::from(id)).to_string()))
        .expression_attribute_values(":request", string(new.request_id.as_str()))
        .expression_attribute_values(":cloud", string("AWS"))
        .expression_attribute_values(":started", string(time::rfc3339(new.started_at)))
        .expression_attribute_values(":started_key", string(started_key(new.started_at, id)))
        .expression_attribute_values(":starting", string(Status::Starting))
        .return_values(ReturnValue::AllNew);
    if let Some(Idempotency { key, request_hash }) = &new.idempotency {
        expression.push_str(", idempotency_key = :key, request_hash = :hash");
        update = update
            .expression_attribute_values(":key", string(key))
            .expression_attribute_values(":hash", string(request_hash));
    }
    if let Some(nonce) = &new.nonce {
        // A repeated RunTask answers with the first task, which has another nonce than this call.
        expression.push_str(", nonce = if_not_exists(nonce, :nonce)");
        update = update.expression_attribute_values(":nonce", string(nonce));
    }
    let list =
        |names: &[String]| Some(AttributeValue::L(names.iter().map(string).collect())).filter(|_| !names.is_empty());
    let asked = &new.asked;
    for (name, value) in [
        ("variables", list(&asked.variables)),
        ("secrets", list(&asked.secrets)),
        ("git_repo", asked.git_repo.as_ref().map(string)),
        ("git_ref", asked.git_ref.as_ref().map(string)),
        ("git_path", asked.git_path.as_ref().map(string)),
        ("timeout", asked.timeout.map(number)),
        ("cpu", asked.cpu.map(number)),
        ("memory", asked.memory.map(number)),
        ("disk", asked.disk.map(number)),
        ("spot", asked.spot.then_some(AttributeValue::Bool(true))),
        ("source", Some(string(&asked.source))),
        ("playbook", playbook_in_source(&asked.source).map(string)),
    ] {
        if let Some(value) = value {
            expression.push_str(&format!(", #{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
    }
    let update = update.update_expression(expression);
    let written = table::write(app, || update.clone().send()).await?;
    ExecutionRecord::from_item(written.attributes.unwrap_or_default())
}

/// An item of the executions table.
pub(super) enum Located {
    Execution(Box<ExecutionRecord>),
    /// The item leads from a task's id to its execution. It has no attribute of an index, so that no list shows it.
    Pointer(ExecutionId),
}

/// The attribute of an item that leads from a task's id to its execution.
pub(super) const POINTER: &str = "task_of";

/// The item with this id, strongly consistent.
pub(super) async fn locate(app: &App, id: &ExecutionId) -> Result<Option<Located>> {
    let get = app.aws.dynamodb.get_item().table_name(&app.config.tables.executions);
    let found = get.key("execution_id", string(id.as_str())).consistent_read(true).send().await?;
    let Some(item) = found.item else { return Ok(None) };
    Ok(Some(match item.get(POINTER).and_then(|of| of.as_s().ok()) {
        Some(of) => Located::Pointer(of.parse()?),
        None => Located::Execution(Box::new(ExecutionRecord::from_item(item)?)),
    }))
}

/// The execution with this id, strongly consistent.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
#[boxed]
pub async fn find(app: &App, id: &ExecutionId) -> Result<Option<ExecutionRecord>> {
    match locate(app, id).await? {
        Some(Located::Execution(record)) => Ok(Some(*record)),
        Some(Located::Pointer(_)) | None => Ok(None),
    }
}

/// The execution with this id, strongly consistent.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(app: &App, id: &ExecutionId) -> Result<ExecutionRecord> {
    find(app, id).await?.ok_or_else(|| Error::not_found("execution", id.as_str()))
}

/// The statuses of these executions. One that does not exist has none.
pub(crate) async fn statuses(app: &App, ids: &[ExecutionId]) -> Result<HashMap<ExecutionId, Status>> {
    let batches = ids.chunks(table::MAX_BATCH_GET).map(|ids| {
        let keys = ids.iter().map(ToString::to_string);
        table::batch_get::<ExecutionRecord>(app, &app.config.tables.executions, "execution_id", keys)
    });
    let found = futures_util::future::try_join_all(batches).await?;
    let executions = found.into_iter().flatten().map(|record| record.execution);
    Ok(executions.map(|execution| (execution.execution_id, execution.status)).collect())
}

/// Gives an execution to other owners.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution.
pub async fn set_owners(app: &App, execution: &Execution, owners: &[Email], actor: &Actor) -> Result<()> {
    let id = &execution.execution_id;
    let entry = Entry::done(app, actor, Action::OwnExecution, format!("execution:{id}"));
    let change = OwnershipChange::owners(owners, &execution.owned_by, entry);
    let update = Update::builder().table_name(&app.config.tables.executions).key("execution_id", string(id.as_str()));
    let write = change.write(update, "", actor)?;
    match audit::transact(app, vec![write], &[change.entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(ownership::has_changed(&format!("the execution {id}"))),
    }
}
