//! Does `runvoy playbook` for playbooks that are published on the server.

use std::{collections::BTreeMap, path::Path};

use reqwest::Method;
use runvoy_api_types::{
    BroughtSchedule, DeletedPlaybook, PlaybookAnswer, PlaybookVersions, PublishedPlaybook, SetSharing, Sharing,
};
use serde_json::{Value, json};

use super::{
    context::Context,
    parameters::{self, Missing},
    run::start_by,
    shell::curl_line,
};
use crate::{
    api::{Repeat, segment},
    arguments::{Confirmation, PlaybookOptions, RunOptions, WatchOptions},
    escape,
    failure::{Failure, Result},
    output::{self, Columns, ago, cell, until},
    playbook,
};

/// All published playbooks that the user may see, as the API lists them.
pub(super) async fn all(context: &Context, search: Option<&str>) -> Result<Vec<Value>> {
    let q = search.map(|text| format!("?q={}", segment(text))).unwrap_or_default();
    let mut all = Vec::new();
    let mut path = Some(format!("/playbooks{q}"));
    while let Some(page) = path {
        let answer = context.api.get(&page).await?;
        if let Value::Array(playbooks) = answer.json()?["playbooks"].take() {
            all.extend(playbooks);
        }
        path = answer.next_page();
    }
    Ok(all)
}

/// The parts of `NAME` or `NAME@VERSION`.
pub(super) fn name_and_version(text: &str) -> (&str, Option<&str>) {
    text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)))
}

/// The playbook that `NAME` or `NAME@VERSION` names.
async fn find(context: &Context, name: &str) -> Result<PublishedPlaybook> {
    let (name, version) = name_and_version(name);
    let version = version.map(|version| format!("?version={}", segment(version))).unwrap_or_default();
    let answer = context.api.get(&format!("/playbooks/{}{version}", segment(name))).await?;
    answer.parse().map(|shown: PlaybookAnswer| shown.playbook)
}

/// Refuses options of a run that only its playbook decides.
pub(super) fn check_is_plain(run: &RunOptions) -> Result<()> {
    let RunOptions { image, env, env_file, base_env: _, secrets, timeout, git_repo, git_ref, git_path, .. } = run;
    let is_plain = image.is_none()
        && env.is_empty()
        && env_file.is_empty()
        && secrets.is_empty()
        && timeout.is_none()
        && run.cpu.or(run.memory).or(run.disk).is_none()
        && !run.spot
        && git_repo.is_none()
        && git_ref.is_none()
        && git_path.is_none()
        && run.locks.is_empty()
        && run.slots.is_none()
        && !run.queue
        && run.after.is_empty()
        && run.deadline.is_none()
        && run.retry.is_none();
    if is_plain {
        return Ok(());
    }
    Err(Failure::new("a published playbook fixes its image, sizes, variables, secrets, repository and locks")
        .remedy("give values of its parameters only: -P NAME=VALUE"))
}

/// The values of the parameters for a run's request. Those that are missing are asked for, or left out.
fn values(
    playbook: &PublishedPlaybook,
    options: &PlaybookOptions,
    missing: Missing,
) -> Result<BTreeMap<String, String>> {
    check_is_plain(&options.run)?;
    let mut values = parameters::given(&playbook.playbook, &options.parameters)?;
    for parameter in &playbook.playbook.parameters {
        match values.get(&parameter.name) {
            Some(value) => drop(parameters::checked(parameter, Some(value))?),
            None if parameter.is_required() && missing == Missing::Ask => {
                values.insert(parameter.name.clone(), parameters::ask(parameter)?);
            }
            None => {}
        }
    }
    Ok(values)
}

fn path_of_run(playbook: &PublishedPlaybook) -> String {
    format!("/playbooks/{}/run", segment(playbook.name.as_str()))
}

pub(super) async fn run(context: Context, name: &str, options: PlaybookOptions, watch: &WatchOptions) -> Result<u8> {
    let playbook = find(&context, name).await?;
    start(context, &playbook, &options, watch).await
}

/// The variables of an earlier run: the names of all, and the values that the API has kept.
pub(super) struct KeptValues<'a> {
    pub(super) names: &'a [String],
    pub(super) kept: BTreeMap<String, String>,
}

/// Runs a playbook with the values of an earlier run.
///
/// # Errors
/// A value of a parameter is not kept any more.
pub(super) async fn run_again(
    context: Context,
    name: &str,
    mut values: KeptValues<'_>,
    run: RunOptions,
    watch: &WatchOptions,
) -> Result<u8> {
    let playbook = find(&context, name).await?;
    let mut parameters = Vec::new();
    for parameter in playbook.playbook.parameters.iter().filter(|one| values.names.contains(&one.name)) {
        let Some(value) = values.kept.remove(&parameter.name) else {
            return Err(Failure::new(format!("the API has not kept the value of {}", parameter.name))
                .remedy(format!("give it once more: `runvoy playbook run {name} -P {}=…`", parameter.name)));
        };
        parameters.push((parameter.name.clone(), value));
    }
    start(context, &playbook, &PlaybookOptions { parameters, run }, watch).await
}

async fn start(
    context: Context,
    playbook: &PublishedPlaybook,
    options: &PlaybookOptions,
    watch: &WatchOptions,
) -> Result<u8> {
    let version = playbook.version.version;
    say!("runvoy: published playbook {}, version {version} by {}", playbook.name, playbook.version.published_by);
    let values = values(playbook, options, Missing::Ask)?;
    // The version that the values were asked for.
    let body = json!({"parameters": values, "version": version});
    if watch.dry_run {
        return output::print_json(&format!("{body:#}")).map(|()| 0);
    }
    start_by(context, &path_of_run(playbook), &body, watch).await
}

