//! `runvoy schedules`.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::{Context, run, with_files};
use crate::{
    api::segment,
    arguments::{Create, Schedules},
    failure::Result,
    output::{self, Columns, ago, field},
};

/// How a time is shown on the clock of a zone.
const CLOCK: &str = "%Y-%m-%d %H:%M:%S %Z";

pub(crate) async fn schedules(context: Context, command: Schedules) -> Result<u8> {
    let path = |name: &str| format!("/schedules/{}", segment(name));
    match command {
        Schedules::List { search } => list(&context, search).await?,
        Schedules::Show { name } => {
            let answer = context.api.get(&path(&name)).await?;
            context.show(&answer, |answer| show(&answer["schedule"]))?;
        }
        Schedules::Create(create) => self::create(&context, *create).await?,
        Schedules::Next { name, count } => {
            let answer = context.api.get(&format!("{}/next?count={count}", path(&name))).await?;
            let zone = match context.is_json() {
                true => String::new(),
                false => field(&context.api.get(&path(&name)).await?.json()?["schedule"], "timezone"),
            };
            context.show(&answer, |answer| next(&answer["times"], &zone))?;
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
    let table = |schedules: &[Value]| {
        let mut columns = Columns::new(&["NAME", "NEXT", "LAST", "TIMES", "COMMAND"]);
        for schedule in schedules {
            columns.row([
                field(schedule, "name"),
                if schedule["enabled"] == false { "paused".to_owned() } else { until(&field(schedule, "next_at")) },
                last(schedule),
                times(schedule),
                output::short(&field(&schedule["run"], "command"), 80),
            ]);
        }
        columns.print("there are no schedules: `runvoy schedules create`")
    };
    context.list(&path, "schedules", table).await
}

/// The status of the last time, or that it was missed.
fn last(schedule: &Value) -> String {
    match schedule["recent"].get(0) {
        None => "-".to_owned(),
        Some(time) if time["execution_id"].is_null() => output::status("FAILED"),
        Some(time) => output::status(&field(time, "status")),
    }
}

/// The times of a schedule, and their zone where it is not UTC.
fn times(schedule: &Value) -> String {
    let one = ["cron", "rate", "at"].into_iter().find(|name| schedule[*name].is_string());
    let times = one.map_or_else(
        || "-".to_owned(),
        |name| match name {
            "rate" => format!("every {}", field(schedule, name)),
            "at" => format!("at {}", field(schedule, name)),
            _ => field(schedule, name),
        },
    );
    match field(schedule, "timezone") {
        zone if zone == "UTC" => times,
        zone => format!("{times} {zone}"),
    }
}

/// The time until a moment, such as `in 5 min`.
fn until(text: &str) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    let seconds = time.duration_since(Timestamp::now()).as_secs();
    match seconds {
        ..0 => "now".to_owned(),
        0..60 => format!("in {seconds} s"),
        60..3600 => format!("in {} min", seconds / 60),
        3600..86_400 => format!("in {} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("in {} d", seconds / 86_400),
    }
}

fn show(schedule: &Value) -> Result<()> {
    let cell = |name: &str| field(schedule, name);
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        if value != "-" {
            text.push_str(&format!("{label:<11}  {}\n", value.replace('\n', "\n             ")));
        }
    };
    line("name", cell("name"));
    line("times", times(schedule));
    let state = match (schedule["enabled"] == false, schedule["next_at"].is_string()) {
        (true, _) => "paused".to_owned(),
        (false, true) => format!("{}, at {}", until(&cell("next_at")), on_clock(&cell("next_at"), &cell("timezone"))),
        (false, false) => "over".to_owned(),
    };
    line("next", state);
    line("paused", cell("paused_reason"));
    line("command", field(&schedule["run"], "command"));
    for name in ["image", "secrets", "timeout", "git_repo", "git_ref", "git_path"] {
        line(&name.replace('_', " "), field(&schedule["run"], name));
    }
    for (name, value) in schedule["run"]["env"].as_object().into_iter().flatten() {
        line("variable", crate::escape::text(&format!("{name}={}", value.as_str().unwrap_or_default())).into_owned());
    }
    line("missed", cell("on_missed"));
    line("runs as", cell("runs_as"));
    line("owners", cell("owned_by"));
    line("shared with", cell("shared_with"));
    output::print(&text)?;
    let recent = schedule["recent"].as_array().cloned().unwrap_or_default();
    if recent.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::new(&["SCHEDULED", "STATUS", "EXECUTION", "REASON"]);
    for time in &recent {
        let status = if time["execution_id"].is_null() { "FAILED".to_owned() } else { field(time, "status") };
        columns.row([
            ago(&field(time, "scheduled_at")),
            output::status(&status),
            field(time, "execution_id"),
            field(time, "reason"),
        ]);
    }
    columns.print("")
}

async fn create(context: &Context, mut create: Create) -> Result<()> {
    let wanted = create.run();
    let command = run::command(&wanted)?;
    let mut body = json!({"name": create.name, "run": run::request(&command, &with_files(wanted.options)?)});
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
    context.show(&answer, |answer| tell(&answer["schedule"]))
}

async fn change(context: &Context, path: &str, enabled: bool) -> Result<()> {
    let answer = context.api.put(path, &json!({"enabled": enabled})).await?;
    context.show(&answer, |answer| tell(&answer["schedule"]))
}

/// Says when a schedule runs next.
fn tell(schedule: &Value) -> Result<()> {
    let name = field(schedule, "name");
    match field(schedule, "next_at") {
        _ if schedule["enabled"] == false => output::print(&format!("{name} is paused")),
        next if next == "-" => output::print(&format!("{name} has no time to come")),
        next => output::print(&format!(
            "{name} runs next {}, at {}",
            until(&next),
            on_clock(&next, &field(schedule, "timezone"))
        )),
    }
}

/// Prints times on the clock of this machine and on that of the schedule's zone, where they differ.
fn next(times: &Value, zone: &str) -> Result<()> {
    let here = TimeZone::system();
    let is_here = here.iana_name() == Some(zone);
    let mut columns = Columns::new(&["IN", "HERE", "THERE"]);
    let mut only = Columns::new(&["IN", "TIME"]);
    for time in times.as_array().into_iter().flatten() {
        let text = time.as_str().unwrap_or_default();
        let there = on_clock(text, zone);
        let own =
            text.parse::<Timestamp>().map(|time| time.to_zoned_datetime(here.clone()).strftime(CLOCK).to_string());
        let own = own.unwrap_or_else(|_| there.clone());
        only.row([until(text), there.clone()]);
        columns.row([until(text), own, there]);
    }
    if is_here { only } else { columns }.print("there is no time to come")
}

/// A moment on the clock of a zone, or in UTC where the zone is not known here.
fn on_clock(text: &str, zone: &str) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    time.to_zoned_datetime(zone).strftime(CLOCK).to_string()
}
