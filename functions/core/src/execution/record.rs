//! Reads and writes the items of the executions table.

use std::collections::HashSet;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use super::{
    Asked, Execution, ExecutionId, Idempotency, LogStream, RunRequest, Status, TaskId, TaskTimes, outcome, request,
    waiting,
};
use crate::{
    App, Email, Error, RequestId, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    image::{ImageId, task_definition::RUNNER},
    lock, playbook,
    table::{self, Transacted, WriteError as _, number, string},
    time,
};

/// An item of the executions table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecutionRecord {
    #[serde(flatten)]
    pub execution: Execution,
    /// A hash of the request, where the caller sent an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_hash: Option<String>,
    /// The text that proves the runner's last line. Absent for an execution of an earlier version of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// ECS's code for the end of the task, such as `SpotInterruption`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stop_code: Option<String>,
    /// The exit code of the container that clones the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sidecar_exit_code: Option<i32>,
    #[serde(flatten)]
    pub(crate) earlier_log: EarlierLog,
    /// For an execution that exists before its task: the task of its present attempt. Absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) task_id: Option<TaskId>,
    /// The user whose rights to the image and the secrets count, if they are not the creator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rights_of: Option<Email>,
    /// The number of its locks that it holds, in the order of its list.
    #[serde(default)]
    pub(crate) locks_held: u32,
    /// The number of slots of its lock, if it is the first to use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) slots: Option<u32>,
    /// Its place in the line of the next lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// The executions whose ends it still waits for, and how they have to end, unless they have been waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending_after: Vec<ExecutionId>,
    /// The executions that wait for the end of this one.
    #[serde(default, skip_serializing_if = "HashSet::is_empty")]
    pub(crate) followers: HashSet<ExecutionId>,
    /// The times that ECS has told of the task.
    #[serde(default, rename = "task_times", skip_serializing_if = "Option::is_none")]
    pub(super) times: Option<TaskTimes>,
    /// When the task of the present attempt was asked for.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(super) starting_at: Option<Timestamp>,
}

impl ExecutionRecord {
    /// The task of the present attempt. An execution without attempts started at once, and has its task's id.
    pub fn task(&self) -> Option<TaskId> {
        match self.execution.attempt {
            None => Some(TaskId::from(&self.execution.execution_id)),
            Some(_) => self.task_id.clone(),
        }
    }

    /// When the execution has to have ended. `None` without a deadline.
    pub fn deadline(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.execution.asked.deadline?).ok()?;
        self.execution.started_at.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// When the present attempt was begun: the time of the request, for an execution that started at once.
    pub fn begun_at(&self) -> Timestamp {
        self.starting_at.unwrap_or(self.execution.started_at)
    }

    /// The record in an image of a stream record.
    ///
    /// # Errors
    /// [`Error::Internal`] for an item that is no execution.
    pub fn from_image(image: serde_dynamo::Item) -> Result<Self> {
        Ok(serde_dynamo::from_item::<_, Self>(image)?.with_reason())
    }

    /// Tells whether the execution's task failed before its command ran.
    pub fn failed_to_start(&self) -> bool {
        self.execution.status == Status::Failed && self.stop_code.as_deref() == Some(outcome::FAILED_TO_START)
    }

    /// Tells whether ECS has told the end of a task.
    pub fn has_task_end(&self) -> bool {
        self.stop_code.is_some()
    }

    /// The record in an item, with the reason of its end in words.
    pub(super) fn from_item(item: table::Item) -> Result<Self> {
        Ok(table::from_item::<Self>(item)?.with_reason())
    }

    /// The record with the reason of its end in words and its timing, which are made from the other attributes.
    pub(super) fn with_reason(mut self) -> Self {
        self.execution.reason = outcome::reason(&self);
        self.execution.timing = self.times.map(|times| times.timing(self.execution.started_at));
        self
    }
}

/// The position up to which the log of an execution was stored by an earlier version of the program, which kept this on the execution's record.
/// [`LogHead`](crate::logs::LogHead) has it now.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EarlierLog {
    #[serde(default, skip_serializing)]
    pub(crate) log_sequence: u64,
    #[serde(default, skip_serializing)]
    pub(crate) log_last_event_id: Option<String>,
    #[serde(default, skip_serializing)]
    pub(crate) log_complete: bool,
    /// The number of viewers that have ever connected.
    #[serde(default, skip_serializing)]
    pub(crate) viewers: u64,
}

