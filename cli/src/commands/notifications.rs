//! `runvoy notifications`.

use std::{
    io::{self, BufRead},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use super::Context;
use crate::{
    api::segment,
    arguments::{ChannelOptions, CreateNotification, Notifications},
    failure::{Failure, Result},
    output::{self, Columns, ago, field},
};

/// The time that `test` waits for the receiver's answer. The receiver itself has 10 seconds.
const TEST_PATIENCE: Duration = Duration::from_secs(20);
/// The pause between two looks at the delivery of a test.
const LOOK_EVERY: Duration = Duration::from_millis(300);

fn path(name: &str) -> String {
    format!("/notifications/{}", segment(name))
}

pub(crate) async fn run(context: &Context, command: Notifications) -> Result<()> {
    match command {
        Notifications::List { search } => list(context, search).await,
        Notifications::Show { name } => {
            let answer = context.api.get(&path(&name)).await?;
            context.show(&answer, |answer| show(&answer["notification"]))
        }
        Notifications::Create(create) => self::create(context, create).await,
        Notifications::Test { name } => test(context, &name).await,
        Notifications::Deliveries { name, limit } => deliveries(context, &name, limit).await,
        Notifications::Pause { name } => set_state(context, &name, "paused").await,
        Notifications::Resume { name } => set_state(context, &name, "active").await,
        Notifications::Rotate { name } => {
            let answer = context.api.post(&format!("{}/rotate", path(&name)), &Value::Null).await?;
            context.show(&answer, |rotated| {
                say!(
                    "runvoy: keep this key, it is not shown again; the old one signs too until {}",
                    field(&rotated, "previous_until")
                );
                output::print(&field(&rotated, "signing_secret"))
            })
        }
        Notifications::Delete { name, confirmation } => {
            confirmation.ask(&format!("Delete the notification {name}?"))?;
            let answer = context.api.delete(&path(&name)).await?;
            context.done(&answer)
        }
    }
}

async fn list(context: &Context, search: Option<String>) -> Result<()> {
    let path =
        search.map_or_else(|| "/notifications".to_owned(), |search| format!("/notifications?q={}", segment(&search)));
    let table = |notifications: &[Value]| {
        let mut columns = Columns::new(&["NAME", "STATE", "CHANNEL", "ON", "FOR"]);
        for one in notifications {
            let cell = |name| field(one, name);
            columns.row([cell("name"), cell("state"), channel(one), events(one), target(one)]);
        }
        columns.print("there are no notifications: `runvoy notifications create NAME --webhook URL`")
    };
    context.list(&path, "notifications", table).await
}

fn show(notification: &Value) -> Result<()> {
    let cell = |name| field(notification, name);
    let mut lines = vec![
        ("name", cell("name")),
        ("state", cell("state")),
        ("channel", channel(notification)),
        ("on", events(notification)),
        ("for", target(notification)),
    ];
    if notification["paused_reason"].is_string() {
        lines.insert(2, ("because", cell("paused_reason")));
    }
    if notification["slow_after"].is_number() {
        lines.push(("slow after", format!("{} s", cell("slow_after"))));
    }
    lines.push(("created by", cell("created_by")));
    lines.push(("changed", ago(&cell("updated_at"))));
    for (name, value) in lines {
        output::print(&format!("{name:<12}{value}"))?;
    }
    Ok(())
}

/// Where a notification goes, without what is secret.
fn channel(notification: &Value) -> String {
    let channel = &notification["channel"];
    if channel["webhook"].is_object() {
        format!("webhook {}", field(&channel["webhook"], "url"))
    } else if channel["email"].is_object() {
        format!("email {}", field(&channel["email"], "address"))
    } else {
        "slack".to_owned()
    }
}

fn events(notification: &Value) -> String {
    let events = notification["on"].as_array().into_iter().flatten().filter_map(Value::as_str);
    crate::escape::text(&events.collect::<Vec<_>>().join(",")).into_owned()
}

fn target(notification: &Value) -> String {
    let parts = notification["for"].as_object().into_iter().flatten();
    let parts: Vec<String> = parts.map(|(kind, _)| format!("{kind} {}", field(&notification["for"], kind))).collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}

async fn create(context: &Context, create: CreateNotification) -> Result<()> {
    let CreateNotification { name, channel, on, playbook, schedule, user, image, slow_after } = create;
    let mut body = json!({"name": name, "channel": channel_of(channel)?});
    if !on.is_empty() {
        body["on"] = on.into();
    }
    let parts = [("playbook", playbook), ("schedule", schedule), ("user", user), ("image", image)];
    let target: Map<String, Value> =
        parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
    if !target.is_empty() {
        body["for"] = target.into();
    }
    if let Some(seconds) = slow_after {
        body["slow_after"] = seconds.into();
    }
    let answer = context.api.post("/notifications", &body).await?;
    context.show(&answer, |created| {
        let notification = &created["notification"];
        match field(notification, "state").as_str() {
            "pending" => say!("runvoy: the recipient is asked by mail to confirm the address"),
            state => say!("runvoy: {} is {state}", field(notification, "name")),
        }
        match created["signing_secret"].as_str() {
            Some(secret) => {
                say!("runvoy: keep this signing key, it is not shown again");
                output::print(&crate::escape::text(secret))
            }
            None => Ok(()),
        }
    })
}

fn channel_of(options: ChannelOptions) -> Result<Value> {
    let ChannelOptions { webhook, slack, email } = options;
    Ok(match (webhook, slack, email) {
        (Some(url), _, _) => json!({"webhook": {"url": url}}),
        (_, Some(url), _) => json!({"slack": {"url": if url == "-" { first_line()? } else { url }}}),
        (_, _, address) => json!({"email": {"address": address}}),
    })
}

fn first_line() -> Result<String> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
    Ok(line.trim().to_owned())
}

