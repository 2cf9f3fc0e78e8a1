//! Resolves a task to its execution, and makes the record or the pointer that a task lacks.

use jiff::Timestamp;

use super::{
    API, Asked, Attempt, ExecutionId, ExecutionRecord, Idempotency, NewExecution, TaskId,
    consistency::is_consistent,
    entries,
    items::{self, Located},
    overrides, pointer,
    run_request::without_credentials,
    tags,
    task_report::FARGATE_SPOT,
};
use crate::{
    App, Email, Error, RequestId, Result,
    audit::Actor,
    boxed,
    error::Service,
    image::{
        ImageId,
        task_definition::{self, RUNNER, SIDECAR},
    },
};

/// The execution of a task, by its record or by the pointer that leads to it. Makes the record or the pointer if it is missing.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution and ECS knows no such task of runvoy's: not yet, or not any more.
pub async fn execution_of(app: &App, task: &TaskId) -> Result<ExecutionId> {
    if let Some(id) = app.known_tasks.get(task.as_str()) {
        return Ok(id);
    }
    let id = match items::locate(app, task.as_execution()).await? {
        Some(Located::Execution(record)) => record.execution.execution_id,
        Some(Located::Pointer(id)) => id,
        None => match recover(app, task).await? {
            Some(record) => record.execution.execution_id,
            None => return Err(Error::not_found("execution", task.as_str())),
        },
    };
    app.known_tasks.insert(task.as_str(), &id);
    Ok(id)
}

/// Makes what a task's record lacks: for an execution that started at once, the record, from the task's tags and overrides; for another
/// one, the pointer from the task. Needed when the task's event came first, or the program died before it wrote the record. `None` when
/// the task is not one of runvoy's.
///
/// # Errors
/// [`Error::NotFound`] when ECS does not know the task or its tags: not yet, or not any more (an hour after its end).
#[boxed]
pub(crate) async fn recover(app: &App, id: &TaskId) -> Result<Option<ExecutionRecord>> {
    let answer = app
        .aws
        .ecs
        .describe_tasks()
        .cluster(&app.config.ecs_cluster)
        .tasks(id.as_str())
        .include(aws_sdk_ecs::types::TaskField::Tags)
        .send()
        .await
        .map_err(Error::aws(Service::Ecs))?;
    let Some(task) = answer.tasks().first() else {
        return Err(Error::not_found("execution", id.as_str()));
    };
    // ECS shows this with the task, and its tags later.
    if let Some(attempt) = task.started_by().and_then(Attempt::parse) {
        return pointer::adopt(app, &attempt, id).await;
    }
    let tag = |key: &str| task.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
    let started_at = task
        .created_at()
        .and_then(|at| at.to_millis().ok())
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .unwrap_or_else(|| app.now());
    let (Some("runvoy"), Some(created_by)) = (tag("Application"), tag(tags::CREATED_BY)) else {
        // ECS shows the tags of a new task later than the task.
        let may_be_ours = task.tags().is_empty() && !is_consistent(app, started_at);
        return if may_be_ours { Err(Error::not_found("execution", id.as_str())) } else { Ok(None) };
    };
    let variable = |container: &str, name: &str| {
        task.overrides()
            .into_iter()
            .flat_map(aws_sdk_ecs::types::TaskOverride::container_overrides)
            .filter(|one| one.name() == Some(container))
            .flat_map(aws_sdk_ecs::types::ContainerOverride::environment)
            .find(|variable| variable.name() == Some(name))
            .and_then(|variable| variable.value())
            .map(str::to_owned)
    };
    let asked = Asked {
        variables: variable(RUNNER, overrides::ENV_NAMES)
            .map(|names| names.split(' ').map(str::to_owned).collect())
            .unwrap_or_default(),
        git_repo: variable(SIDECAR, overrides::GIT_REPO).map(|repo| without_credentials(&repo)),
        git_ref: variable(SIDECAR, overrides::GIT_REF),
        git_path: variable(RUNNER, overrides::GIT_PATH),
        timeout: variable(RUNNER, overrides::TIMEOUT).and_then(|seconds| seconds.parse().ok()),
        cpu: task.overrides().and_then(|overrides| overrides.cpu()?.parse().ok()),
        memory: task.overrides().and_then(|overrides| overrides.memory()?.parse().ok()),
        disk: task.overrides().and_then(|overrides| overrides.ephemeral_storage()?.size_in_gib().try_into().ok()),
        spot: task.capacity_provider_name() == Some(FARGATE_SPOT),
        source: tag(tags::SOURCE).unwrap_or(API).to_owned(),
        ..Asked::default()
    };
    let new = NewExecution {
        execution_id: id.as_execution().clone(),
        created_by: Email::parse(created_by)
            .map_err(|error| Error::internal_with("a task is tagged with a creator that is no user", error))?,
        command: variable(RUNNER, overrides::COMMAND).unwrap_or_default(),
        image_id: ImageId::new(tag(tags::IMAGE_ID).unwrap_or_default()),
        started_at,
        request_id: RequestId::new(tag(tags::REQUEST_ID).unwrap_or_default()),
        idempotency: tag(tags::IDEMPOTENCY_KEY)
            .zip(tag(tags::REQUEST_HASH))
            .map(|(key, request_hash)| Idempotency { key: key.to_owned(), request_hash: request_hash.to_owned() }),
        asked,
        nonce: variable(RUNNER, overrides::NONCE),
    };
    let actor = Actor {
        name: new.created_by.to_string(),
        key_id: tag(tags::KEY_ID).map(str::to_owned),
        request_id: new.request_id.clone(),
        source_address: tag(tags::SOURCE_ADDRESS).map(str::to_owned),
    };
    let mut entries = vec![entries::of_run(app, &actor, &new.execution_id, &new.image_id, &new.asked)];
    // The use of secrets, and of the image with them, was written down before the task was started.
    if !task.task_definition_arn().is_some_and(task_definition::has_secrets) {
        entries.push(entries::of_image(app, &actor, &new.image_id, &new.asked.source));
    }
    items::create(app, &new, None, &entries).await.map(Some)
}
