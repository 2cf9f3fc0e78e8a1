//! Checks the run that a caller asks for. What passes is a `ValidRun`.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Deref,
};

use runvoy_api_types::{
    Asked, ExecutionId, OnConflict, Retry, RunIf,
    limits::{DISK_GIB, MAX_AFTER, MAX_DEADLINE_SECONDS, MAX_SECRETS_OF_A_RUN},
};
use serde::{Deserialize, Serialize};

use super::timeout;
use crate::{
    Error, Result, environment,
    image::size,
    lock::{self, MAX_LOCKS_OF_A_RUN, MAX_SLOTS},
    redaction::says_secret,
};

/// A command to run, with what it needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRequest {
    pub command: String,
    /// An image id or name; the default image if absent.
    pub image: Option<String>,
    pub env: BTreeMap<String, String>,
    /// Names of secrets.
    pub secrets: Vec<String>,
    /// Seconds after which the command is stopped.
    pub timeout: Option<u64>,
    pub git_repo: Option<String>,
    pub git_ref: Option<String>,
    pub git_path: Option<String>,
    /// The names of the locks that the run holds until it ends, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lock: Vec<String>,
    /// The number of runs that may hold the lock at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// CPU units and MiB of memory of this run, if not the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// GiB of disk, if not what each task has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    /// On Fargate Spot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// Says whether the run waits if it cannot start at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// The executions that must have ended before the run starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ExecutionId>,
    /// The end that they must have had.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub run_if: Option<RunIf>,
    /// Seconds after the request within which the run must have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// The attempts that were asked for, if more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl RunRequest {
    /// Tells whether the run waits if it cannot start at once.
    pub fn waits(&self) -> bool {
        self.on_conflict == Some(OnConflict::Queue) || !self.after.is_empty()
    }

    /// The part of the request that everyone may see who sees the execution.
    pub fn asked(&self, source: &str) -> Asked {
        Asked {
            variables: self.env.keys().cloned().collect(),
            secrets: self.secrets.clone(),
            git_repo: self.git_repo.as_deref().map(without_credentials),
            git_ref: self.git_ref.clone(),
            git_path: self.git_path.clone(),
            timeout: self.timeout,
            cpu: self.cpu,
            memory: self.memory,
            disk: self.disk,
            spot: self.spot,
            after: self.after.clone(),
            run_if: self.run_if,
            deadline: self.deadline,
            retry: self.retry.clone(),
            slots: self.slots,
            on_conflict: self.on_conflict,
            source: source.to_owned(),
            ..Asked::default()
        }
    }
}

/// A repository's URL without the credentials before the `@` of its authority.
pub(crate) fn without_credentials(repo: &str) -> String {
    let Some((scheme, rest)) = repo.split_once("://") else { return repo.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// A part of a run that would be readable where the run is kept.
pub(crate) enum KeptSecret<'a> {
    /// The name of a variable that says that its value is a secret.
    Variable(&'a str),
    /// The credentials in the repository's URL.
    Repository,
}

/// The first part of a run that must not be kept where others read it.
pub(crate) fn kept_secret<'a>(env: &'a BTreeMap<String, String>, git_repo: Option<&str>) -> Option<KeptSecret<'a>> {
    let variable = env.keys().find(|name| says_secret(name)).map(|name| KeptSecret::Variable(name));
    variable
        .or_else(|| git_repo.is_some_and(|repo| without_credentials(repo) != repo).then_some(KeptSecret::Repository))
}

/// A [`RunRequest`] that passed every check that needs no AWS call.
#[derive(Clone, Debug)]
pub struct ValidRun(RunRequest);

impl Deref for ValidRun {
    type Target = RunRequest;

    fn deref(&self) -> &RunRequest {
        &self.0
    }
}

impl TryFrom<RunRequest> for ValidRun {
    type Error = Error;

