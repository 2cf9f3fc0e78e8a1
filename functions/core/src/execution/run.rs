//! Starting and stopping the ECS task of an execution.

use std::collections::BTreeMap;

use aws_sdk_ecs::{
    error::SdkError,
    operation::run_task::RunTaskError,
    types::{
        AssignPublicIp, AwsVpcConfiguration, ContainerOverride, KeyValuePair, LaunchType, NetworkConfiguration, Tag,
        TaskOverride,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    Changed, ExecutionId, ExecutionRecord, Idempotency, NewExecution, Status, Transition, environment,
    idempotency::{conflict, digest},
    task,
};
use crate::{
    App, Error, Result,
    auth::Principal,
    image::{
        Image,
        task_definition::{self, RUNNER, SIDECAR, SecretVariable},
    },
    secret::Secret,
};

/// Characters that all overrides of a task may have, JSON included ("TaskOverride", Amazon ECS API Reference).
pub const MAX_OVERRIDES: usize = 8192;
/// The longest timeout: a week, in seconds.
const MAX_TIMEOUT: u64 = 7 * 24 * 3600;

/// A command to run, as it was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunRequest {
    pub command: String,
    /// As it was named; the default image if it was not.
    pub image: Option<String>,
    pub env: BTreeMap<String, String>,
    pub secrets: Vec<String>,
    /// Seconds.
    pub timeout: Option<u64>,
    pub git_repo: Option<String>,
    pub git_ref: Option<String>,
    pub git_path: Option<String>,
}

impl RunRequest {
    /// # Errors
    /// [`Error::Invalid`] naming the field and what it wants. No value is quoted.
    pub fn check(&self) -> Result<()> {
        if self.command.trim().is_empty() {
            return Err(Error::invalid("command is required: what /bin/sh is to run"));
        }
        if self.command.contains('\0') {
            return Err(Error::invalid("command contains a NUL character, which no shell can be given"));
        }
        for (name, value) in &self.env {
            environment::check_name(name)?;
            environment::check_value(name, value)?;
        }
        if self.timeout.is_some_and(|seconds| !(1..=MAX_TIMEOUT).contains(&seconds)) {
            return Err(Error::invalid(format!("timeout must be 1 to {MAX_TIMEOUT} seconds")));
        }
        self.check_git()
    }

    fn check_git(&self) -> Result<()> {
        let control = |text: &str| text.chars().any(char::is_control);
        let Some(repo) = &self.git_repo else {
            return if self.git_ref.is_some() || self.git_path.is_some() {
                Err(Error::invalid("git_ref and git_path need a git_repo"))
            } else {
                Ok(())
            };
        };
        let scheme = repo.split_once("://").map(|(scheme, rest)| (scheme, !rest.is_empty()));
        // `git@host:path`, as git's own documentation has it under "GIT URLS".
        let scp_like = !repo.contains("::")
            && repo.split_once(':').is_some_and(|(host, path)| {
                !path.is_empty() && !host.is_empty() && !host.contains('/') && !host.starts_with('-')
            });
        let well_formed = match scheme {
            Some((scheme, complete)) => complete && ["https", "http", "ssh", "git", "file"].contains(&scheme),
            None => scp_like,
        };
        if !well_formed || control(repo) || repo.contains(' ') {
            return Err(Error::invalid(
                "git_repo must be an https://, http://, ssh://, git:// or file:// URL, or git@host:path",
            ));
        }
        if let Some(git_ref) = &self.git_ref {
            let bad = git_ref.is_empty()
                || git_ref.starts_with('-')
                || control(git_ref)
                || git_ref.contains([' ', ':', '~', '^', '?', '*', '[', '\\'])
                || git_ref.contains("..");
            if bad {
                return Err(Error::invalid("git_ref must be a branch, a tag or a commit"));
            }
        }
        if let Some(path) = &self.git_path {
            let bad =
                path.is_empty() || path.starts_with('/') || control(path) || path.split('/').any(|part| part == "..");
            if bad {
                return Err(Error::invalid("git_path must be a path within the repository, without `..`"));
            }
        }
        Ok(())
    }
}

