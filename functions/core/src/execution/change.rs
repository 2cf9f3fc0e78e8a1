//! Changes the status of executions, each by one conditional write, and notes what becomes known of them between two changes.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use jiff::Timestamp;
use strum::VariantArray as _;

use super::{
    Changed, Execution, ExecutionId, ExecutionRecord, Status, TaskId, Transition,
    items::{find, update_of},
    release, retry,
};
use crate::{
    App, Result,
    audit::{self, Actor, Entry},
    boxed,
    table::{self, WriteError as _, number, string},
    time,
};

/// Moves an execution to a status by one conditional write, if [`Status::can_become`] allows it. Events that arrive in any order
/// and any number of times therefore lead to the same end. If another attempt follows the end of a task, the execution is `QUEUED` for it
/// instead.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
#[boxed]
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
        ("stopped_reason", with.stopped_reason.as_ref().map(string)),
        ("stop_code", with.stop_code.as_ref().map(string)),
        ("sidecar_exit_code", with.sidecar_exit_code.map(number)),
        ("modified_by_request_id", with.request_id.as_ref().map(|id| string(id.as_str()))),
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
        may_hold_locks = ENDS_ALONE;
    }
    let with_locks = update.clone().update_expression(&expression).condition_expression(&condition);
    let update = update.update_expression(expression).condition_expression(condition + may_hold_locks);
    let update = if may_hold_locks.is_empty() {
        update
    } else {
        let update = update.expression_attribute_names("#locks", "lock").expression_attribute_names("#retry", "retry");
        update.expression_attribute_values(":no_locks", number(0))
    };
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
                    let execution = &record.execution;
                    let ends_alone =
                        execution.locks.is_empty() && record.locks_held == 0 && execution.asked.retry.is_none();
                    // Another invocation may note the task at this moment. Then the caller finds it, and tries again.
                    let is_of_task = with.task.is_none() || with.task == record.task();
                    if to.is_terminal() && !ends_alone && is_of_task && execution.status.can_become(to) {
                        return Box::pin(end_or_retry(app, record, with_locks, &with)).await;
                    }
                    Ok(Changed::No(Box::new(record)))
                }
                _ => Ok(Changed::Missing),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Lets another attempt follow if the run asks for that. Otherwise ends an execution, and gives its locks back in the same transaction.
async fn end_or_retry(
    app: &App,
    record: ExecutionRecord,
    mut update: UpdateItemFluentBuilder,
    with: &Transition,
) -> Result<Changed> {
    if let Some(next) = retry::follow(app, &record, with).await? {
        return Ok(Changed::Yes(Box::new(next)));
    }
    if let Some(cost) = with.cost_estimate_usd {
        // Earlier attempts cannot change, because the update needs the task of the present one.
        update = update.expression_attribute_values(":cost_estimate_usd", number(cost + record.earlier_cost()));
    }
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
    let ended = release::end(app, &record, &update, &[]).await?;
    let Some(record) = find(app, id).await? else { return Ok(Changed::Missing) };
    Ok(if ended == release::End::Done { Changed::Yes(Box::new(record)) } else { Changed::No(Box::new(record)) })
}

/// The condition that an execution neither holds a lock nor waits for one, and has one attempt only.
const ENDS_ALONE: &str = " AND attribute_not_exists(#locks) AND (attribute_not_exists(locks_held) OR locks_held = :no_locks) \
     AND attribute_not_exists(#retry)";

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

/// Notes that the command has ended and its task has not, after which no attempt follows. Changes nothing when the task has ended, and
/// returns `false` then.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn note_ending(app: &App, id: &ExecutionId, task: &TaskId, exit_code: i32, at: Timestamp) -> Result<bool> {
    let fields = [("exit_code".to_owned(), number(exit_code)), ("at".to_owned(), string(time::rfc3339(at)))];
    let ending = AttributeValue::M(fields.into());
    note(app, id, task, "ending", ending, |status| !status.is_terminal()).await
}

/// Notes the commit that the sidecar has checked out, on the execution and in the audit, once.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
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

/// Sets one attribute of an execution that has one of these statuses and this task. `false` for any other.
pub(super) async fn note(
    app: &App,
    id: &ExecutionId,
    task: &TaskId,
    attribute: &str,
    value: AttributeValue,
    is_wanted: impl Fn(Status) -> bool,
) -> Result<bool> {
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
        Ok(_) => Ok(true),
        Err(error) if error.condition_failed() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