/// An execution whose task has just been started.
#[derive(Clone, Debug)]
pub struct NewExecution {
    pub execution_id: ExecutionId,
    pub created_by: Email,
    pub command: String,
    pub image_id: ImageId,
    pub started_at: Timestamp,
    pub request_id: RequestId,
    pub idempotency: Option<Idempotency>,
    pub asked: Asked,
    /// The text that proves the runner's last line.
    pub nonce: Option<String>,
}

/// The partition of the index that lists all executions.
pub(super) const LISTING: &str = "executions";

/// A sort key by start time, then by id. Its text order is its time order.
pub(super) fn started_key(started_at: Timestamp, id: &ExecutionId) -> String {
    format!("{}#{id}", time::rfc3339(started_at))
}

fn update_of(app: &App, id: &ExecutionId) -> UpdateItemFluentBuilder {
    let update = app.aws.dynamodb.update_item();
    update.table_name(&app.config.tables.executions).key("execution_id", string(id.as_str()))
}

impl ExecutionRecord {
    /// The record of an execution whose task has just been started.
    pub(super) fn of_task(new: &NewExecution) -> Self {
        let task = TaskId::from(&new.execution_id);
        let execution = Execution {
            execution_id: new.execution_id.clone(),
            created_by: new.created_by.clone(),
            owned_by: vec![new.created_by.clone()],
            command: new.command.clone(),
            image_id: new.image_id.clone(),
            started_at: new.started_at,
            completed_at: None,
            status: Status::Starting,
            exit_code: None,
            duration_seconds: None,
            log_stream_name: Some(LogStream::new(RUNNER, &task).to_string()),
            created_by_request_id: new.request_id.clone(),
            modified_by_request_id: new.request_id.clone(),
            cloud: "AWS".to_owned(),
            stopped_reason: None,
            reason: None,
            ending: None,
            timing: None,
            cost_estimate_usd: None,
            attempt: None,
            locks: Vec::new(),
            approval: None,
            waits_for: None,
            asked: new.asked.clone(),
        };
        Self {
            execution,
            request_hash: new.idempotency.as_ref().map(|idempotency| idempotency.request_hash.clone()),
            nonce: new.nonce.clone(),
            stop_code: None,
            sidecar_exit_code: None,
            earlier_log: EarlierLog::default(),
            task_id: None,
            rights_of: None,
            locks_held: 0,
            slots: None,
            place: None,
            pending_after: Vec::new(),
            followers: HashSet::new(),
            times: None,
            starting_at: None,
        }
    }
}

