//! Does `runvoy notifications`: lists, makes, changes and tries them.

use std::{
    fmt::Display,
    io::{self, BufRead},
    time::{Duration, Instant},
};

use runvoy_api_types::{
    Channel, CreatedNotification, Deliveries, Delivery, DeliveryState, Notification, NotificationAnswer,
    NotificationFor, NotificationState, RotatedNotification, TestedNotification, UpdateNotification, time::rfc3339,
};
use serde_json::{Value, json};

use super::context::Context;
use crate::{
    api::segment,
    arguments::{self, ChannelOptions, Notifications},
    failure::{Failure, Result},
    output::{self, Columns, Fields, ago, cell, or_dash},
};

/// The time that `test` waits for the receiver's answer. The receiver itself has 10 seconds.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);
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
            context.show(&answer, |answer: NotificationAnswer| show(&answer.notification))
        }
        Notifications::Create(create) => self::create(context, create).await,
        Notifications::Test { name } => test(context, &name).await,
        Notifications::Deliveries { name, limit } => deliveries(context, &name, limit).await,
        Notifications::Pause { name } => set_state(context, &name, NotificationState::Paused).await,
        Notifications::Resume { name } => set_state(context, &name, NotificationState::Active).await,
        Notifications::Rotate { name } => {
            let answer = context.api.post(&format!("{}/rotate", path(&name)), &Value::Null).await?;
            context.show(&answer, |RotatedNotification { signing_secret, previous_until }| {
                let until = rfc3339(previous_until);
                say!("runvoy: keep this key, it is not shown again; the old one signs too until {until}");
                output::print(&cell(signing_secret))
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
    let table = |notifications: &[Notification]| {
        let mut columns = Columns::new(&["NAME", "STATE", "CHANNEL", "ON", "FOR"]);
        for one in notifications {
            columns.row([cell(&one.name), cell(one.state), channel(one), names(&one.on, ","), target(one)]);
        }
        columns.print("there are no notifications: `runvoy notifications create NAME --webhook URL`")
    };
    context.list(&path, "notifications", table).await
}

fn show(notification: &Notification) -> Result<()> {
    let mut lines = vec![
        ("name", cell(&notification.name)),
        ("state", cell(notification.state)),
        ("channel", channel(notification)),
        ("on", names(&notification.on, ",")),
        ("for", target(notification)),
    ];
    if let Some(reason) = &notification.paused_reason {
        lines.insert(2, ("because", cell(reason)));
    }
    if let Some(seconds) = notification.slow_after {
        lines.push(("slow after", format!("{seconds} s")));
    }
    lines.push(("created by", cell(&notification.created_by)));
    lines.push(("changed", ago(notification.updated_at)));
    let mut fields = Fields::new("");
    for (name, value) in lines {
        fields.add(name, value);
    }
    output::print(fields.render().trim_end())
}

/// Where a notification goes, without what is secret.
fn channel(notification: &Notification) -> String {
    match &notification.channel {
        Channel::Webhook { url } => format!("webhook {}", cell(url)),
        Channel::Email { address } => format!("email {}", cell(address)),
        Channel::Slack { .. } => "slack".to_owned(),
    }
}

fn names<T: Display>(names: &[T], separator: &str) -> String {
    names.iter().map(cell).collect::<Vec<_>>().join(separator)
}

fn target(notification: &Notification) -> String {
    let NotificationFor { playbook, schedule, user, image } = &notification.r#for;
    let parts = [("image", image), ("playbook", playbook), ("schedule", schedule), ("user", user)];
    let parts: Vec<String> =
        parts.into_iter().filter_map(|(kind, name)| Some(format!("{kind} {}", cell(name.as_ref()?)))).collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}

async fn create(context: &Context, create: arguments::CreateNotification) -> Result<()> {
    let arguments::CreateNotification { name, channel, on, playbook, schedule, user, image, slow_after } = create;
    let target = NotificationFor { playbook, schedule, user, image };
    // The API names the events that there are, so that it judges a name that this program does not know.
    let body = json!({
        "name": name,
        "channel": channel_of(channel)?,
        "on": Some(on).filter(|on| !on.is_empty()),
        "for": Some(target).filter(|target| *target != NotificationFor::default()),
        "slow_after": slow_after,
    });
    let answer = context.api.post("/notifications", &body).await?;
    context.show(&answer, |CreatedNotification { notification, signing_secret }| {
        match notification.state {
            NotificationState::Pending => say!("runvoy: the recipient is asked by mail to confirm the address"),
            state => say!("runvoy: {} is {state}", cell(&notification.name)),
        }
        match signing_secret {
            Some(secret) => {
                say!("runvoy: keep this signing key, it is not shown again");
                output::print(&cell(secret))
            }
            None => Ok(()),
        }
    })
}

/// The channel as the request has it. The API judges an address that is none.
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

async fn set_state(context: &Context, name: &str, state: NotificationState) -> Result<()> {
    let change = UpdateNotification { state: Some(state), ..UpdateNotification::default() };
    let answer = context.api.put(&path(name), &change).await?;
    context.show(&answer, |NotificationAnswer { notification }| {
        output::print(&format!("{}: {}", cell(&notification.name), notification.state))
    })
}

/// Sends a test, and waits for what the receiver answers.
async fn test(context: &Context, name: &str) -> Result<()> {
    let sent: TestedNotification = context.api.post(&format!("{}/test", path(name)), &Value::Null).await?.parse()?;
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        let answer = context.api.get(&format!("{}/deliveries?limit=20", path(name))).await?;
        let all: Deliveries = answer.parse()?;
        let own = all.deliveries.into_iter().find(|one| one.id == sent.id);
        match own.as_ref().map(|own| (own, own.state)) {
            Some((own, DeliveryState::Delivered)) => {
                if context.is_json() {
                    let all = answer.json()?;
                    let own = all["deliveries"].as_array().into_iter().flatten().find(|one| one["id"] == own.id);
                    return output::print_json(&own.unwrap_or(&Value::Null).to_string());
                }
                return output::print(&format!("delivered: {}", said(own)));
            }
            Some((own, DeliveryState::Failed | DeliveryState::Skipped)) => {
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

/// The words of a receiver.
fn said(delivery: &Delivery) -> String {
    let parts = [delivery.status_code.map(cell), delivery.answer.as_ref().map(cell)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
}

async fn deliveries(context: &Context, name: &str, limit: usize) -> Result<()> {
    let table = |deliveries: &[Delivery]| {
        let mut columns = Columns::new(&["STATE", "EVENT", "WHEN", "EXECUTION", "TRIES", "NEXT TRY", "ANSWER"]);
        for one in deliveries {
            columns.row([
                cell(one.state),
                cell(one.event),
                ago(one.time),
                one.execution_id.as_ref().map_or_else(|| "-".to_owned(), output::id_cell),
                cell(one.attempts),
                or_dash(one.next_try_at.map(rfc3339)),
                said(one),
            ]);
        }
        columns.print("nothing was sent")
    };
    let path = format!("{}/deliveries", path(name));
    if limit == 0 {
        return context.list(&path, "deliveries", table).await;
    }
    let answer = context.api.get(&format!("{path}?limit={limit}")).await?;
    context.show(&answer, |answer: Deliveries| table(&answer.deliveries))
}
