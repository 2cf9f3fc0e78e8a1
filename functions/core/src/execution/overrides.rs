//! Makes what a run adds to its image's task definition: variables of the environment, and sizes.

use aws_sdk_ecs::types::{ContainerOverride, EphemeralStorage, KeyValuePair, TaskOverride};

use jiff::Timestamp;
use runvoy_api_types::limits::MAX_OVERRIDES_CHARACTERS as MAX_OVERRIDES;

use super::{RunContext, RunRequest, nonce::new_nonce, timeout};
use crate::{
    Error, RequestId, Result,
    auth::Principal,
    image::{
        Image,
        task_definition::{RUNNER, SIDECAR},
    },
};

/// The source of a run that someone asked for by `POST /run`.
pub const API: &str = "api";

/// The variables of the scripts that an execution's record can be made from.
pub(super) const COMMAND: &str = "RUNVOY_COMMAND";
pub(super) const NONCE: &str = "RUNVOY_NONCE";
pub(super) const ENV_NAMES: &str = "RUNVOY_ENV_NAMES";
pub(super) const TIMEOUT: &str = "RUNVOY_TIMEOUT";
const DEADLINE: &str = "RUNVOY_DEADLINE";
pub(super) const GIT_REPO: &str = "RUNVOY_GIT_REPO";
pub(super) const GIT_REF: &str = "RUNVOY_GIT_REF";
pub(super) const GIT_PATH: &str = "RUNVOY_GIT_PATH";

/// # Errors
/// [`Error::Invalid`] when the run needs more characters than ECS allows.
pub(super) fn overrides(
    request: &RunRequest,
    image: &Image,
    context: RunContext<'_>,
    nonce: &str,
    now: Timestamp,
) -> Result<TaskOverride> {
    let names: Vec<&str> = request.env.keys().map(String::as_str).collect();
    let mut runner: Vec<(&str, String)> = vec![
        (COMMAND, request.command.clone()),
        ("RUNVOY_REQUEST_ID", context.request_id.to_string()),
        ("RUNVOY_IMAGE_ID", image.image_id.to_string()),
        (NONCE, nonce.to_owned()),
    ];
    if !names.is_empty() {
        runner.push((ENV_NAMES, names.join(" ")));
    }
    if let Some(seconds) = request.timeout {
        runner.push((TIMEOUT, seconds.to_string()));
    }
    if let Some(deadline) = context.deadline {
        // The runner counts whole seconds. Rounded down, the command would end before its deadline, and nobody would know why.
        runner.push((DEADLINE, (deadline.as_millisecond() + 999).div_euclid(1000).to_string()));
    }
    let mut sidecar: Vec<(&str, String)> = Vec::new();
    if let Some(repo) = &request.git_repo {
        runner.push(("RUNVOY_HAS_GIT_REPO", "true".to_owned()));
        sidecar.push((GIT_REPO, repo.clone()));
        // The runner keeps the deadline. A repository is not cloned for longer than is left when the task is asked for.
        if let Some(seconds) = timeout::of_clone(request.timeout, context.deadline, now) {
            sidecar.push((TIMEOUT, seconds.to_string()));
        }
        if let Some(git_ref) = &request.git_ref {
            sidecar.push((GIT_REF, git_ref.clone()));
        }
        if let Some(path) = &request.git_path {
            runner.push((GIT_PATH, path.clone()));
            // The sidecar sees whether the repository has the folder, and its failure is told as one that the command has no part in.
            sidecar.push((GIT_PATH, path.clone()));
        }
    }
    runner.extend(request.env.iter().map(|(name, value)| (name.as_str(), value.clone())));

    let containers: Vec<(&str, Vec<(&str, String)>)> =
        [(RUNNER, runner), (SIDECAR, sidecar)].into_iter().filter(|(_, variables)| !variables.is_empty()).collect();
    let size = size(&containers) + size_of_sizes(request);
    if size > MAX_OVERRIDES {
        return Err(Error::invalid(format!(
            "command and env need {size} characters of the {MAX_OVERRIDES} that ECS carries to a task"
        ))
        .with_hint("put the script into a git repository and name it with git_repo")
        .at_field("command"));
    }
    let containers = containers.into_iter().map(|(name, variables)| {
        let variables =
            variables.into_iter().map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
        ContainerOverride::builder().name(name).set_environment(Some(variables.collect())).build()
    });
    let disk = request.disk.and_then(|disk| i32::try_from(disk).ok());
    Ok(TaskOverride::builder()
        .set_container_overrides(Some(containers.collect()))
        .set_cpu(request.cpu.map(|units| units.to_string()))
        .set_memory(request.memory.map(|mib| mib.to_string()))
        .set_ephemeral_storage(disk.map(|gib| EphemeralStorage::builder().size_in_gib(gib).build()))
        .build())
}

/// Checks that ECS can carry a run to a task, whenever and for whichever request it starts.
///
/// # Errors
/// As [`overrides`].
pub(crate) fn check(request: &RunRequest, image: &Image, principal: &Principal, now: Timestamp) -> Result<()> {
    // Ids of requests and nonces all have the same length.
    let request_id = RequestId::new("00000000-0000-0000-0000-000000000000");
    let deadline = request.deadline.map(|_| now);
    let context = RunContext {
        principal,
        request_id: &request_id,
        source_address: None,
        source: API,
        idempotency: None,
        deadline,
    };
    overrides(request, image, context, &new_nonce()?, now).map(drop)
}

/// The size of overrides as ECS counts it: the characters of the JSON that carries them.
fn size(containers: &[(&str, Vec<(&str, String)>)]) -> usize {
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

/// Characters of the JSON of a run's own sizes.
fn size_of_sizes(request: &RunRequest) -> usize {
    let mut sizes = serde_json::Map::new();
    let text = |size: u32| serde_json::Value::from(size.to_string());
    sizes.extend(request.cpu.map(|units| ("cpu".to_owned(), text(units))));
    sizes.extend(request.memory.map(|mib| ("memory".to_owned(), text(mib))));
    sizes.extend(request.disk.map(|gib| ("ephemeralStorage".to_owned(), serde_json::json!({"sizeInGiB": gib}))));
    if sizes.is_empty() { 0 } else { serde_json::Value::from(sizes).to_string().len() }
}
