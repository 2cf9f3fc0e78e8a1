//! Makes the execution of a request: checks what it uses, and starts it or lets it wait.

use runvoy_api_types::Approvals;

use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::{Action, Principal, Resource, policy},
    execution::{self, ExecutionRecord, Idempotency, RunContext, Started, Status, ValidRun, waiting},
    image::{self, Image},
    lock::{self, Taken},
    secret::{self, Secret},
};

use super::begin;

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
    /// The approvals for which the execution is `WAITING`, if it needs any.
    pub approvals: Option<&'a Approvals>,
}

impl<'a> Submission<'a> {
    fn context(&self) -> RunContext<'a> {
        let Self { principal, source, idempotency, .. } = *self;
        RunContext { principal, request_id: &self.actor.request_id, source, idempotency }
    }

    /// The record of an execution that waits.
    fn waiting(&self, app: &App, image: &Image, status: Status, waits_for: &str) -> Result<ExecutionRecord> {
        let mut record = waiting::record(app, self.request, image, self.context(), status, waits_for)?;
        record.rights_of = self.rights_of.cloned();
        Ok(record)
    }
}

/// Makes the execution of a request. Starts it at once, unless it needs an approval, or Fargate has no room and the request says that it
/// waits then. Returns the entries of the audit that the caller still has to write before it answers.
///
/// # Errors
/// [`Error::Invalid`] for an image or a secret that does not exist, [`Error::ForbiddenUse`] for one that the principal may not use,
/// [`Error::Conflict`] when the idempotency key was used for another request, [`Error::Aws`] when AWS fails.
pub async fn submit(app: &App, submission: Submission<'_>) -> Result<(ExecutionRecord, Vec<Entry>)> {
    if let Some(idempotency) = submission.idempotency
        && let Some(earlier) = idempotency.find_first(app).await?
    {
        return Ok((earlier, Vec::new()));
    }
    let (image, secrets) = resources(app, submission.request, submission.principal).await?;
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
) -> Result<(ExecutionRecord, Vec<Entry>)> {
    let Submission { request, principal, actor, idempotency, .. } = submission;
    let context = submission.context();
    let source = Some(submission.source).filter(|source| *source != execution::API);
    let use_of_image = Entry::done(app, actor, Action::UseImage, image::resource(image).name());
    let mut entries = vec![use_of_image.detail("source", source)];
    entries.extend(secrets.iter().map(|secret| {
        Entry::done(app, actor, Action::UseSecret, secret::resource(secret).name())
            .detail("key_name", secret.key_name.clone())
            .detail("source", source)
    }));
    let entry = |record: &ExecutionRecord| entry_of_run(app, submission, record);
    if let Some(approvals) = submission.approvals {
        let mut record = submission.waiting(app, image, Status::Waiting, "approval")?;
        record.execution.approval = Some(approvals.begin(app.now()));
        entries.push(entry(&record));
        return Ok((waiting::create(app, record, request, idempotency, &entries).await?, Vec::new()));
    }
    if !request.lock.is_empty() {
        let record = submit_with_locks(app, submission, image, entries).await?;
        return Ok((record, Vec::new()));
    }
    if !secrets.is_empty() {
        // RunTask hands the values over, so their use is written down before it.
        audit::write_all(app, &entries).await?;
        entries.clear();
    }
    let record = match execution::start(app, request, image, secrets, context).await? {
        Started::Execution(record) => *record,
        Started::NoCapacity(_) if request.waits() => {
            let record = submission.waiting(app, image, Status::Queued, waiting::CAPACITY)?;
            entries.push(entry(&record));
            return Ok((waiting::create(app, record, request, idempotency, &entries).await?, Vec::new()));
        }
        Started::NoCapacity(error) => return Err(error),
    };
    if record.execution.created_by_request_id == actor.request_id {
        entries.push(entry(&record));
    } else {
        // An earlier request under the same idempotency key has started it.
        entries.clear();
    }
    let execution_id = &record.execution.execution_id;
    tracing::info!(%execution_id, image_id = %image.image_id, by = %principal.email, "execution started");
    Ok((record, entries))
}

