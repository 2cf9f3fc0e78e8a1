//! Makes the execution of a request: checks what it uses, and starts it or lets it wait.

use runvoy_api_types::Approvals;

use super::{
    after::{self, Others},
    begin, end,
    resources::{Resources, check_size, resources},
    take_locks::{self, Taken},
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Principal,
    boxed,
    execution::{
        self, Execution, ExecutionId, ExecutionRecord, Idempotency, RunContext, Started, Status, ValidRun, entries,
        items, waiting,
    },
    image::{self, Image, ImageId},
    lock::order,
    secret::Secret,
    table::{self, Attempted},
};

/// The number of times that a run reads the executions again for which it waits, because some have ended meanwhile. Each of them can end
/// once, and conflicts of transactions take a few tries more.
const ATTEMPTS: u32 = 40;

/// A request, and who makes it.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    pub request: &'a ValidRun,
    pub principal: &'a Principal,
    pub actor: &'a Actor,
    /// Where the request came from: `api`, `schedule:nightly`.
    pub source: &'a str,
    /// The same key with the same request leads to the same execution, however often it is submitted.
    pub idempotency: Option<&'a Idempotency>,
    /// The user whose rights to the image and the secrets count, where they are not the principal's: the publisher of a playbook.
    pub rights_of: Option<&'a Email>,
    /// The published playbook that a schedule runs, with its version: `restart@3`.
    pub playbook_version: Option<&'a str>,
    /// The approvals for which the execution is `WAITING`, if it needs any.
    pub approvals: Option<&'a Approvals>,
}

impl<'a> Submission<'a> {
    fn context(&self) -> RunContext<'a> {
        let Self { principal, source, idempotency, .. } = *self;
        RunContext {
            principal,
            request_id: &self.actor.request_id,
            source_address: self.actor.source_address.as_deref(),
            source,
            idempotency,
            // A run with a deadline is started from its record.
            deadline: None,
        }
    }

    /// The record of an execution that waits.
    fn waiting(&self, app: &App, image: &Image, status: Status, waits_for: &str) -> Result<ExecutionRecord> {
        // A run that starts at once is refused by its launch.
        execution::check_overrides(self.request, image, self.principal, app.now())?;
        let mut record = waiting::record(app, self.request, image, self.context(), status, waits_for)?;
        record.rights_of = self.rights_of.cloned();
        record.execution.asked.playbook_version = self.playbook_version.map(str::to_owned);
        Ok(record)
    }
}

/// Makes the execution of a request. Starts it at once, unless it needs an approval, or Fargate has no room and the request says that it
/// waits then.
///
/// # Errors
/// [`Error::Invalid`] for an image or a secret that does not exist, [`Error::ForbiddenUse`] for one that the principal may not use,
/// [`Error::Conflict`] when the idempotency key was used for another request, [`Error::Aws`] when AWS fails.
pub async fn submit(app: &App, submission: Submission<'_>) -> Result<ExecutionRecord> {
    if let Some(idempotency) = submission.idempotency
        && let Some(earlier) = idempotency.find_first(app).await?
    {
        return Ok(earlier);
    }
    let Resources { image, secrets } = resources(app, submission.request, submission.principal).await?;
    submit_with(app, submission, &image, &secrets).await
}

/// As [`submit`], with an image and secrets that may be used.
///
/// # Errors
/// As [`submit`].
pub async fn submit_with(
    app: &App,
    submission: Submission<'_>,
    image: &Image,
    secrets: &[Secret],
) -> Result<ExecutionRecord> {
    let nothing = |_| std::future::ready(Ok(()));
    submit_beside(app, submission, image, secrets, nothing).await.map(|(record, ())| record)
}

