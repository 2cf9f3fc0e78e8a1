//! `runvoy rerun`: starts an execution once more, from its record.

use std::{env, fs, process::Command};

use runvoy_api_types::{Execution, ExecutionInFull, ImageId, OnConflict};

use super::{context::Context, ids, published, run};
use crate::{
    api::{WithStatus, segment},
    arguments::{Global, Rerun, RunOptions},
    failure::{Failure, Result},
};

pub(crate) async fn rerun(global: Global, rerun: Rerun) -> Result<u8> {
    let context = Context::load(global)?;
    let id = ids::execution_id(&context, &rerun.which.id).await?;
    let answer = context.api.get(&format!("/executions/{}", segment(&id))).await?;
    let shown = answer.parse::<WithStatus<ExecutionInFull>>()?.into_known();
    if let Some(name) = playbook_of(&shown.execution) {
        if rerun.edit {
            return Err(Failure::new(format!("the command is that of the published playbook {name}"))
                .remedy(format!("run it with other values: `runvoy playbook run {name} -P NAME=VALUE`")));
        }
        let kept = shown.request.as_ref().map(|request| request.env.clone()).unwrap_or_default();
        let values = published::KeptValues { names: &shown.execution.asked.variables, kept };
        return published::run_again(context, name, values, rerun.options, &rerun.watch).await;
    }
    let mut command = shown.execution.command.clone();
    let options = merged(shown, run::with_files(rerun.options)?)?;
    if rerun.edit {
        command = edited(&command)?;
    }
    run::start(context, &run::request(&command, &options), &rerun.watch).await
}

/// The published playbook that an execution ran, or that its schedule did. A run of its command by itself would need no approval.
fn playbook_of(execution: &Execution) -> Option<&str> {
    let asked = &execution.asked;
    let version = asked.source.strip_prefix("playbook:").or(asked.playbook_version.as_deref())?;
    Some(published::name_and_version(version).0)
}

/// The record's options and the user's. The user's win.
fn merged(shown: ExecutionInFull, given: RunOptions) -> Result<RunOptions> {
    let ExecutionInFull { execution: Execution { image_id, locks, asked, .. }, request, .. } = shown;
    let is_given =
        |name: &String| given.env.iter().any(|(given, _)| given == name) || run::user_variable(name).is_some();
    // Who may run it again is shown the values that the API keeps.
    let kept = request.map(|request| request.env).unwrap_or_default();
    let mut env: Vec<(String, String)> = kept.into_iter().filter(|(name, _)| !is_given(name)).collect();
    let is_kept = |name: &String| env.iter().any(|(kept, _)| kept == name);
    let missing: Vec<String> = asked.variables.into_iter().filter(|name| !is_given(name) && !is_kept(name)).collect();
    if !missing.is_empty() {
        let options = missing.iter().map(|name| format!("-e {name}=…")).collect::<Vec<_>>().join(" ");
        return Err(Failure::new(format!("the API has not kept the values of variables: {}", missing.join(", ")))
            .remedy(format!("give them once more: {options}")));
    }
    env.extend(given.env);
    let mut secrets = asked.secrets;
    secrets.extend(given.secrets.iter().filter(|name| !secrets.contains(name)).cloned().collect::<Vec<_>>());
    Ok(RunOptions {
        env,
        image: given.image.or_else(|| Some(image_id.to_string()).filter(|id| !id.is_empty() && id != ImageId::NONE)),
        secrets,
        timeout: given.timeout.or(asked.timeout),
        deadline: given.deadline.or(asked.deadline),
        queue: given.queue || asked.on_conflict == Some(OnConflict::Queue),
        locks: if given.locks.is_empty() { locks } else { given.locks },
        cpu: given.cpu.or(asked.cpu),
        memory: given.memory.or(asked.memory),
        disk: given.disk.or(asked.disk),
        spot: given.spot || asked.spot,
        git_repo: given.git_repo.or(asked.git_repo),
        git_ref: given.git_ref.or(asked.git_ref),
        git_path: given.git_path.or(asked.git_path),
        ..given
    }
    .with_retry_of(asked.retry.as_ref()))
}

/// The command after its user has changed it in an editor.
fn edited(command: &str) -> Result<String> {
    let variable = |name: &str| env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let failed = |error: std::io::Error| Failure::new(format!("the command cannot be edited: {error}"));
    let file = Draft::write(command).map_err(failed)?;
    // An editor may have options of its own, such as `code --wait`.
    let ended = Command::new("/bin/sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(&file.0).status();
    if !ended.map_err(failed)?.success() {
        return Err(Failure::new(format!("the editor {editor:?} failed, and nothing was started")));
    }
    let text = fs::read_to_string(&file.0).map_err(failed)?;
    match text.strip_suffix('\n').unwrap_or(&text) {
        text if text.trim().is_empty() => Err(Failure::new("the command is empty, and nothing was started")),
        text => Ok(text.to_owned()),
    }
}

/// A file that only its owner can read, and that is gone at the end.
struct Draft(std::path::PathBuf);

impl Draft {
    fn write(text: &str) -> std::io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let path = env::temp_dir().join(format!("runvoy-{:016x}.sh", u64::from_be_bytes(random)));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        let draft = Self(path);
        std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes())?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
