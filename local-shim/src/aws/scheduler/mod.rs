//! Emulates EventBridge Scheduler: schedules of the stack's group, which send their events on the system's clock.

mod clock;
mod definition;
mod name;
mod store;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use aws_smithy_async::time::SharedTimeSource;
use jiff::Timestamp;
use runvoy_core::config;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    AwsError,
    error::{parse, write},
    exchange::Request,
    page_token,
};
use definition::Definition;
use name::{DEFAULT_GROUP, invalid};
use store::{Entry, Store};

/// Schedules of an account ("Quotas for Amazon EventBridge Scheduler").
const MOST_SCHEDULES: usize = 1_000_000;
/// Schedules in one answer of ListSchedules.
const MAX_LISTED: usize = 100;

/// The emulated EventBridge Scheduler.
#[derive(Clone)]
pub struct Scheduler(Arc<Inner>);

struct Inner {
    /// The settings that the template gives to schedules: their group, target and role.
    settings: config::Scheduler,
    state: Mutex<State>,
    changed: Notify,
    clock: Option<SharedTimeSource>,
}

struct State {
    store: Store,
    queue: Queue,
}

/// The next time of each schedule that has one.
#[derive(Default)]
struct Queue {
    by_key: BTreeMap<String, Timestamp>,
    by_time: BTreeSet<(Timestamp, String)>,
}

impl Queue {
    fn set(&mut self, key: &str, next: Option<Timestamp>) {
        if let Some(before) = self.by_key.remove(key) {
            self.by_time.remove(&(before, key.to_owned()));
        }
        if let Some(next) = next {
            self.by_key.insert(key.to_owned(), next);
            self.by_time.insert((next, key.to_owned()));
        }
    }

    /// Takes the first schedule whose time has come.
    fn take(&mut self, now: Timestamp) -> Option<(Timestamp, String)> {
        let first = self.by_time.first().filter(|(time, _)| *time <= now).cloned()?;
        self.set(&first.1, None);
        Some(first)
    }

    fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(time, _)| *time)
    }
}

impl Scheduler {
    /// Opens the schedules that this directory has. Without a directory, they end with the process.
    pub(crate) fn open(
        directory: Option<&Path>,
        settings: config::Scheduler,
        clock: Option<SharedTimeSource>,
    ) -> Result<Self> {
        let state = Mutex::new(State { store: Store::open(directory)?, queue: Queue::default() });
        Ok(Self(Arc::new(Inner { settings, state, changed: Notify::new(), clock })))
    }

    /// Answers one call.
    ///
    /// # Errors
    /// The error that EventBridge Scheduler answers.
    pub fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        match operation {
            "CreateSchedule" => self.create(parse(body)?),
            "UpdateSchedule" => self.update(parse(body)?),
            "GetSchedule" => self.get(&parse(body)?),
            "DeleteSchedule" => self.delete(&parse(body)?),
            "ListSchedules" => self.list(&parse(body)?),
            _ => Err(AwsError::unknown_operation()),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.0
            .clock
            .as_ref()
            .map_or_else(Timestamp::now, |clock| clock.now().try_into().unwrap_or_else(|_| Timestamp::now()))
    }

    fn create(&self, definition: Definition) -> Result<Vec<u8>, AwsError> {
        definition.check(&self.0.settings)?;
        let key = definition.key();
        let mut state = self.state();
        if let Some(existing) = state.store.find(&key)? {
            // The same call again, whose first answer was lost.
            if definition.client_token.is_some() && existing.definition == definition {
                return write(&json!({"ScheduleArn": definition.arn()}));
            }
            return Err(conflict(format!("Schedule {} already exists.", definition.name)));
        }
        if state.store.count()? >= MOST_SCHEDULES {
            return Err(AwsError {
                status: 402,
                ..AwsError::new("ServiceQuotaExceededException", "The account has as many schedules as are allowed.")
            });
        }
        let arn = definition.arn();
        let now = self.now();
        self.keep(&mut state, Entry::new(definition, now, now))?;
        write(&json!({"ScheduleArn": arn}))
    }

    fn update(&self, definition: Definition) -> Result<Vec<u8>, AwsError> {
        definition.check(&self.0.settings)?;
        let mut state = self.state();
        let existing = state.store.find(&definition.key())?.ok_or_else(|| missing(&definition.name))?;
        let arn = definition.arn();
        if existing.definition != definition {
            let entry = Entry::new(definition, existing.created, self.now());
            self.keep(&mut state, entry)?;
        }
        write(&json!({"ScheduleArn": arn}))
    }

