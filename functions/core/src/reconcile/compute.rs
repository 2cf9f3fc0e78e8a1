//! Checks that every image has its task definition, and every execution that has not ended its task.

use aws_sdk_ecs::types::Task;
use jiff::SignedDuration;
use runvoy_api_types::limits::MAX_TIMEOUT_SECONDS;

use runvoy_api_types::{ComputeStatus, Severity};

use crate::{
    App, Result,
    execution::{self, Changed, ExecutionRecord, consistency, list, outcome::Stop},
    findings::Findings,
    image::{
        Image,
        task_definition::{self, Needs},
    },
    logs::{completion, head},
    run::catch_up::{TASKS_A_CALL, catch_up, describe},
    websocket::fan_out,
};

/// The longest time from the start of a run to its end: the longest time limit, and an hour for a task that stops at it.
const LONGEST_RUN: SignedDuration = SignedDuration::from_secs(MAX_TIMEOUT_SECONDS as i64 + 3600);
/// After this long, Lambda does not try the event of a task's end again (three attempts, one and two minutes apart).
const EVENTS_ARE_OVER: SignedDuration = SignedDuration::from_mins(10);
/// The logs of executions that ended longer ago than this are left to their readers. `reconcile` runs each hour, and has tried them before.
const UNFINISHED_FOR: SignedDuration = SignedDuration::from_hours(3);

pub(super) async fn check(
    app: &App,
    images: &[Image],
    open: &[ExecutionRecord],
    findings: &mut Findings,
) -> ComputeStatus {
    let mut status = ComputeStatus { total_resources: images.len() + open.len(), ..ComputeStatus::default() };
    for image in images {
        match image_definition(app, image, findings).await {
            Ok(Found::Right) => status.verified_count += 1,
            Ok(Found::Recreated) => status.recreated_count += 1,
            Ok(Found::Retagged) => status.tag_updated_count += 1,
            Err(error) => findings.failed("image", image.image_id.as_str(), &error),
        }
    }
    match orphans(app, images).await {
        Ok(orphans) => {
            for family in &orphans {
                let action = "deregister it if nothing else uses it";
                findings.note("task_definition", family, Severity::Warning, "it belongs to no image", action);
            }
            status.orphaned_count = orphans.len();
            status.orphaned_resources = orphans;
        }
        Err(error) => findings.failed("task_definition", &task_definition::family_prefix(&app.config.stack), &error),
    }
    for executions in open.chunks(TASKS_A_CALL) {
        match describe(app, executions).await {
            Ok(tasks) => {
                for record in executions {
                    let id = &record.execution.execution_id;
                    // An execution without a task is moved on each minute: see `run::sweep`.
                    let Some(task) = record.task() else { continue };
                    match follow(app, record, tasks.get(task.as_str()), findings).await {
                        Ok(true) => status.verified_count += 1,
                        Ok(false) => {}
                        Err(error) => findings.failed("execution", id.as_str(), &error),
                    }
                }
            }
            Err(error) => findings.failed("execution", &format!("{} executions", executions.len()), &error),
        }
    }
    finish_logs(app, findings).await;
    status
}