/// As [`submit_with`], with other work that needs the execution's id only, and is done while the execution's record is written.
///
/// # Errors
/// As [`submit`], and those of the other work.
pub async fn submit_beside<T, F>(
    app: &App,
    submission: Submission<'_>,
    image: &Image,
    secrets: &[Secret],
    beside: impl FnOnce(ExecutionId) -> F,
) -> Result<(ExecutionRecord, T)>
where
    F: Future<Output = Result<T>>,
{
    let Submission { request, principal, actor, idempotency, source, .. } = submission;
    let context = submission.context();
    check_size(app, request, image)?;
    let mut entries = vec![entries::of_image(app, actor, &image.image_id, source)];
    entries.extend(secrets.iter().map(|secret| entries::of_secret(app, actor, secret, source)));
    let record = if let Some(approvals) = submission.approvals {
        let mut record = submission.waiting(app, image, Status::Waiting, "approval")?;
        record.execution.approval = Some(approvals.begin(app.now()));
        record
    } else if !request.lock.is_empty()
        || !request.after.is_empty()
        || request.deadline.is_some()
        || request.retry.is_some()
        || app.config.max_running.is_some()
        || submission.playbook_version.is_some()
        // ECS keeps no client token of a call for which it has no room, so only the execution's id tells a copy of the request. A run that may
        // not be kept cannot wait, but can start.
        || (idempotency.is_some() && request.waits() && waiting::check_can_wait(request).is_ok())
    {
        let record = submit_before_its_task(app, submission, image, entries).await?;
        let beside = beside(record.execution.execution_id.clone()).await?;
        return Ok((record, beside));
    } else {
        if !secrets.is_empty() {
            // RunTask hands the values over, so their use is written down before it.
            audit::write_all(app, &entries).await?;
            entries.clear();
        }
        match execution::start(app, request, image, secrets, context).await? {
            Started::Task(new) => {
                let id = &new.execution_id;
                tracing::info!(execution_id = %id, image_id = %image.image_id, by = %principal.email, "execution started");
                entries.push(entries::of_run(app, actor, id, &new.image_id, &new.asked));
                let created = execution::create(app, &new, Some(request), &entries);
                return tokio::try_join!(created, beside(id.clone()));
            }
            Started::Earlier(record) => {
                let beside = beside(record.execution.execution_id.clone()).await?;
                return Ok((*record, beside));
            }
            Started::NoCapacity(_) if request.waits() => {
                submission.waiting(app, image, Status::Queued, waiting::CAPACITY)?
            }
            Started::NoCapacity(error) => return Err(error),
        }
    };
    entries.push(entry_of_run(app, submission, &record));
    let record = waiting::create(app, record, request, idempotency, &entries).await?;
    let beside = beside(record.execution.execution_id.clone()).await?;
    Ok((record, beside))
}

/// Makes an execution whose task comes later: it waits for the ends of others, holds locks while it runs, or is one of as many as may run. If
/// they are not all free, it waits for them or is refused.
#[boxed]
async fn submit_before_its_task<'a>(
    app: &App,
    submission: Submission<'a>,
    image: &'a Image,
    mut entries: Vec<Entry>,
) -> Result<ExecutionRecord> {
    let Submission { request, idempotency, .. } = submission;
    for name in &request.lock {
        take_locks::check_slots(app, name, request.slots).await?;
    }
    let mut record = submission.waiting(app, image, Status::Starting, "")?;
    record.execution.waits_for = None;
    record.locks_held = u32::try_from(order::needed(app, &record.execution)).unwrap_or(u32::MAX);
    let entry = entry_of_run(app, submission, &record);
    entries.push(if request.lock.is_empty() { entry } else { entry.detail("lock", request.lock.clone()) });
    let id = record.execution.execution_id.clone();
    if !request.after.is_empty()
        && let Some(record) = Box::pin(wait_for_others(app, &record, submission, &entries)).await?
    {
        return Ok(record);
    }
    let writes = items::writes(app, &record, Some(request), idempotency)?;
    match take_locks::take_all(app, &record, &writes, &entries).await? {
        Taken::Yes | Taken::Exists => {}
        Taken::No(refusal) if !request.waits() => return made_meanwhile(app, &id, idempotency, refusal).await,
        Taken::No(_) => match Box::pin(take_locks::wait_in_line(app, &record, request, idempotency, &entries)).await {
            Err(full @ Error::Conflict(_)) => return made_meanwhile(app, &id, idempotency, full).await,
            waits => waits?,
        },
    }
    // The execution exists. What fails from here on, the sweep does in a minute.
    if let Err(error) = begin::go_on(app, &id).await {
        tracing::warn!(execution_id = %id, error = %error.chain(), "the execution goes on with the next sweep");
    }
    waiting::first(app, &id, idempotency).await
}

