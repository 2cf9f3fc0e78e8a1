//! Does `runvoy schedules`: lists, shows, makes and changes schedules.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use runvoy_api_types::{
    NextTimes, RequestedValue, Schedule, ScheduleAnswer, ScheduledPlaybook, ScheduledRun, ScheduledTime, Status,
    UpdateSchedule,
};
use serde_json::{Value, json};

use super::{context::Context, published, run};
use crate::{
    api::segment,
    arguments::{Create, Schedules},
    failure::{Failure, Result},
    output::{self, Columns, ago, cell, names, or_dash},
};

/// The format of a time on the clock of a zone.
const CLOCK: &str = "%Y-%m-%d %H:%M:%S %Z";

pub(crate) async fn schedules(context: Context, command: Schedules) -> Result<u8> {
    let path = |name: &str| format!("/schedules/{}", segment(name));
    match command {
        Schedules::List { search } => list(&context, search).await?,
        Schedules::Show { name } => {
            let answer = context.api.get(&path(&name)).await?;
            context.show(&answer, |answer: ScheduleAnswer| show(&answer.schedule))?;
        }
        Schedules::Create(create) => self::create(&context, *create).await?,
        Schedules::Next { name, count } => {
            let answer = context.api.get(&format!("{}/next?count={count}", path(&name))).await?;
            let zone = match context.is_json() {
                true => String::new(),
                false => context.api.get(&path(&name)).await?.parse::<ScheduleAnswer>()?.schedule.timezone,
            };
            context.show(&answer, |answer: NextTimes| next(&answer.times, &zone))?;
        }
        Schedules::Pause { name } => change(&context, &path(&name), false).await?,
        Schedules::Resume { name } => change(&context, &path(&name), true).await?,
        Schedules::Run { name, watch } => {
            return run::start_by(context, &format!("{}/run", path(&name)), &Value::Null, &watch).await;
        }
        Schedules::Delete { name, confirmation } => {
            confirmation.ask(&format!("Delete the schedule {name}?"))?;
            let answer = context.api.delete(&path(&name)).await?;
            context.done(&answer)?;
        }
    }
    Ok(0)
}

async fn list(context: &Context, search: Option<String>) -> Result<()> {
    let path = search.map_or_else(|| "/schedules".to_owned(), |search| format!("/schedules?q={}", segment(&search)));
    let table = |schedules: &[Schedule]| {
        let mut columns = Columns::new(&["NAME", "NEXT", "LAST", "TIMES", "COMMAND"]);
        for schedule in schedules {
            columns.row([
                cell(&schedule.name),
                if schedule.enabled { or_dash(schedule.next_at.map(until)) } else { "paused".to_owned() },
                schedule.recent.first().map_or_else(|| "-".to_owned(), status_of),
                times(schedule),
                output::short(&cell(what(schedule)), 80),
            ]);
        }
        columns.print("there are no schedules: `runvoy schedules create`")
    };
    context.list(&path, "schedules", table).await
}

/// The status of the execution of a time. A time at which nothing ran has failed.
fn status_of(time: &ScheduledTime) -> String {
    match (&time.execution_id, time.status) {
        (None, _) => output::status(Status::Failed.into()),
        (Some(_), status) => status.map_or_else(|| "-".to_owned(), |status| output::status(status.into())),
    }
}

/// The times of a schedule, and their zone where it is not UTC.
fn times(schedule: &Schedule) -> String {
    let times = match (&schedule.cron, &schedule.rate, &schedule.at) {
        (Some(cron), _, _) => cell(cron),
        (_, Some(rate), _) => format!("every {}", cell(rate)),
        (_, _, Some(at)) => format!("at {}", cell(at)),
        (None, None, None) => "-".to_owned(),
    };
    match schedule.timezone.as_str() {
        "UTC" => times,
        zone => format!("{times} {}", cell(zone)),
    }
}

/// The time until a moment, such as `in 5 min`.
fn until(time: Timestamp) -> String {
    let seconds = time.duration_since(Timestamp::now()).as_secs();
    match seconds {
        ..0 => "now".to_owned(),
        0..60 => format!("in {seconds} s"),
        60..3600 => format!("in {} min", seconds / 60),
        3600..86_400 => format!("in {} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("in {} d", seconds / 86_400),
    }
}

fn show(schedule: &Schedule) -> Result<()> {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        if value != "-" {
            text.push_str(&format!("{label:<11}  {}\n", value.replace('\n', "\n             ")));
        }
    };
    line("name", cell(&schedule.name));
    line("times", times(schedule));
    let state = match (schedule.enabled, schedule.next_at) {
        (false, _) => "paused".to_owned(),
        (true, Some(next)) => format!("{}, at {}", until(next), on_clock(next, &schedule.timezone)),
        (true, None) => "over".to_owned(),
    };
    line("next", state);
    line("paused", or_dash(schedule.paused_reason.as_ref()));
    if let Some(playbook) = &schedule.playbook {
        line("playbook", cell(playbook_name(playbook)));
        for (name, value) in &playbook.parameters {
            line("parameter", cell(format!("{name}={}", value.0)));
        }
    }
    let none = ScheduledRun::default();
    let run = schedule.run.as_ref().unwrap_or(&none);
    line("command", or_dash(schedule.run.as_ref().map(|run| &run.command)));
    line("image", or_dash(run.image.as_ref()));
    line("secrets", names(&run.secrets));
    line("timeout", or_dash(run.timeout));
    line("git repo", or_dash(run.git_repo.as_ref()));
    line("git ref", or_dash(run.git_ref.as_ref()));
    line("git path", or_dash(run.git_path.as_ref()));
    for (name, value) in &run.env {
        line("variable", cell(format!("{name}={value}")));
    }
    line("missed", cell(schedule.on_missed));
    line("runs as", cell(&schedule.runs_as));
    line("owners", names(&schedule.owned_by));
    line("shared with", names(schedule.shared_with.as_deref().unwrap_or_default()));
    output::print(&text)?;
    if schedule.recent.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::new(&["SCHEDULED", "STATUS", "EXECUTION", "REASON"]);
    for time in &schedule.recent {
        columns.row([
            ago(time.scheduled_at),
            status_of(time),
            or_dash(time.execution_id.as_ref()),
            or_dash(time.reason.as_ref()),
        ]);
    }
    columns.print("")
}