/// Makes an execution that holds locks while it runs. If they are not all free, it waits for them or is refused.
async fn submit_with_locks(
    app: &App,
    submission: Submission<'_>,
    image: &Image,
    mut entries: Vec<Entry>,
) -> Result<ExecutionRecord> {
    let Submission { request, idempotency, .. } = submission;
    for name in &request.lock {
        lock::check_slots(app, name, request.slots).await?;
    }
    let mut record = submission.waiting(app, image, Status::Starting, "")?;
    record.execution.waits_for = None;
    record.locks_held = u32::try_from(request.lock.len()).unwrap_or(u32::MAX);
    entries.push(entry_of_run(app, submission, &record).detail("lock", request.lock.clone()));
    let id = record.execution.execution_id.clone();
    let writes = waiting::writes(app, &record, request, idempotency)?;
    match lock::take_all(app, &record, request.slots, &writes, &entries).await? {
        Taken::Yes | Taken::Exists => {}
        Taken::No(refusal) if !request.waits() => return Err(refusal),
        Taken::No(_) => {
            lock::check_line(app, &request.lock).await?;
            (record.execution.status, record.locks_held) = (Status::Queued, 0);
            record.clear_start();
            waiting::create(app, record, request, idempotency, &entries).await?;
        }
    }
    // The execution exists. What fails from here on, the sweep does in a minute.
    if let Err(error) = begin::go_on(app, &id, request.slots).await {
        tracing::warn!(execution_id = %id, error = %error.chain(), "the execution goes on with the next sweep");
    }
    let record = execution::get(app, &id).await?;
    match idempotency {
        Some(idempotency) => idempotency.confirm(record),
        None => Ok(record),
    }
}

/// Makes an execution that has FAILED without a task, so that a run which nobody waits for and which could not be made is seen all the
/// same. The same idempotency key leads to the same execution.
///
/// # Errors
/// [`Error::Invalid`] for a run whose values must not be kept; [`Error::Aws`] when DynamoDB fails.
pub async fn submit_failed(app: &App, submission: Submission<'_>, reason: &str) -> Result<ExecutionRecord> {
    let Submission { request, idempotency, .. } = submission;
    let image_id = runvoy_api_types::ImageId::new(request.image.as_deref().unwrap_or_default());
    let mut record = waiting::record_of(app, request, image_id, submission.context(), Status::Failed)?;
    record.end_without_task(app, reason);
    let entry = entry_of_run(app, submission, &record).detail("failed", reason);
    let record = waiting::create(app, record, request, idempotency, &[entry]).await?;
    super::finish(app, &record).await?;
    Ok(record)
}

/// The image and the secrets of a run, which the principal may use.
///
/// # Errors
/// As [`submit`].
pub(super) async fn resources(
    app: &App,
    request: &execution::RunRequest,
    principal: &Principal,
) -> Result<(Image, Vec<Secret>)> {
    let may = |action: Action, resource: Resource<'_>, kind: &'static str, name: &str| {
        policy::authorize(principal, action, resource).map_err(|error| match error {
            Error::Forbidden(_) => Error::ForbiddenUse { kind, name: name.to_owned() },
            error => error,
        })
    };
    let image = image::resolve(app, request.image.as_deref()).await.map_err(|error| error.at_field("image"))?;
    may(Action::UseImage, image::resource(&image), "image", image.image_id.as_str())?;
    let secrets = match request.secrets.as_slice() {
        [] => Vec::new(),
        names => secret::find_all(app, names).await?,
    };
    for secret in &secrets {
        may(Action::UseSecret, secret::resource(secret), "secret", secret.name.as_str())?;
    }
    Ok((image, secrets))
}

/// The audit's entry of a run: names only, and no value of a variable.
fn entry_of_run(app: &App, submission: Submission<'_>, record: &ExecutionRecord) -> Entry {
    let resource = Resource::Execution { id: record.execution.execution_id.as_str(), owners: &[] }.name();
    let asked = &record.execution.asked;
    let source = Some(asked.source.as_str()).filter(|source| *source != execution::API);
    Entry::done(app, submission.actor, Action::Run, resource)
        .detail("image", record.execution.image_id.to_string())
        .detail("variables", asked.variables.clone())
        .detail("secrets", asked.secrets.clone())
        .detail("git_repo", asked.git_repo.clone())
        .detail("git_ref", asked.git_ref.clone())
        .detail("timeout", asked.timeout)
        .detail("source", source)
}
