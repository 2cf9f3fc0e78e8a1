//! Completes what a user types in a shell: ids, images, secrets, users and keys of the API, playbooks and profiles of this machine.
//!
//! The shell calls this program for each completion. A slow API completes nothing, and nothing is said.

use std::{collections::BTreeMap, ffi::OsStr, time::Duration};

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use reqwest::Method;
use runvoy_api_types::{
    Execution, Images, Keys, Locks, Notifications, Parameter, PlaybookAnswer, Playbooks, Schedules, Secrets, Status,
    Users,
};
use serde::de::DeserializeOwned;
use strum::VariantArray;

use crate::{
    api::{Api, Repeat, WithStatus, segment},
    config::{Config, File},
    output::short,
    playbook, say,
};

/// The time that a user waits for a completion.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Entries of a list from which a completion is made.
const SEARCHED: usize = 200;
/// Characters of a command beside the id of its execution.
const COMMAND_WIDTH: usize = 40;

/// Completes from a list of the API: `pairs` makes a value and its help of each entry.
fn from_api<T: DeserializeOwned + 'static>(
    path: &'static str,
    pairs: impl Fn(T) -> Vec<(String, String)> + Send + Sync + 'static,
) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| with_help(typed, ask(path).map(&pairs)))
}

/// Completes from a list of the API in which the server looks for what is typed, as the list may be long.
fn from_search<T: DeserializeOwned + 'static>(
    path: &'static str,
    pairs: impl Fn(T) -> Vec<(String, String)> + Send + Sync + 'static,
) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let (_, last) = last_of(typed.to_str().unwrap_or_default());
        let path = format!("{path}?limit={SEARCHED}&q={}", segment(last));
        with_help(typed, ask(&path).map(&pairs))
    })
}

fn with_help(typed: &OsStr, pairs: Option<Vec<(String, String)>>) -> Vec<CompletionCandidate> {
    let pairs = pairs.unwrap_or_default().into_iter();
    candidates(typed, pairs.map(|(value, help)| (value, short(&help, COMMAND_WIDTH))))
}

/// The last of several values that commas separate, which is completed, and what stands before it.
fn last_of(typed: &str) -> (&str, &str) {
    typed.rsplit_once(',').map_or(("", typed), |(_, last)| (&typed[..typed.len() - last.len()], last))
}

fn candidates(typed: &OsStr, all: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let typed = typed.to_str().unwrap_or_default();
    let (before, last) = last_of(typed);
    // A shell would act on the control characters of others' texts.
    let is_safe = |text: &str| !text.chars().any(char::is_control);
    all.filter(|(value, _)| value.starts_with(last) && is_safe(value))
        .map(|(value, help)| {
            let help = Some(help).filter(|help| !help.is_empty() && is_safe(help)).map(Into::into);
            CompletionCandidate::new(format!("{before}{value}")).help(help)
        })
        .collect()
}

fn ask<T: DeserializeOwned>(path: &str) -> Option<T> {
    say::mute();
    let config = Config::load(None, false).ok()?;
    let api = Api::new(&config, false).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asked = async {
        let request = api.send(Method::GET, path, None, &[], Repeat::Unsafe);
        tokio::time::timeout(TIMEOUT, request).await.ok()?.ok()?.parse().ok()
    };
    let answer = runtime.block_on(asked);
    runtime.shutdown_background();
    answer
}

fn pairs<T>(entries: Vec<T>, pair: impl Fn(T) -> (String, String)) -> Vec<(String, String)> {
    entries.into_iter().map(pair).collect()
}

/// The newest executions.
pub(crate) fn executions() -> ArgValueCompleter {
    from_api("/executions?limit=50", |executions: Vec<WithStatus<Execution>>| {
        pairs(executions, |one| (one.execution_id.to_string(), one.command.clone()))
    })
}

pub(crate) fn images() -> ArgValueCompleter {
    from_search("/images", |answer: Images| pairs(answer.images, |one| (one.image, one.image_id.to_string())))
}

pub(crate) fn image_ids() -> ArgValueCompleter {
    from_search("/images", |answer: Images| pairs(answer.images, |one| (one.image_id.to_string(), one.image)))
}