pub(super) async fn show(context: &Context, name: &str, curl: bool, options: PlaybookOptions) -> Result<()> {
    let shown = find(context, name).await?;
    if curl {
        let body = json!({"parameters": values(&shown, &options, Missing::LeaveOut)?});
        return output::print(&curl_line(&context.global, &path_of_run(&shown), &body));
    }
    if context.is_json() {
        let json = serde_json::to_string(&shown).map_err(|error| Failure::new(error.to_string()))?;
        return output::print_json(&json);
    }
    let PublishedPlaybook { name, version, playbook, owned_by, shared_with, .. } = &shown;
    let mut text = format!("{name}: {}\n", output::indented(&playbook.description));
    text.push_str(&format!("  version {}, published by {}\n", version.version, version.published_by));
    text.push_str(&format!("\ncommand:\n  {}\n\n", playbook.command().replace('\n', "\n  ")));
    let list = |names: Vec<String>| if names.is_empty() { None } else { Some(names.join(", ")) };
    for (key, value) in [
        ("image", playbook.image.clone()),
        ("secrets", list(playbook.secrets.clone())),
        ("variables", list(playbook.env.iter().map(|(name, value)| format!("{name}={value}")).collect())),
        ("timeout", playbook.timeout.map(|timeout| format!("{} s", timeout.0))),
        ("deadline", playbook.deadline.map(|deadline| format!("{} s", deadline.0))),
        ("retry", playbook.retry.as_ref().map(output::retry)),
        ("cpu", playbook.cpu.map(|units| format!("{units} units"))),
        ("memory", playbook.memory.map(|mib| format!("{mib} MiB"))),
        ("disk", playbook.disk.map(|gib| format!("{gib} GiB"))),
        ("spot", playbook.spot.then(|| "yes".to_owned())),
        ("lock", list(playbook.lock.clone())),
        ("slots", playbook.slots.map(|slots| slots.to_string())),
        ("repository", playbook.git_repo.clone()),
        ("ref", playbook.git_ref.clone()),
        ("folder", playbook.git_path.clone()),
        ("owners", list(owned_by.iter().map(ToString::to_string).collect())),
        ("shared with", shared_with.clone().map(|names| list(names).unwrap_or_else(|| "nobody".to_owned()))),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("{key}: {}\n", output::indented(value)));
        }
    }
    text.push_str(&parameters::in_words(&playbook.parameters));
    output::print(&escape::text(&text))
}

pub(super) async fn publish(
    context: &Context,
    file: &Path,
    name: Option<String>,
    if_version: Option<u64>,
) -> Result<()> {
    let (playbook, unknown) = playbook::read_with_unknown(file)?;
    if !unknown.is_empty() {
        return Err(Failure::new(format!("{}: unknown: {}", file.display(), unknown.join(", ")))
            .remedy("correct them: what is published means all that it says"));
    }
    let stem = file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let name = name.or(stem).ok_or_else(|| Failure::new("the file has no name").remedy("give one: --name NAME"))?;
    let body = serde_json::to_value(&playbook).map_err(|error| Failure::new(error.to_string()))?;
    let version = if_version.map(|version| version.to_string());
    let headers: Vec<(&str, &str)> = version.iter().map(|version| ("if-match", version.as_str())).collect();
    let path = format!("/playbooks/{}", segment(&name));
    // The same playbook again is the same version.
    let answer = context.api.send(Method::PUT, &path, Some(&body), &headers, Repeat::Safe).await?;
    context.show(&answer, |PlaybookAnswer { playbook, schedules }| {
        tell_schedules(&schedules);
        output::print(&format!("{}@{}", cell(playbook.name), playbook.version.version))
    })
}

/// Says what became of the schedules of a playbook that was published or deleted.
fn tell_schedules(schedules: &[BroughtSchedule]) {
    for BroughtSchedule { name, change, next_at } in schedules {
        let next = next_at.map(|next| format!(", runs next {}", until(next))).unwrap_or_default();
        say!("runvoy: schedule {} {change}{next}", cell(name));
    }
}

pub(super) async fn versions(context: &Context, name: &str) -> Result<()> {
    let answer = context.api.get(&format!("/playbooks/{}/versions", segment(name))).await?;
    context.show(&answer, |PlaybookVersions { versions }| {
        let mut columns = Columns::new(&["VERSION", "PUBLISHED BY", "PUBLISHED"]);
        for one in versions {
            columns.row([cell(one.version), cell(one.published_by), ago(one.published_at)]);
        }
        columns.print("there are no versions")
    })
}

pub(super) async fn share(context: &Context, name: &str, with: Option<Vec<String>>) -> Result<()> {
    let path = format!("/playbooks/{}/sharing", segment(name));
    let answer = context.api.put(&path, &SetSharing { shared_with: with }).await?;
    context.show(&answer, |Sharing { shared_with }| {
        let with = match shared_with.as_deref() {
            None => "everyone whose role allows it".to_owned(),
            Some([]) => "nobody: its owners, operators and admins may run it".to_owned(),
            Some(names) => names.join(", "),
        };
        output::print(&escape::text(&format!("{name} is shared with {with}")))
    })
}

pub(super) async fn delete(context: &Context, name: &str, confirmation: Confirmation) -> Result<()> {
    confirmation.ask(&format!("Delete the published playbook {name}?"))?;
    let answer = context.api.delete(&format!("/playbooks/{}", segment(name))).await?;
    if let Ok(DeletedPlaybook { schedules, .. }) = answer.parse() {
        tell_schedules(&schedules);
    }
    context.done(&answer)
}