/// Who starts a run, from where, and whether it may be a repetition.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub principal: &'a Principal,
    pub request_id: &'a str,
    pub idempotency: Option<&'a Idempotency>,
}

/// Starts a task and writes its execution down.
///
/// The execution has no record until ECS has named the task; if this program dies in between, the task's first event makes
/// the record from the task's tags. RunTask carries a client token, so that no retry runs the command twice: the request's
/// id, or what the caller's idempotency key hashes to.
///
/// # Errors
/// [`Error::Invalid`] when the run needs more overrides than ECS carries, [`Error::Conflict`] when the idempotency key stands
/// for another request, [`Error::Aws`] when ECS fails or has no capacity.
pub async fn start(
    app: &App,
    request: &RunRequest,
    image: &Image,
    secrets: &[Secret],
    origin: Origin<'_>,
) -> Result<ExecutionRecord> {
    let client_token = origin.idempotency.map_or(origin.request_id, |idempotency| &idempotency.key);
    let overrides = overrides(request, image, origin.request_id)?;
    let variables = secret_variables(request, secrets);
    let family = family_with(image, &variables);
    let run = || {
        app.aws
            .ecs
            .run_task()
            .cluster(&app.config.ecs_cluster)
            .task_definition(&family)
            .launch_type(LaunchType::Fargate)
            .count(1)
            .client_token(client_token)
            .network_configuration(network(app))
            .overrides(overrides.clone())
            .set_tags(Some(tags(request, image, origin)))
            .send()
    };
    let mut answer = run().await;
    if let Err(error) = &answer
        && is_missing_task_definition(error)
    {
        // The first run with this set of secrets.
        task_definition::register(app, image, &family, &variables).await?;
        answer = run().await;
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return repeated(app, error, origin.idempotency).await,
    };
    let Some(task_arn) = answer.tasks().first().and_then(|task| task.task_arn()) else {
        let reasons: Vec<&str> = answer.failures().iter().filter_map(|failure| failure.reason()).collect();
        return Err(Error::Aws { service: "ECS", cause: format!("no task was started: {}", reasons.join(", ")) });
    };
    super::record(
        app,
        &NewExecution {
            execution_id: ExecutionId::from_task_arn(task_arn).map_err(|error| Error::Internal(error.to_string()))?,
            created_by: origin.principal.email.clone(),
            command: request.command.clone(),
            image_id: image.image_id.clone(),
            started_at: app.now(),
            request_id: origin.request_id.to_owned(),
            idempotency: origin.idempotency.cloned(),
        },
    )
    .await
}

/// An idempotency key that ECS knows and no record does yet: the first execution, if the request is the same.
async fn repeated(
    app: &App,
    error: SdkError<RunTaskError>,
    idempotency: Option<&Idempotency>,
) -> Result<ExecutionRecord> {
    let (first, idempotency) = match (error.as_service_error(), idempotency) {
        (Some(RunTaskError::ConflictException(used)), Some(idempotency)) => (used.resource_ids().first(), idempotency),
        _ => return Err(Error::aws("ECS")(error)),
    };
    let id = ExecutionId::from_task_arn(first.ok_or_else(conflict)?).map_err(|_| conflict())?;
    let record = match super::find(app, &id).await? {
        Some(record) => record,
        None => match task::recover(app, &id).await {
            Err(Error::NotFound { .. }) => return Err(conflict()),
            recovered => recovered?.ok_or_else(conflict)?,
        },
    };
    idempotency.confirm(record)
}

/// Asks ECS to stop an execution's task. Returns the execution as it is then; nothing, when there was nothing to stop.
pub async fn kill(
    app: &App,
    record: &ExecutionRecord,
    by: &Principal,
    request_id: &str,
) -> Result<Option<Box<ExecutionRecord>>> {
    use aws_sdk_ecs::operation::stop_task::StopTaskError;
    let id = &record.execution.execution_id;
    if !record.execution.status.can_become(Status::Terminating) {
        return Ok(None);
    }
    let stopped = app
        .aws
        .ecs
        .stop_task()
        .cluster(&app.config.ecs_cluster)
        .task(id.as_str())
        .reason(format!("killed by {}", by.email))
        .send()
        .await;
    match stopped {
        Ok(_) => {}
        // ECS has forgotten the task, so it ended long ago and its events are lost: reconcile closes the execution.
        Err(error) if matches!(error.as_service_error(), Some(StopTaskError::InvalidParameterException(_))) => {}
        Err(error) => return Err(Error::aws("ECS")(error)),
    }
    let with = Transition { request_id: Some(request_id.to_owned()), ..Transition::default() };
    // The task's end may have been noted already: then it stands.
    Ok(match super::change(app, id, Status::Terminating, with).await? {
        Changed::Yes(record) | Changed::No(record) => Some(record),
        Changed::Missing => None,
    })
}

