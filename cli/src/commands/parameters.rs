//! Describes the parameters of a playbook, and fills them in: from options, from the environment, or by questions on the terminal.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
};

use runvoy_api_types::{OnConflict, Parameter, ParameterType, Playbook};

use super::run::{user_variable, with_files};
use crate::{
    arguments::{PlaybookOptions, RunOptions},
    failure::{Failure, Result},
    output, say,
};

/// The parameters of a playbook, as a part of a text.
pub(super) fn in_words(parameters: &[Parameter]) -> String {
    let mut text = String::new();
    if !parameters.is_empty() {
        text.push_str("\nparameters:\n");
    }
    for parameter in parameters {
        let default = parameter.default.as_ref().map(|value| format!(" [default: {value}]")).unwrap_or_default();
        let allowed = &parameter.allowed;
        let allowed = if allowed.is_empty() { String::new() } else { format!(" [{}]", allowed.join(", ")) };
        let optional = if parameter.required == Some(false) { " (optional)" } else { "" };
        let label = parameter.label.as_deref().filter(|label| !label.is_empty());
        let words: Vec<&str> = label.into_iter().chain([parameter.description.as_str()]).collect();
        let line = format!("  {:<16} {}{allowed}{default}{optional}", parameter.name, words.join(": "));
        // Further lines of a description are not to look like parameters.
        text.push_str(&line.trim_end().replace('\n', "\n      "));
        text.push('\n');
    }
    text
}

/// The values that a user gives to the parameters of a playbook, by name. One that is given several times has the last value, and one of
/// several choices has all.
///
/// # Errors
/// There is no such parameter.
pub(super) fn given(playbook: &Playbook, values: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut given = BTreeMap::new();
    for (name, value) in values {
        let Some(parameter) = playbook.parameters.iter().find(|known| known.name == *name) else {
            let known: Vec<&str> = playbook.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let remedy = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("its parameters: {}", known.join(", "))
            };
            return Err(Failure::new(format!("the playbook has no parameter {name:?}")).remedy(remedy));
        };
        match given.get_mut(name) {
            Some(chosen) if parameter.kind == ParameterType::Choices => *chosen = format!("{chosen}\n{value}"),
            _ => {
                given.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(given)
}

/// The options of a playbook and the user's together. The user's win.
///
/// # Errors
/// A parameter is missing, unknown, or has a value that does not fit.
pub(super) fn options(playbook: &Playbook, options: PlaybookOptions, missing: Missing) -> Result<RunOptions> {
    let PlaybookOptions { parameters, run } = options;
    let run = with_files(run)?;
    let given = given(playbook, &parameters)?;
    let mut base_env: Vec<(String, String)> =
        playbook.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut env = Vec::new();
    for parameter in &playbook.parameters {
        let name = parameter.name.clone();
        match given.get(&name).cloned().or_else(|| user_variable(&name)) {
            Some(value) => env.push((name, checked(parameter, Some(&value))?)),
            None if !parameter.is_required() => base_env.push((name, checked(parameter, None)?)),
            None if missing == Missing::LeaveOut => {}
            None => env.push((name, ask(parameter)?)),
        }
    }
    env.extend(run.env);
    let mut secrets = playbook.secrets.clone();
    secrets.extend(run.secrets.into_iter().filter(|name| !playbook.secrets.contains(name)));
    Ok(RunOptions {
        image: run.image.or_else(|| playbook.image.clone()),
        env_file: Vec::new(),
        env,
        base_env,
        secrets,
        timeout: run.timeout.or(playbook.timeout.map(|timeout| timeout.0)),
        git_repo: run.git_repo.or_else(|| playbook.git_repo.clone()),
        git_ref: run.git_ref.or_else(|| playbook.git_ref.clone()),
        git_path: run.git_path.or_else(|| playbook.git_path.clone()),
        cpu: run.cpu.or(playbook.cpu),
        memory: run.memory.or(playbook.memory),
        disk: run.disk.or(playbook.disk),
        spot: run.spot || playbook.spot,
        // Slots are those of the lock that they are given with.
        slots: run.slots.or(playbook.slots.filter(|_| run.locks.is_empty())),
        locks: if run.locks.is_empty() { playbook.lock.clone() } else { run.locks },
        queue: run.queue || playbook.on_conflict == Some(OnConflict::Queue),
        after: run.after,
        run_if: run.run_if,
        deadline: run.deadline.or(playbook.deadline.map(|deadline| deadline.0)),
        retry: run.retry,
        retry_on: run.retry_on,
        retry_backoff: run.retry_backoff,
    }
    .with_retry_of(playbook.retry.as_ref()))
}

/// Says what to do about a parameter without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Ask on the terminal, and fail where there is none.
    Ask,
    LeaveOut,
}

/// The value that the command gets.
///
/// # Errors
/// It is missing, or does not fit the parameter.
pub(super) fn checked(parameter: &Parameter, value: Option<&str>) -> Result<String> {
    parameter.value(value).map_err(|problem| {
        let failure = Failure::new(problem.message);
        match problem.hint {
            Some(hint) => failure.remedy(hint),
            None => failure,
        }
    })
}

/// Asks for the value of a parameter, and asks again for one that does not fit.
///
/// # Errors
/// There is no terminal, or it is at its end.
pub(super) fn ask(parameter: &Parameter) -> Result<String> {
    let name = &parameter.name;
    let description = output::indented(&parameter.description);
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!("the playbook wants a value for its parameter {name:?}"))
            .remedy(format!("add -P {name}=…   {description}")));
    }
    match (&parameter.label, description.is_empty()) {
        (Some(label), true) => say!("{name}: {label}"),
        (Some(label), false) => say!("{name}: {label}: {description}"),
        (None, true) => {}
        (None, false) => say!("{name}: {description}"),
    }
    if !parameter.allowed.is_empty() {
        say!("  it may be: {}", parameter.allowed.join(", "));
    }
    loop {
        say::ask(&format!("{name}: "));
        let mut line = String::new();
        let read = io::stdin()
            .read_line(&mut line)
            .map_err(|error| Failure::new(format!("the terminal cannot be read: {error}")))?;
        if read == 0 {
            return Err(Failure::new(format!("the playbook wants a value for its parameter {name:?}")));
        }
        match checked(parameter, Some(line.trim_end_matches(['\n', '\r']))) {
            Ok(value) => return Ok(value),
            Err(failure) => say!("{failure}"),
        }
    }
}