    /// # Errors
    /// [`Error::Invalid`] that names the field and what it must be. No value of a variable is quoted.
    fn try_from(mut request: RunRequest) -> Result<Self> {
        // An optional field that is empty means the same as an absent one.
        for field in [&mut request.image, &mut request.git_repo, &mut request.git_ref, &mut request.git_path] {
            *field = field.take().filter(|text| !text.is_empty());
        }
        for seconds in [&mut request.timeout, &mut request.deadline] {
            *seconds = seconds.take().filter(|seconds| *seconds > 0);
        }
        for size in [&mut request.cpu, &mut request.memory, &mut request.disk] {
            *size = size.take().filter(|size| *size > 0);
        }

        if request.command.trim().is_empty() {
            return Err(Error::invalid("command is required")
                .with_hint("say what /bin/sh is to run")
                .at_field("command"));
        }
        if request.command.contains('\0') {
            return Err(
                Error::invalid("command contains a NUL character, which no shell can be given").at_field("command")
            );
        }
        // Editors on Windows end lines with CR LF; sh would take the CR for a part of the last word.
        request.command = request.command.replace("\r\n", "\n");
        for (name, value) in &request.env {
            let at = |error: Error| error.at_field(format!("env.{name}"));
            environment::check_name(name).map_err(at)?;
            environment::check_value(name, value).map_err(at)?;
        }
        timeout::check(request.timeout)?;
        let mut named = HashSet::new();
        request.secrets.retain(|name| named.insert(name.clone()));
        if request.secrets.len() > MAX_SECRETS_OF_A_RUN {
            let problem = format!("a run has {MAX_SECRETS_OF_A_RUN} secrets at most, not {}", request.secrets.len());
            return Err(Error::invalid(problem).at_field("secrets"));
        }
        size::check_parts(request.cpu, request.memory)?;
        if let Some(disk) = request.disk.filter(|disk| !DISK_GIB.contains(disk)) {
            let (least, most) = (DISK_GIB.start(), DISK_GIB.end());
            return Err(Error::invalid(format!("disk must be {least} to {most} GiB, not {disk}"))
                .with_hint("each task has 20 GiB without asking")
                .at_field("disk"));
        }
        check_git(&request)?;
        check_locks(&mut request)?;
        check_order(&mut request)?;
        if let Some(retry) = request.retry.take() {
            let checked = retry.checked(request.on_conflict == Some(OnConflict::Queue));
            request.retry = checked.map_err(|problem| Error::from(problem).below("retry"))?;
        }
        Ok(Self(request))
    }
}

fn check_locks(request: &mut RunRequest) -> Result<()> {
    request.lock.sort();
    request.lock.dedup();
    request.lock.iter().try_for_each(|name| lock::check_name(name))?;
    if request.lock.len() > MAX_LOCKS_OF_A_RUN {
        return Err(Error::invalid(format!("a run has {MAX_LOCKS_OF_A_RUN} locks at most")).at_field("lock"));
    }
    match request.slots {
        None => Ok(()),
        Some(_) if request.lock.len() != 1 => {
            Err(Error::invalid("slots needs one lock, whose slots it says").at_field("slots"))
        }
        Some(1..=MAX_SLOTS) => Ok(()),
        Some(_) => Err(Error::invalid(format!("slots must be 1 to {MAX_SLOTS}")).at_field("slots")),
    }
}

fn check_order(request: &mut RunRequest) -> Result<()> {
    let mut named = HashSet::new();
    request.after.retain(|id| named.insert(id.clone()));
    if request.after.len() > MAX_AFTER {
        return Err(Error::invalid(format!("a run waits for {MAX_AFTER} executions at most")).at_field("after"));
    }
    if request.run_if.is_some() && request.after.is_empty() {
        return Err(Error::invalid("if needs after, the executions whose end it is about").at_field("if"));
    }
    if request.deadline.is_some_and(|seconds| seconds > MAX_DEADLINE_SECONDS) {
        let problem = format!("deadline must be 1 to {MAX_DEADLINE_SECONDS} seconds, or 0 for none");
        return Err(Error::invalid(problem).at_field("deadline"));
    }
    Ok(())
}

