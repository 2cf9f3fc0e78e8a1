//! Keeps schedules: runs that start at times of a clock, at a rate, or once. A record says what runs and when; EventBridge Scheduler holds
//! the time, and sends an event to the event processor when it comes.
//!
//! The record changes first, with its entry in the audit, and says that AWS may not have the change yet (`pending`). Then AWS is brought to
//! the record, which can be repeated, and the mark is removed. If an invocation dies in between, the schedule's next event or reconcile
//! does the rest after a minute. Each event names the times that AWS had when it was sent, so that an event of earlier times is recognized.
//! A run's idempotency key is the schedule and the time, so an event that comes twice starts one run.

mod beside;
mod change;
mod cron;
mod entry;
mod fire;
mod of_playbook;
mod ownership;
mod reconcile;
mod record;
mod removal;
mod scheduler;
mod timing;

use std::collections::BTreeSet;

use jiff::Timestamp;
use runvoy_api_types::PlaybookName;

pub use change::{NewSchedule, ScheduleChange, Times, create, update};
pub use fire::{Due, fire};
pub(crate) use of_playbook::{Part, check_part, keep_part, remove_part};
pub use ownership::{set_owners, set_sharing};
pub(crate) use reconcile::check;
pub use removal::delete;
pub use runvoy_api_types::{OnMissed, Schedule, ScheduleName, ScheduledPlaybook, ScheduledRun, ScheduledTime};
pub use scheduler::DETAIL_TYPE;
pub use timing::{Timing, zone};

use crate::{
    App, Error, Result,
    auth::{Action, Principal, Resource, policy},
    execution::{KeptSecret, RunRequest, ValidRun, kept_secret},
    page::{Page, PageRequest},
    playbook::{self, Prepared},
};

/// The most times that one request can ask for.
pub const MAX_NEXT: usize = 500;
/// Bytes of a run that a schedule keeps, so that a list of schedules stays readable. ECS takes less for a task.
const MAX_RUN_BYTES: usize = 16 * 1024;

/// The schedule as the policies see it.
pub fn resource(schedule: &Schedule) -> Resource<'_> {
    Resource::Schedule {
        name: schedule.name.as_str(),
        owners: &schedule.owned_by,
        shared_with: schedule.shared_with.as_deref(),
    }
}

/// The schedule of this name, with the statuses of its last executions.
///
/// # Errors
/// [`Error::NotFound`], also for a text that no schedule can be named.
pub async fn find(app: &App, name: &str) -> Result<Schedule> {
    let found = record::active(app, name).await?;
    record::shown(app, vec![found]).await?.pop().ok_or_else(|| Error::not_found("schedule", name))
}

/// A page of the schedules that a user may see, by name.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn page(app: &App, request: &PageRequest, principal: &Principal) -> Result<Page<Schedule>> {
    let may_see = |record: &record::Record| {
        record.state == record::State::Active
            && policy::authorize(principal, Action::ReadSchedule, resource(&record.schedule)).is_ok()
    };
    let mut records: Vec<_> = record::all(app).await?.into_iter().filter(may_see).collect();
    records.sort_by(|a, b| a.schedule.name.cmp(&b.schedule.name));
    let name = |record: &record::Record| record.schedule.name.to_string();
    let page = request.of(records, name, name)?;
    Ok(Page { items: record::shown(app, page.items).await?, next: page.next, total: page.total })
}

/// The playbooks that have schedules, each once.
pub(crate) async fn playbooks(app: &App) -> Result<BTreeSet<PlaybookName>> {
    Ok(record::all(app).await?.into_iter().filter_map(|record| record.schedule.of_playbook).collect())
}

/// The next times of a schedule, also of one that is paused.
///
/// # Errors
/// [`Error::NotFound`] when there is no such schedule, [`Error::Invalid`] for a count of 0 or of more than [`MAX_NEXT`].
pub async fn next(app: &App, name: &str, count: usize) -> Result<Vec<Timestamp>> {
    if !(1..=MAX_NEXT).contains(&count) {
        return Err(Error::invalid(format!("count must be 1 to {MAX_NEXT}")).at_field("count"));
    }
    let record = record::active(app, name).await?;
    let timing = record.timing()?;
    // A schedule that is paused would begin when it is resumed.
    let begin = if record.schedule.enabled { record.timing_since } else { app.now() };
    Ok(timing.next(app.now(), begin, count))
}

/// The run or the playbook of a schedule.
#[derive(Clone, Debug)]
pub enum What {
    Run(Box<ScheduledRun>),
    Playbook(ScheduledPlaybook),
}