/// The execution that a copy of this request has made meanwhile: it may hold the very lock, or have the very place, for which this request is
/// refused. Otherwise the refusal stands.
async fn made_meanwhile(
    app: &App,
    id: &ExecutionId,
    idempotency: Option<&Idempotency>,
    refusal: Error,
) -> Result<ExecutionRecord> {
    if idempotency.is_some() && execution::find(app, id).await?.is_some() {
        return waiting::first(app, id, idempotency).await;
    }
    Err(refusal)
}

/// Makes the execution as one that waits for the ends of others, or has FAILED because they ended otherwise than they had to. `None` when
/// all have ended as they had to, so that it need not wait.
async fn wait_for_others(
    app: &App,
    record: &ExecutionRecord,
    submission: Submission<'_>,
    entries: &[Entry],
) -> Result<Option<ExecutionRecord>> {
    let Submission { request, principal, idempotency, .. } = submission;
    let mut others = after::read(app, &request.after).await?;
    after::check(&request.after, &others, principal)?;
    for attempt in 0..ATTEMPTS {
        let mut record = record.clone();
        let open = match after::look(&request.after, &others, request.run_if.unwrap_or_default()) {
            Others::Ended => return Ok(None),
            Others::Open(open) => open,
            Others::Missed(reason) => {
                record.queue(Vec::new());
                record.end_without_task(app, &reason);
                let record = waiting::create(app, record, request, idempotency, entries).await?;
                end::finish(app, &record).await?;
                return Ok(Some(record));
            }
        };
        let follow = waiting::follow(app, &record.execution.execution_id, &open)?;
        record.queue(open);
        let mut writes = items::writes(app, &record, Some(request), idempotency)?;
        writes.extend(follow);
        match audit::transact_once(app, writes, entries).await? {
            Attempted::Done => return Ok(Some(record)),
            Attempted::Refused(0) => {
                return waiting::first(app, &record.execution.execution_id, idempotency).await.map(Some);
            }
            // One of them has ended meanwhile.
            Attempted::Refused(_) | Attempted::Conflict => app.sleep(table::pause(app, attempt)).await,
        }
        others = after::read(app, &request.after).await?;
    }
    Err(table::too_much_contention("the executions that a run waits for"))
}

/// Makes an execution that has FAILED without a task, so that a run for which no person waits and which could not be made is seen all the
/// same. The same idempotency key leads to the same execution.
///
/// # Errors
/// [`Error::Invalid`] for a run whose values must not be kept; [`Error::Aws`] when DynamoDB fails.
pub async fn submit_failed(app: &App, submission: Submission<'_>, reason: &str) -> Result<ExecutionRecord> {
    let Submission { request, idempotency, .. } = submission;
    let image_id = match image::resolve(app, request.image.as_deref()).await {
        Ok(image) => image.image_id,
        Err(error @ (Error::Aws { .. } | Error::Internal { .. })) => return Err(error),
        Err(_) => ImageId::new(request.image.as_deref().unwrap_or(ImageId::NONE)),
    };
    let mut record = waiting::record_of(app, request, image_id, submission.context(), Status::Failed)?;
    record.execution.asked.playbook_version = submission.playbook_version.map(str::to_owned);
    record.end_without_task(app, reason);
    let entry = entry_of_run(app, submission, &record).detail("failed", reason);
    let record = waiting::create(app, record, request, idempotency, &[entry]).await?;
    // An earlier delivery may have made an execution that runs.
    if record.execution.status.is_terminal() && record.is_without_task() {
        end::finish(app, &record).await?;
    }
    Ok(record)
}

/// The audit's entry of the run that a record is of.
fn entry_of_run(app: &App, submission: Submission<'_>, record: &ExecutionRecord) -> Entry {
    let Execution { execution_id, image_id, asked, .. } = &record.execution;
    entries::of_run(app, submission.actor, execution_id, image_id, asked)
}