async fn create(context: &Context, mut create: Create) -> Result<()> {
    let mut body = match create.playbook.take() {
        Some(playbook) => {
            published::check_is_plain(&create.options)?;
            json!({"name": create.name, "playbook": scheduled(&playbook, &create.parameters)?})
        }
        None => {
            let wanted = create.run();
            if !wanted.options.after.is_empty() {
                return Err(Failure::new("a schedule waits for no execution").remedy("leave --after out"));
            }
            let command = run::command(&wanted)?;
            json!({"name": create.name, "run": run::request(&command, &run::with_files(wanted.options)?)})
        }
    };
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            body[name] = value.into();
        }
    };
    set("cron", create.times.cron);
    set("rate", create.times.rate);
    set("at", create.times.at);
    set("timezone", create.timezone);
    set("on_missed", create.on_missed);
    if create.paused {
        body["enabled"] = false.into();
    }
    let answer = context.api.post("/schedules", &body).await?;
    context.show(&answer, |answer: ScheduleAnswer| tell(&answer.schedule))
}

/// The playbook of a schedule: `NAME` or `NAME@VERSION`, with values of its parameters. Of one that is given several times, all are passed
/// on, for parameters with several choices.
fn scheduled(playbook: &str, parameters: &[(String, String)]) -> Result<ScheduledPlaybook> {
    let (name, version) = published::name_and_version(playbook);
    let wrong = |_| Failure::new(format!("{playbook} names no version")).remedy("write NAME or NAME@3");
    let version = version.map(|version| version.parse().map_err(wrong)).transpose()?;
    let mut values: BTreeMap<String, RequestedValue> = BTreeMap::new();
    for (name, value) in parameters {
        match values.get_mut(name) {
            Some(before) => before.0 = format!("{}\n{value}", before.0),
            None => drop(values.insert(name.clone(), RequestedValue(value.clone()))),
        }
    }
    Ok(ScheduledPlaybook { name: name.to_owned(), version, parameters: values })
}

/// The words for what a schedule runs.
fn what(schedule: &Schedule) -> String {
    match (&schedule.run, &schedule.playbook) {
        (_, Some(playbook)) => format!("playbook {}", playbook_name(playbook)),
        (Some(run), None) => run.command.clone(),
        (None, None) => String::new(),
    }
}

fn playbook_name(playbook: &ScheduledPlaybook) -> String {
    match playbook.version {
        Some(version) => format!("{}@{version}", playbook.name),
        None => playbook.name.clone(),
    }
}

async fn change(context: &Context, path: &str, enabled: bool) -> Result<()> {
    let change = UpdateSchedule { enabled: Some(enabled), ..UpdateSchedule::default() };
    let answer = context.api.put(path, &change).await?;
    context.show(&answer, |answer: ScheduleAnswer| tell(&answer.schedule))
}

/// Says when a schedule runs next.
fn tell(schedule: &Schedule) -> Result<()> {
    let name = cell(&schedule.name);
    match schedule.next_at {
        _ if !schedule.enabled => output::print(&format!("{name} is paused")),
        None => output::print(&format!("{name} has no time to come")),
        Some(next) => {
            let clock = on_clock(next, &schedule.timezone);
            output::print(&format!("{name} runs next {}, at {clock}", until(next)))
        }
    }
}

/// Prints times on the clock of this machine and on that of the schedule's zone, where they differ.
fn next(times: &[String], zone: &str) -> Result<()> {
    let here = TimeZone::system();
    let is_here = here.iana_name() == Some(zone);
    let mut columns = Columns::new(&["IN", "HERE", "THERE"]);
    let mut only = Columns::new(&["IN", "TIME"]);
    for time in times.iter().filter_map(|time| time.parse::<Timestamp>().ok()) {
        let there = on_clock(time, zone);
        let own = time.to_zoned_datetime(here.clone()).strftime(CLOCK).to_string();
        only.row([until(time), there.clone()]);
        columns.row([until(time), own, there]);
    }
    if is_here { only } else { columns }.print("there is no time to come")
}

/// A moment on the clock of a zone, or in UTC where the zone is not known here.
fn on_clock(time: Timestamp, zone: &str) -> String {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    time.to_zoned_datetime(zone).strftime(CLOCK).to_string()
}
