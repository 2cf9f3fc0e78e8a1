//! Reads and writes the items of the executions table.

use std::collections::HashSet;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue, Update},
};
use jiff::{SignedDuration, Timestamp};
use runvoy_api_types::playbook_in_source;
use serde::{Deserialize, Serialize};

use super::{
    Asked, Execution, ExecutionId, Idempotency, LogStream, RunRequest, Status, TaskId, TaskTimes, outcome, request,
    waiting,
};
use crate::{
    App, Email, Error, RequestId, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    image::{ImageId, task_definition::RUNNER},
    ownership::{self, OwnershipChange},
    table::{self, Transacted, number, string},
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
    /// The id of the line in the log that marks the beginning of the present attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempt_mark: Option<String>,
}

impl ExecutionRecord {
    /// The task of the present attempt. An execution without attempts started at once, and has its task's id.
    pub fn task(&self) -> Option<TaskId> {
        match self.execution.attempt {
            None => Some(TaskId::from(&self.execution.execution_id)),
            Some(_) => self.task_id.clone(),
        }
    }

    /// The tasks of all attempts, that of the present one last. An attempt for which there was no capacity had none.
    pub fn tasks(&self) -> Vec<TaskId> {
        let earlier = self.execution.earlier_attempts.iter();
        earlier.filter_map(|attempt| attempt.task_id.as_ref()?.parse().ok()).chain(self.task()).collect()
    }

    /// When the execution has to have ended. `None` without a deadline.
    pub fn deadline(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.execution.asked.deadline?).ok()?;
        self.execution.started_at.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// Tells whether its deadline has passed.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
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
        // The pause before an attempt is a part of it, and the attempts before are not.
        let asked_at = self.execution.earlier_attempts.last().map_or(self.execution.started_at, |one| one.ended_at);
        self.execution.timing = self.times.map(|times| times.timing(asked_at));
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

pub(super) fn update_of(app: &App, id: &ExecutionId) -> UpdateItemFluentBuilder {
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
            earlier_attempts: Vec::new(),
            next_attempt_at: None,
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
            place: None,
            pending_after: Vec::new(),
            followers: HashSet::new(),
            times: None,
            starting_at: None,
            attempt_mark: None,
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