fn network(app: &App) -> NetworkConfiguration {
    #[expect(clippy::expect_used, reason = "the subnets are set, which is all that is required")]
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(app.config.subnets.clone()))
        .set_security_groups(Some(app.config.security_groups.clone()))
        .assign_public_ip(AssignPublicIp::Enabled)
        .build()
        .expect("a network configuration with subnets is complete");
    NetworkConfiguration::builder().awsvpc_configuration(vpc).build()
}

fn overrides(request: &RunRequest, image: &Image, request_id: &str) -> Result<TaskOverride> {
    let names: Vec<&str> = request.env.keys().map(String::as_str).collect();
    let mut runner: Vec<(&str, String)> = vec![
        ("RUNVOY_COMMAND", request.command.clone()),
        ("RUNVOY_REQUEST_ID", request_id.to_owned()),
        ("RUNVOY_IMAGE_ID", image.image_id.clone()),
    ];
    if !names.is_empty() {
        runner.push(("RUNVOY_ENV_NAMES", names.join(" ")));
    }
    if let Some(seconds) = request.timeout {
        runner.push(("RUNVOY_TIMEOUT", seconds.to_string()));
    }
    let mut sidecar: Vec<(&str, String)> = Vec::new();
    if let Some(repo) = &request.git_repo {
        runner.push(("RUNVOY_HAS_GIT_REPO", "true".to_owned()));
        sidecar.push(("RUNVOY_GIT_REPO", repo.clone()));
        if let Some(git_ref) = &request.git_ref {
            sidecar.push(("RUNVOY_GIT_REF", git_ref.clone()));
        }
        if let Some(path) = &request.git_path {
            runner.push(("RUNVOY_GIT_PATH", path.clone()));
        }
    }
    runner.extend(request.env.iter().map(|(name, value)| (name.as_str(), value.clone())));

    let containers: Vec<(&str, Vec<(&str, String)>)> =
        [(RUNNER, runner), (SIDECAR, sidecar)].into_iter().filter(|(_, variables)| !variables.is_empty()).collect();
    let size = overrides_size(&containers);
    if size > MAX_OVERRIDES {
        return Err(Error::invalid(format!(
            "command and env need {size} characters of the {MAX_OVERRIDES} that ECS carries to a task; put the script into \
             a git repository and name it with git_repo"
        )));
    }
    let containers = containers.into_iter().map(|(name, variables)| {
        let variables =
            variables.into_iter().map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
        ContainerOverride::builder().name(name).set_environment(Some(variables.collect())).build()
    });
    Ok(TaskOverride::builder().set_container_overrides(Some(containers.collect())).build())
}

/// As ECS counts: the characters of the JSON that carries the overrides.
fn overrides_size(containers: &[(&str, Vec<(&str, String)>)]) -> usize {
    let containers: Vec<_> = containers
        .iter()
        .map(|(name, variables)| {
            let environment: Vec<_> =
                variables.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect();
            serde_json::json!({"name": name, "environment": environment})
        })
        .collect();
    serde_json::json!({"containerOverrides": containers}).to_string().chars().count()
}