fn check_git(request: &RunRequest) -> Result<()> {
    let has_control = |text: &str| text.chars().any(char::is_control);
    let Some(repo) = &request.git_repo else {
        return if request.git_ref.is_some() || request.git_path.is_some() {
            Err(Error::invalid("git_ref and git_path need a git_repo").at_field("git_repo"))
        } else {
            Ok(())
        };
    };
    if is_ssh(repo) {
        return Err(Error::invalid("git_repo is an SSH address, and the container that clones has no SSH key").with_hint("use the https:// URL, and for a private repository a secret with the key_name GITHUB_TOKEN, GITLAB_TOKEN or \
             GIT_TOKEN").at_field("git_repo"));
    }
    let well_formed = repo
        .split_once("://")
        .is_some_and(|(scheme, rest)| !rest.is_empty() && ["https", "http", "git", "file"].contains(&scheme));
    if !well_formed || has_control(repo) || repo.contains(' ') {
        return Err(Error::invalid("git_repo must be an https://, http://, git:// or file:// URL").at_field("git_repo"));
    }
    if let Some(git_ref) = &request.git_ref {
        let bad = git_ref.starts_with('-')
            || has_control(git_ref)
            || git_ref.contains([' ', ':', '~', '^', '?', '*', '[', '\\'])
            || git_ref.contains("..");
        if bad {
            return Err(Error::invalid("git_ref must be a branch, a tag or a commit").at_field("git_ref"));
        }
    }
    if let Some(path) = &request.git_path {
        let bad = path.starts_with('/') || has_control(path) || path.split('/').any(|part| part == "..");
        if bad {
            return Err(
                Error::invalid("git_path must be a path within the repository, without `..`").at_field("git_path")
            );
        }
    }
    Ok(())
}

/// Tells whether git would reach a repository by SSH: `ssh://…`, or `user@host:path` ("GIT URLS", git's documentation).
fn is_ssh(repo: &str) -> bool {
    match repo.split_once("://") {
        Some((scheme, _)) => ["ssh", "git+ssh", "ssh+git"].contains(&scheme),
        None => {
            !repo.contains("::")
                && repo.split_once(':').is_some_and(|(host, path)| {
                    !path.is_empty() && !host.is_empty() && !host.contains('/') && !host.starts_with('-')
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(command: &str) -> RunRequest {
        RunRequest { command: command.to_owned(), ..RunRequest::default() }
    }

    #[test]
    fn git_sources_are_checked() {
        let with = |repo: &str, git_ref: Option<&str>, path: Option<&str>| {
            ValidRun::try_from(RunRequest {
                git_repo: Some(repo.to_owned()),
                git_ref: git_ref.map(str::to_owned),
                git_path: path.map(str::to_owned),
                ..request("true")
            })
        };
        for good in ["https://example.com/a.git", "https://token@example.com/a", "file:///tmp/a"] {
            assert!(with(good, Some("v1.0/x"), Some("a/b")).is_ok(), "{good}");
        }
        for bad in
            ["--upload-pack=x", "ext::sh -c id", "ext::sh", "/tmp/a", "ftp://x/y", "https://", "https://x/y z", "-x:y"]
        {
            assert!(with(bad, None, None).is_err(), "{bad}");
        }
        for ssh in ["git@example.com:a/b.git", "ssh://git@example.com/a", "example.com:a"] {
            let refused = with(ssh, None, None).unwrap_err();
            assert!(refused.hint().is_some_and(|hint| hint.contains("https://")), "{ssh}");
            assert_eq!(refused.field(), Some("git_repo"), "{ssh}");
        }
        for bad in ["-x", "a b", "a..b", "a:b", "a\n"] {
            assert!(with("https://x/y", Some(bad), None).is_err(), "{bad}");
        }
        for bad in ["/etc", "..", "a/../../b", "a\0"] {
            assert!(with("https://x/y", None, Some(bad)).is_err(), "{bad}");
        }
        assert!(ValidRun::try_from(RunRequest { git_ref: Some("main".into()), ..request("true") }).is_err());
    }

    #[test]
    fn a_repository_is_shown_without_its_credentials() {
        for (repo, shown) in [
            ("https://user:token@example.com/a@b", "https://example.com/a@b"),
            ("https://to@ken@example.com", "https://example.com"),
            ("file:///tmp/a", "file:///tmp/a"),
        ] {
            assert_eq!(without_credentials(repo), shown);
        }
    }

    #[test]
    fn an_empty_optional_field_means_the_same_as_none() {
        let empty = || Some(String::new());
        let run = RunRequest {
            image: empty(),
            git_repo: empty(),
            git_ref: empty(),
            git_path: empty(),
            timeout: Some(0),
            ..request("true")
        };
        let run = ValidRun::try_from(run).unwrap();
        assert_eq!(
            (&run.image, &run.git_repo, &run.git_ref, &run.git_path, run.timeout),
            (&None, &None, &None, &None, None)
        );
    }

    #[test]
    fn a_command_with_the_line_ends_of_windows_is_run_with_those_of_sh() {
        assert_eq!(ValidRun::try_from(request("set -e\r\necho a\r\n")).unwrap().command, "set -e\necho a\n");
    }
}