    fn keep(&self, state: &mut State, entry: Entry) -> Result<(), AwsError> {
        state.queue.set(&entry.definition.key(), entry.next());
        state.store.put(&entry)?;
        self.0.changed.notify_one();
        Ok(())
    }

    fn get(&self, request: &Value) -> Result<Vec<u8>, AwsError> {
        let (name, key) = self.named(request)?;
        let entry = self.state().store.find(&key)?.ok_or_else(|| missing(&name))?;
        write(&entry.shown())
    }

    fn delete(&self, request: &Value) -> Result<Vec<u8>, AwsError> {
        let (name, key) = self.named(request)?;
        let mut state = self.state();
        if !state.store.remove(&key)? {
            return Err(missing(&name));
        }
        state.queue.set(&key, None);
        write(&json!({}))
    }

    fn list(&self, request: &Value) -> Result<Vec<u8>, AwsError> {
        let text = |name: &str| request[name].as_str();
        let group = text("GroupName").map(|group| self.group(group)).transpose()?;
        let limit = match text("MaxResults").map(str::parse::<usize>) {
            None => MAX_LISTED,
            Some(Ok(limit)) if (1..=MAX_LISTED).contains(&limit) => limit,
            Some(_) => return Err(invalid(format!("MaxResults must be 1 to {MAX_LISTED}."))),
        };
        let after = match text("NextToken") {
            None => None,
            Some(token) => Some(page_token::read(token).ok_or_else(|| invalid("Invalid NextToken."))?),
        };
        let mut entries = self.state().store.list(group, text("NamePrefix"), after.as_deref(), limit + 1)?;
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let mut answer = json!({"Schedules": entries.iter().map(Entry::listed).collect::<Vec<_>>()});
        if let Some(last) = entries.last().filter(|_| has_more) {
            answer["NextToken"] = Value::from(page_token::after(&last.definition.key()));
        }
        write(&answer)
    }

    /// Name and key of the schedule that a request names.
    fn named(&self, request: &Value) -> Result<(String, String), AwsError> {
        let name = request["Name"].as_str().unwrap_or_default().to_owned();
        definition::check_name(&name)?;
        let group = self.group(request["GroupName"].as_str().unwrap_or(DEFAULT_GROUP))?;
        let key = definition::key(group, &name);
        Ok((name, key))
    }

    fn group<'a>(&self, group: &'a str) -> Result<&'a str, AwsError> {
        definition::check_group(group, &self.0.settings)?;
        Ok(group)
    }
}

fn conflict(message: String) -> AwsError {
    AwsError { status: 409, ..AwsError::new("ConflictException", message) }
}

fn missing(name: &str) -> AwsError {
    AwsError { status: 404, ..AwsError::new("ResourceNotFoundException", format!("Schedule {name} does not exist.")) }
}

/// The operation of a request in REST's manner. `None` if it is none of the Scheduler's.
pub(super) fn operation(method: &str, path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("/schedules")?;
    match (method, rest.strip_prefix('/').filter(|name| !name.is_empty())) {
        ("GET", None) if rest.is_empty() || rest == "/" => Some("ListSchedules"),
        ("POST", Some(_)) => Some("CreateSchedule"),
        ("PUT", Some(_)) => Some("UpdateSchedule"),
        ("GET", Some(_)) => Some("GetSchedule"),
        ("DELETE", Some(_)) => Some("DeleteSchedule"),
        _ => None,
    }
}

/// The body of a request, with the parameters of its path and its query added.
pub(super) fn whole_body<'a>(request: &Request<'a>) -> Cow<'a, [u8]> {
    let mut body: Value = match request.body {
        b"" => json!({}),
        body => match serde_json::from_slice(body) {
            Ok(body @ Value::Object(_)) => body,
            _ => return Cow::Borrowed(request.body),
        },
    };
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    if let Some(name) = request.path.strip_prefix("/schedules/") {
        body["Name"] = Value::from(decoded(name));
    }
    for (name, value) in request.query.split('&').filter_map(|pair| pair.split_once('=')) {
        let name = match name {
            "groupName" | "ScheduleGroup" => "GroupName",
            "clientToken" => "ClientToken",
            other => other,
        };
        body[name] = Value::from(decoded(value));
    }
    Cow::Owned(body.to_string().into_bytes())
}