/// The tags of a task: enough to make its record from.
fn tags(request: &RunRequest, image: &Image, origin: Origin<'_>) -> Vec<Tag> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let mut tags = vec![
        tag("Application", "runvoy"),
        tag("ManagedBy", "runvoy"),
        tag(task::TAG_CREATED_BY, origin.principal.email.as_str()),
        tag(task::TAG_IMAGE_ID, &image.image_id),
        tag(task::TAG_REQUEST_ID, origin.request_id),
        tag("HasGitRepo", if request.git_repo.is_some() { "true" } else { "false" }),
    ];
    if let Some(Idempotency { key, request_hash }) = origin.idempotency {
        tags.extend([tag(task::TAG_IDEMPOTENCY_KEY, key), tag(task::TAG_REQUEST_HASH, request_hash)]);
    }
    tags
}

/// The variables that ECS fills from secrets. A variable in `env` wins over a secret of the same name.
fn secret_variables(request: &RunRequest, secrets: &[Secret]) -> Vec<SecretVariable> {
    let by_variable: BTreeMap<&str, &str> = secrets
        .iter()
        .filter(|secret| !request.env.contains_key(&secret.key_name))
        .map(|secret| (secret.key_name.as_str(), secret.name.as_str()))
        .collect();
    by_variable
        .into_iter()
        .map(|(key_name, secret)| SecretVariable { key_name: key_name.to_owned(), secret: secret.to_owned() })
        .collect()
}

/// The task definition for an image and a set of secrets.
fn family_with(image: &Image, variables: &[SecretVariable]) -> String {
    if variables.is_empty() {
        return image.task_definition_name.clone();
    }
    // So that another version does not run this one's.
    let mut parts = task_definition::VERSION.to_vec();
    parts.extend(variables.iter().flat_map(|v| [v.key_name.as_str(), v.secret.as_str()]));
    format!("{}{}{}", image.task_definition_name, task_definition::SECRETS_INFIX, &digest(&parts)[..16])
}

fn is_missing_task_definition(error: &SdkError<RunTaskError>) -> bool {
    use aws_smithy_types::error::metadata::ProvideErrorMetadata;
    error.as_service_error().is_some_and(|error| {
        error.code() == Some("ClientException")
            && error.message().is_some_and(|message| {
                // Its wording is not promised anywhere: "TaskDefinition not found.", or in other words.
                message.to_ascii_lowercase().replace(' ', "").contains("taskdefinition")
            })
    })
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
            RunRequest {
                git_repo: Some(repo.to_owned()),
                git_ref: git_ref.map(str::to_owned),
                git_path: path.map(str::to_owned),
                ..request("true")
            }
            .check()
        };
        for good in
            ["https://example.com/a.git", "https://token@example.com/a", "git@example.com:a/b.git", "file:///tmp/a"]
        {
            assert!(with(good, Some("v1.0/x"), Some("a/b")).is_ok(), "{good}");
        }
        for bad in [
            "",
            "--upload-pack=x",
            "ext::sh -c id",
            "ext::sh",
            "/tmp/a",
            "ftp://x/y",
            "https://",
            "https://x/y z",
            "-x:y",
        ] {
            assert!(with(bad, None, None).is_err(), "{bad}");
        }
        for bad in ["", "-x", "a b", "a..b", "a:b", "a\n"] {
            assert!(with("https://x/y", Some(bad), None).is_err(), "{bad}");
        }
        for bad in ["", "/etc", "..", "a/../../b", "a\0"] {
            assert!(with("https://x/y", None, Some(bad)).is_err(), "{bad}");
        }
        assert!(RunRequest { git_ref: Some("main".into()), ..request("true") }.check().is_err());
    }

    #[test]
    fn env_wins_over_a_secret_of_the_same_name() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let by = crate::email::Email::parse("a@example.com").unwrap();
        let secret = |name: &str, key_name: &str| Secret {
            name: name.into(),
            key_name: key_name.into(),
            description: None,
            value: None,
            created_by: by.clone(),
            owned_by: vec![by.clone()],
            created_at: now,
            updated_at: now,
            updated_by: by.clone(),
            created_by_request_id: String::new(),
            modified_by_request_id: String::new(),
        };
        let request = RunRequest { env: [("A".to_owned(), "1".to_owned())].into(), ..request("true") };
        let variables = secret_variables(&request, &[secret("one", "A"), secret("two", "B")]);
        assert_eq!(variables, [SecretVariable { key_name: "B".into(), secret: "two".into() }]);
    }
}