/// Completes the logs of executions that have ended and whose log is not known to be complete, page by page.
async fn finish_logs(app: &App, findings: &mut Findings) {
    let now = app.now();
    let since = now - (LONGEST_RUN + UNFINISHED_FOR);
    let mut pages = list::EndedPages::new(since, (now - UNFINISHED_FOR, now - EVENTS_ARE_OVER));
    loop {
        let page = async {
            match pages.next(app).await? {
                Some(ended) => head::incomplete(app, ended).await.map(Some),
                None => Ok(None),
            }
        };
        match page.await {
            Ok(Some(unfinished)) => {
                for record in unfinished {
                    if let Err(error) = finish(app, &record, findings).await {
                        findings.failed("execution", record.execution.execution_id.as_str(), &error);
                    }
                }
            }
            Ok(None) => return,
            Err(error) => return findings.failed("execution", "the logs of ended executions", &error),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Right,
    Recreated,
    Retagged,
}

/// Checks the task definitions of an image: that of runs without a repository, and that of others, which the first such run registers.
async fn image_definition(app: &App, image: &Image, findings: &mut Findings) -> Result<Found> {
    let plain = definition(app, image, Needs::NOTHING, findings).await?;
    let with_git = definition(app, image, Needs::GIT, findings).await?;
    Ok(if plain == Found::Right { with_git } else { plain })
}

async fn definition(app: &App, image: &Image, needs: Needs<'_>, findings: &mut Findings) -> Result<Found> {
    let id = image.image_id.as_str();
    let family = task_definition::family_for(&app.config, image, needs);
    let Some((definition, tags)) = task_definition::describe(app, &family).await? else {
        if needs.git {
            return Ok(Found::Right);
        }
        task_definition::register(app, image, needs).await?;
        findings.mended("image", id, "its task definition was missing", "registered it again");
        return Ok(Found::Recreated);
    };
    if !task_definition::is_current(&app.config, image, needs, &definition) {
        task_definition::register(app, image, needs).await?;
        let message = "its task definition was of another version or another stack";
        findings.mended("image", id, message, "registered a revision");
        return Ok(Found::Recreated);
    }
    if task_definition::tags(image).iter().all(|tag| tags.contains(tag)) {
        return Ok(Found::Right);
    }
    task_definition::retag(app, image, definition.task_definition_arn().unwrap_or_default()).await?;
    findings.mended("image", id, "its task definition had wrong tags", "tagged it");
    Ok(Found::Retagged)
}

/// Families of this stack that belong to no image.
async fn orphans(app: &App, images: &[Image]) -> Result<Vec<String>> {
    let families = task_definition::families(app, &task_definition::family_prefix(&app.config.stack)).await?;
    let is_known = |family: &String| images.iter().any(|image| task_definition::belongs_to(family, image));
    Ok(families.into_iter().filter(|family| !is_known(family)).collect())
}

/// Moves an execution to the state of its task. Returns whether it was there already.
async fn follow(app: &App, record: &ExecutionRecord, task: Option<&Task>, findings: &mut Findings) -> Result<bool> {
    let id = &record.execution.execution_id;
    let (Some(task), Some(task_id)) = (task, record.task()) else { return close(app, record, findings).await };
    let changed = catch_up(app, record, task_id, task).await?;
    if changed {
        findings.mended("execution", id.as_str(), "an event of its task was lost", "wrote the task's state");
    }
    Ok(!changed)
}

/// Completes the log of an execution that has ended, if the events that should have done so have failed for good or had no time for all of
/// it.
async fn finish(app: &App, record: &ExecutionRecord, findings: &mut Findings) -> Result<()> {
    if !completion::finish(app, record).await? {
        return Ok(());
    }
    let id = &record.execution.execution_id;
    fan_out::notify(app, id).await;
    findings.mended(
        "execution",
        id.as_str(),
        "its log had not been compared to its end",
        "went on with CloudWatch Logs",
    );
    Ok(())
}

/// Closes an execution whose task ECS no longer knows.
async fn close(app: &App, record: &ExecutionRecord, findings: &mut Findings) -> Result<bool> {
    let execution = &record.execution;
    let now = app.now();
    if !consistency::is_consistent(app, record.has_task_since()) {
        return Ok(true);
    }
    let (status, mut with) = Stop::unknown(execution.status, now).transition(record.begun_at(), now);
    with.task = record.task();
    let id = &execution.execution_id;
    // ECS forgets a task an hour after its end, so CloudWatch shows its whole log by now. The log is completed before the status is
    // written, because an execution that has ended is checked for a few hours only.
    completion::complete(app, id, &Stop::at(record.begun_at())).await?;
    if let Changed::Yes(record) = execution::change(app, id, status, with).await? {
        fan_out::notify(app, &record.execution.execution_id).await;
        findings.mended("execution", id.as_str(), "ECS no longer knows its task", "closed it");
    }
    Ok(false)
}