pub(crate) fn secrets() -> ArgValueCompleter {
    from_search("/secrets", |answer: Secrets| {
        pairs(answer.secrets, |one| (one.name.to_string(), one.description.unwrap_or_default()))
    })
}

pub(crate) fn notifications() -> ArgValueCompleter {
    from_api("/notifications", |answer: Notifications| {
        pairs(answer.notifications, |one| (one.name.to_string(), one.state.to_string()))
    })
}

pub(crate) fn locks() -> ArgValueCompleter {
    from_search("/locks", |answer: Locks| {
        pairs(answer.locks, |one| (one.lock.name, format!("{} of {} held", one.lock.held, one.lock.slots)))
    })
}

pub(crate) fn schedules() -> ArgValueCompleter {
    from_api("/schedules", |answer: Schedules| pairs(answer.schedules, |one| (one.name.to_string(), one.timezone)))
}

pub(crate) fn users() -> ArgValueCompleter {
    from_search("/users", |answer: Users| {
        pairs(answer.users, |one| (one.user.email.to_string(), one.user.role.to_string()))
    })
}

pub(crate) fn keys() -> ArgValueCompleter {
    from_api("/keys", |answer: Keys| pairs(answer.keys, |one| (one.key_id, one.name)))
}

pub(crate) fn statuses() -> ArgValueCompleter {
    let all = || Status::VARIANTS.iter().map(|status| (status.to_string(), String::new()));
    ArgValueCompleter::new(move |typed: &OsStr| candidates(typed.to_ascii_uppercase().as_os_str(), all()))
}

/// The names of playbooks in files, and of those that are published.
pub(crate) fn playbooks() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        say::mute();
        let mut all: BTreeMap<String, String> = published().collect();
        all.extend(playbook::all().into_iter().map(|(name, path)| {
            let description = playbook::read(&path).map(|playbook| playbook.description).unwrap_or_default();
            (name, short(&description, COMMAND_WIDTH))
        }));
        candidates(typed, all.into_iter())
    })
}

pub(crate) fn published_playbooks() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| candidates(typed, published()))
}

fn published() -> impl Iterator<Item = (String, String)> {
    let published = ask("/playbooks").map(|answer: Playbooks| answer.playbooks).unwrap_or_default();
    published.into_iter().map(|one| (one.name.to_string(), short(&one.description, COMMAND_WIDTH)))
}

/// The parameters of the playbook that is being typed, and the values that they may have.
pub(crate) fn parameters() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        say::mute();
        let Some(parameters) = typed_playbook().and_then(|name| parameters_of(&name)) else { return Vec::new() };
        let pairs = parameters.into_iter().flat_map(|Parameter { name, description, allowed, .. }| {
            let help = short(&description, COMMAND_WIDTH);
            let value = move |value: String| (format!("{name}={value}"), help.clone());
            if allowed.is_empty() { vec![value(String::new())] } else { allowed.into_iter().map(value).collect() }
        });
        candidates(typed, pairs)
    })
}

/// The name of the playbook among the words that a shell completes: the first after `playbook run`.
fn typed_playbook() -> Option<String> {
    let words: Vec<String> = std::env::args().collect();
    let at = words.windows(2).position(|two| {
        ["playbook", "playbooks"].contains(&two[0].as_str()) && ["run", "show"].contains(&two[1].as_str())
    })?;
    words.into_iter().skip(at + 2).find(|word| !word.starts_with('-'))
}

fn parameters_of(name: &str) -> Option<Vec<Parameter>> {
    if let Some(path) = playbook::all().get(name) {
        return playbook::read(path).ok().map(|playbook| playbook.parameters);
    }
    let path = format!("/playbooks/{}", segment(name.split('@').next().unwrap_or_default()));
    ask(&path).map(|answer: PlaybookAnswer| answer.playbook.playbook.parameters)
}

pub(crate) fn profiles() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let names = File::read().map(|file| file.names()).unwrap_or_default();
        candidates(typed, names.into_iter().map(|name| (name, String::new())))
    })
}