impl What {
    /// # Errors
    /// [`Error::Invalid`] for both, and for none.
    pub fn of(run: Option<ScheduledRun>, playbook: Option<ScheduledPlaybook>) -> Result<Self> {
        match (run, playbook) {
            (Some(run), None) => Ok(Self::Run(Box::new(run))),
            (None, Some(playbook)) => Ok(Self::Playbook(playbook)),
            (Some(_), Some(_)) => {
                Err(Error::invalid("a schedule has a run or a playbook, not both").at_field("playbook"))
            }
            (None, None) => {
                Err(Error::invalid("a schedule has a run or a playbook").with_hint("say what it runs").at_field("run"))
            }
        }
    }
}

/// The error for a schedule whose playbook does not exist, or is not shown to the caller.
pub fn unknown_playbook(error: Error) -> Error {
    unknown_playbook_at("playbook.name", error)
}

fn unknown_playbook_at(field: &'static str, error: Error) -> Error {
    match error {
        Error::NotFound { .. } => {
            Error::invalid(error.to_string()).with_hint("GET /api/v1/playbooks lists the playbooks").at_field(field)
        }
        error => error,
    }
}

/// The run of a schedule's playbook, with this user's right to run it. The image and the secrets are used with the right of the user who
/// published it.
///
/// # Errors
/// [`Error::Invalid`] for a playbook or a version that does not exist, and for a value, with the field below `playbook`;
/// [`Error::Forbidden`] when the user may not run it; [`Error::Conflict`] when its publisher lacks a right.
pub async fn prepare_playbook(app: &App, scheduled: &ScheduledPlaybook, principal: &Principal) -> Result<Prepared> {
    let ScheduledPlaybook { name, version, parameters } = scheduled;
    let size = parameters.iter().map(|(name, value)| name.len() + value.0.len()).sum::<usize>();
    if size > MAX_RUN_BYTES {
        let problem = format!("the values have {size} bytes, and a schedule keeps {MAX_RUN_BYTES} at most");
        return Err(Error::invalid(problem).at_field("playbook.parameters"));
    }
    let found = playbook::find(app, name).await.map_err(unknown_playbook)?;
    policy::authorize(principal, Action::RunPlaybook, playbook::resource(&found))?;
    let found = match version {
        Some(version) => playbook::to_run(app, found, *version, principal)
            .await
            .map_err(|error| unknown_playbook_at("version", error))
            .map_err(|error| error.below("playbook"))?,
        None => found,
    };
    let values = parameters.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    playbook::prepare(app, &found, &values).await.map_err(|error| error.below("playbook"))
}

/// Checks the run of a schedule, which is kept in a table and runs without a person who looks at it.
///
/// # Errors
/// [`Error::Invalid`] that names the field below `run`.
pub fn check_run(run: &ScheduledRun) -> Result<ValidRun> {
    let size =
        serde_json::to_vec(run).map_err(|error| Error::internal_with("a run could not be serialized", error))?.len();
    if size > MAX_RUN_BYTES {
        return Err(Error::invalid(format!("the run has {size} bytes, and a schedule keeps {MAX_RUN_BYTES} at most"))
            .at_field("run"));
    }
    match kept_secret(&run.env, run.git_repo.as_deref()) {
        None => {}
        Some(KeptSecret::Variable(name)) => {
            return Err(Error::invalid(format!("the name of the variable {name} says that its value is a secret, and a schedule keeps its variables readable"))
                .with_hint("use a secret in its place")
                .at_field(format!("run.env.{name}")));
        }
        Some(KeptSecret::Repository) => {
            return Err(Error::invalid("git_repo has credentials, and a schedule keeps it readable")
                .with_hint("use a secret whose variable is GIT_TOKEN")
                .at_field("run.git_repo"));
        }
    }
    ValidRun::try_from(request_of(run)).map_err(|error| error.below("run"))
}

fn request_of(run: &ScheduledRun) -> RunRequest {
    let run = run.clone();
    RunRequest {
        command: run.command,
        image: run.image,
        env: run.env,
        secrets: run.secrets,
        timeout: run.timeout,
        git_repo: run.git_repo,
        git_ref: run.git_ref,
        git_path: run.git_path,
        cpu: run.cpu,
        memory: run.memory,
        disk: run.disk,
        spot: run.spot,
        lock: run.lock,
        slots: run.slots,
        on_conflict: run.on_conflict,
        deadline: run.deadline,
        retry: run.retry,
        ..RunRequest::default()
    }
}