/// Writes the record of a task that ECS has accepted, the request that it was asked with, and the audit's entries of the run, all or none.
/// An event of the task may have made the record, and its entries, already; what it wrote stays.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn create(
    app: &App,
    new: &NewExecution,
    request: Option<&RunRequest>,
    entries: &[Entry],
) -> Result<ExecutionRecord> {
    let record = ExecutionRecord::of_task(new);
    let writes = waiting::writes(app, &record, request, new.idempotency.as_ref())?;
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
        ("playbook", playbook::name_in_source(&asked.source).map(string)),
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

/// The execution with this id, strongly consistent.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn find(app: &App, id: &ExecutionId) -> Result<Option<ExecutionRecord>> {
    match locate(app, id).await? {
        Some(Located::Execution(record)) => Ok(Some(*record)),
        Some(Located::Pointer(_)) | None => Ok(None),
    }
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
/// [`Error::NotFound`].
pub async fn get(app: &App, id: &ExecutionId) -> Result<ExecutionRecord> {
    find(app, id).await?.ok_or_else(|| Error::not_found("execution", id.as_str()))
}

/// Gives an execution to other owners.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution.
pub async fn set_owners(app: &App, id: &ExecutionId, owners: &[Email], actor: &Actor) -> Result<()> {
    let list = AttributeValue::L(owners.iter().map(|owner| string(owner.as_str())).collect());
    let update = Update::builder()
        .table_name(&app.config.tables.executions)
        .key("execution_id", string(id.as_str()))
        .update_expression("SET owned_by = :owners, modified_by_request_id = :request")
        .condition_expression("attribute_exists(execution_id)")
        .expression_attribute_values(":owners", list)
        .expression_attribute_values(":request", string(actor.request_id.as_str()))
        .build()?;
    let entry = Entry::done(app, actor, Action::OwnExecution, format!("execution:{id}"))
        .detail("owned_by", owners.iter().map(Email::to_string).collect::<Vec<_>>());
    let write = TransactWriteItem::builder().update(update).build();
    match audit::transact(app, vec![write], &[entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(Error::not_found("execution", id.as_str())),
    }
}

/// The attributes that a status change writes besides the status.
#[derive(Clone, Debug, Default)]
pub struct Transition {
    pub exit_code: Option<i32>,
    pub completed_at: Option<Timestamp>,
    pub duration_seconds: Option<i64>,
    pub stopped_reason: Option<String>,
    pub stop_code: Option<String>,
    pub sidecar_exit_code: Option<i32>,
    pub request_id: Option<RequestId>,
    pub times: Option<TaskTimes>,
    pub cost_estimate_usd: Option<f64>,
    /// The task whose event makes the change. An execution that has another task by now does not change.
    pub task: Option<TaskId>,
}

/// The result of a status change.
#[derive(Debug)]
pub enum Changed {
    /// The status was written. Holds the record after the change.
    Yes(Box<ExecutionRecord>),
    /// The execution cannot take that status any more. Holds the record as it was found.
    No(Box<ExecutionRecord>),
    /// There is no such execution, or its record has not been written yet.
    Missing,
}

/// Moves an execution to a status by one conditional write, if [`Status::can_become`] allows it. Events that arrive in any order
/// and any number of times therefore lead to the same end.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn change(app: &App, id: &ExecutionId, to: Status, with: Transition) -> Result<Changed> {
    let mut expression = "SET #status = :to".to_owned();
    let mut condition = condition(to);
    let mut update = update_of(app, id)
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":to", string(to))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    for from in Status::VARIANTS.iter().filter(|from| from.can_become(to)) {
        update = update.expression_attribute_values(format!(":from_{from}"), string(*from));
    }
    for (attribute, value) in [
        ("exit_code", with.exit_code.map(number)),
        ("completed_at", with.completed_at.map(|at| string(time::rfc3339(at)))),
        ("duration_seconds", with.duration_seconds.map(number)),
        ("stopped_reason", with.stopped_reason.map(string)),
        ("stop_code", with.stop_code.map(string)),
        ("sidecar_exit_code", with.sidecar_exit_code.map(number)),
        ("modified_by_request_id", with.request_id.map(|id| string(id.as_str()))),
        ("task_times", with.times.map(|times| table::to_item(&times).map(AttributeValue::M)).transpose()?),
        ("cost_estimate_usd", with.cost_estimate_usd.map(number)),
    ] {
        if let Some(value) = value {
            expression.push_str(&format!(", {attribute} = :{attribute}"));
            update = update.expression_attribute_values(format!(":{attribute}"), value);
        }
    }
    if to.is_terminal() {
        expression.push_str(" REMOVE ending");
    }
    let mut may_hold_locks = "";
    if let Some(task) = &with.task {
        condition.push_str(OF_TASK);
        update = update.expression_attribute_values(":task", string(task.as_str()));
    }
    if to.is_terminal() {
        may_hold_locks = " AND attribute_not_exists(#locks)";
    }
    let with_locks = update.clone().update_expression(&expression).condition_expression(&condition);
    let update = update.update_expression(expression).condition_expression(condition + may_hold_locks);
    let update = if may_hold_locks.is_empty() { update } else { update.expression_attribute_names("#locks", "lock") };
    match table::write(app, || update.clone().send()).await {
        Ok(written) => {
            let record = ExecutionRecord::from_item(written.attributes.unwrap_or_default())?;
            Ok(Changed::Yes(Box::new(record)))
        }
        Err(error) if error.condition_failed() => {
            use aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException;
            match error.into_service_error() {
                ConditionalCheckFailedException(refused) if refused.item().is_some_and(|item| !item.is_empty()) => {
                    let record = ExecutionRecord::from_item(refused.item.unwrap_or_default())?;
                    if to.is_terminal() && !record.execution.locks.is_empty() && record.execution.status.can_become(to)
                    {
                        return end_with_locks(app, record, with_locks).await;
                    }
                    Ok(Changed::No(Box::new(record)))
                }
                _ => Ok(Changed::Missing),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Ends an execution, and gives its locks back in the same transaction.
async fn end_with_locks(app: &App, record: ExecutionRecord, update: UpdateItemFluentBuilder) -> Result<Changed> {
    let input = update.as_input();
    let update = Update::builder()
        .set_table_name(input.get_table_name().clone())
        .set_key(input.get_key().clone())
        .set_update_expression(input.get_update_expression().clone())
        .set_condition_expression(input.get_condition_expression().clone())
        .set_expression_attribute_names(input.get_expression_attribute_names().clone())
        .set_expression_attribute_values(input.get_expression_attribute_values().clone())
        .build()?;
    let id = &record.execution.execution_id;
    let ended = lock::end(app, &record, &update, &[]).await?;
    let Some(record) = find(app, id).await? else { return Ok(Changed::Missing) };
    Ok(if ended == lock::End::Done { Changed::Yes(Box::new(record)) } else { Changed::No(Box::new(record)) })
}

/// The condition that the present task of an execution is `:task`. An execution without attempts has one task only.
const OF_TASK: &str = " AND (attribute_not_exists(attempt) OR task_id = :task)";

/// DynamoDB's condition under which a write may set a status. The values are named `:from_STATUS`.
fn condition(to: Status) -> String {
    let before: Vec<String> = Status::VARIANTS
        .iter()
        .filter(|status| status.can_become(to))
        .map(|status| format!(":from_{status}"))
        .collect();
    format!("attribute_exists(execution_id) AND #status IN ({})", before.join(", "))
}

/// Notes that the command has ended and its task has not. Changes nothing when the task has.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn note_ending(app: &App, id: &ExecutionId, task: &TaskId, exit_code: i32, at: Timestamp) -> Result<()> {
    let fields = [("exit_code".to_owned(), number(exit_code)), ("at".to_owned(), string(time::rfc3339(at)))];
    let ending = AttributeValue::M(fields.into());
    note(app, id, task, "ending", ending, |status| !status.is_terminal()).await
}

/// Notes the commit that the sidecar has checked out, on the execution and in the audit, once.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn note_commit(app: &App, id: &ExecutionId, task: &TaskId, commit: &str) -> Result<()> {
    let Some(record) = find(app, id).await? else { return Ok(()) };
    let Execution { created_by_request_id, asked, .. } = &record.execution;
    if asked.git_commit.as_deref() == Some(commit) {
        return Ok(());
    }
    let entry = Entry::done(
        app,
        &Actor::program("event", created_by_request_id),
        "executions:checkout",
        format!("execution:{id}"),
    )
    .detail("git_repo", asked.git_repo.clone())
    .detail("git_ref", asked.git_ref.clone())
    .detail("git_commit", commit);
    let update = Update::builder()
        .table_name(&app.config.tables.executions)
        .key("execution_id", string(id.as_str()))
        .update_expression("SET git_commit = :commit")
        .condition_expression(format!(
            "(attribute_not_exists(git_commit) OR git_commit <> :commit) AND attribute_exists(execution_id){OF_TASK}"
        ))
        .expression_attribute_values(":commit", string(commit))
        .expression_attribute_values(":task", string(task.as_str()))
        .build()?;
    // A refusal is that of a repeated event, or of a task that is not the present one any more.
    audit::transact(app, vec![TransactWriteItem::builder().update(update).build()], &[entry]).await.map(drop)
}

/// Sets one attribute of an execution that has one of these statuses and this task.
async fn note(
    app: &App,
    id: &ExecutionId,
    task: &TaskId,
    attribute: &str,
    value: AttributeValue,
    is_wanted: impl Fn(Status) -> bool,
) -> Result<()> {
    let statuses: Vec<Status> = Status::VARIANTS.iter().copied().filter(|status| is_wanted(*status)).collect();
    let names: Vec<String> = statuses.iter().map(|status| format!(":from_{status}")).collect();
    let mut update = update_of(app, id)
        .update_expression("SET #attribute = :value")
        .condition_expression(format!("#status IN ({}){OF_TASK}", names.join(", ")))
        .expression_attribute_values(":task", string(task.as_str()))
        .expression_attribute_names("#attribute", attribute)
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":value", value);
    for (name, status) in names.into_iter().zip(statuses) {
        update = update.expression_attribute_values(name, string(status));
    }
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(()),
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