async fn set_state(context: &Context, name: &str, state: &str) -> Result<()> {
    let answer = context.api.put(&path(name), &json!({"state": state})).await?;
    context.show(&answer, |answer| {
        let notification = &answer["notification"];
        output::print(&format!("{}: {}", field(notification, "name"), field(notification, "state")))
    })
}

/// Sends a test, and waits for what the receiver answers.
async fn test(context: &Context, name: &str) -> Result<()> {
    let sent = context.api.post(&format!("{}/test", path(name)), &Value::Null).await?.json()?;
    let deadline = Instant::now() + TEST_PATIENCE;
    loop {
        let answer = context.api.get(&format!("{}/deliveries?limit=20", path(name))).await?;
        let all = answer.json()?;
        let own = all["deliveries"].as_array().into_iter().flatten().find(|one| one["id"] == sent["id"]);
        match own.map(|own| (own, field(own, "state"))) {
            Some((own, state)) if state == "delivered" => {
                if context.is_json() {
                    return output::print_json(&own.to_string());
                }
                return output::print(&format!("delivered: {}", said(own)));
            }
            Some((own, state)) if state == "failed" || state == "skipped" => {
                return Err(Failure::new(format!("the test was not delivered: {}", said(own)))
                    .remedy("look at the receiver, and at the address of the notification"));
            }
            _ if Instant::now() > deadline => {
                return Err(Failure::new("the test is still on its way")
                    .remedy(format!("look later: `runvoy notifications deliveries {name}`")));
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// What a receiver answered.
fn said(delivery: &Value) -> String {
    let part = |name: &str| Some(field(delivery, name)).filter(|text| text != "-");
    let parts: Vec<String> = [part("status_code"), part("answer")].into_iter().flatten().collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
}

async fn deliveries(context: &Context, name: &str, limit: usize) -> Result<()> {
    let table = |deliveries: &[Value]| {
        let mut columns = Columns::new(&["STATE", "EVENT", "WHEN", "EXECUTION", "TRIES", "NEXT TRY", "ANSWER"]);
        for one in deliveries {
            let cell = |name| field(one, name);
            let (when, next) = (ago(&cell("time")), cell("next_try_at"));
            columns.row([cell("state"), cell("event"), when, cell("execution_id"), cell("attempts"), next, said(one)]);
        }
        columns.print("nothing was sent")
    };
    let path = format!("{}/deliveries", path(name));
    if limit == 0 {
        return context.list(&path, "deliveries", table).await;
    }
    let answer = context.api.get(&format!("{path}?limit={limit}")).await?;
    context.show(&answer, |answer| table(answer["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default()))
}
