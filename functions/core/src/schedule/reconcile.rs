//! Completes changes of schedules that were left halfway, and reports what only AWS or only a table has.

use std::collections::BTreeSet;

use runvoy_api_types::{SchedulesStatus, Severity};

use super::{
    fire,
    record::{self, Record, State},
    removal, scheduler,
};
use crate::{App, RequestId, audit::Actor, findings::Findings};

/// Compares the records with AWS.
pub(crate) async fn check(app: &App, request_id: &RequestId, findings: &mut Findings) -> SchedulesStatus {
    let mut status = SchedulesStatus::default();
    let compared = async {
        let records = record::all(app).await?;
        // A schedule that is made after the records were read is in AWS without a record here.
        let names: BTreeSet<String> = scheduler::names(app).await?.into_iter().collect();
        Ok::<_, crate::Error>((records, names))
    };
    let (records, mut in_aws) = match compared.await {
        Ok(compared) => compared,
        Err(error) => {
            findings.failed("schedule", &app.config.scheduler.group, &error);
            return status;
        }
    };
    let actor = Actor::program("reconcile", request_id);
    for record in &records {
        let name = record.schedule.name.as_str();
        let is_in_aws = in_aws.remove(name);
        if record.state == State::Active {
            status.total_schedules += 1;
        }
        match complete(app, record, is_in_aws, &actor).await {
            Ok(None) => status.verified_count += usize::from(record.state == State::Active),
            Ok(Some((problem, action))) => findings.mended("schedule", name, problem, action),
            Err(error) => findings.failed("schedule", name, &error),
        }
    }
    for name in in_aws {
        let known = match name.parse() {
            Ok(name) => record::read(app, &name).await.map_or(true, |record| record.is_some()),
            Err(_) => false,
        };
        if !known {
            let action = "delete it in EventBridge Scheduler, or create a schedule of that name";
            findings.note("schedule", &name, Severity::Warning, "it is in AWS and belongs to no schedule", action);
            status.orphaned_schedules.push(name);
        }
    }
    status
}

/// Completes what is under way with a schedule. Returns what was wrong, and what was done.
async fn complete(
    app: &App,
    record: &Record,
    is_in_aws: bool,
    actor: &Actor,
) -> crate::Result<Option<(&'static str, &'static str)>> {
    if record.state == State::Deleting {
        let is_resumed = removal::resume_removal(app, &record.schedule.name, actor).await?;
        return Ok(is_resumed.then_some(("its deletion was left halfway", "deleted it")));
    }
    if record.pending.is_some() {
        let is_completed = fire::complete(app, record, &actor.request_id).await?;
        return Ok(is_completed.then_some(("AWS did not have its last change", "brought AWS to it")));
    }
    let is_wanted = record.timing()?.after(app.now(), record.timing_since).is_some();
    if is_in_aws || !is_wanted {
        return Ok(None);
    }
    // A schedule that was changed or deleted after the records were read lacks nothing.
    let is_completed = fire::complete(app, record, &actor.request_id).await?;
    Ok(is_completed.then_some(("AWS did not have it", "made it in AWS again")))
}
