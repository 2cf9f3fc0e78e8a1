//! Makes the ECS task definitions of an image: the runner alone, and for runs with a repository a sidecar that clones it into a volume
//! that both share. Both scripts are fixed text. A run overrides environment variables and sizes, and nothing else.

use std::time::Duration;

use aws_sdk_ecs::{
    error::ProvideErrorMetadata as _,
    operation::{
        describe_task_definition::DescribeTaskDefinitionError, register_task_definition::RegisterTaskDefinitionError,
    },
    types::{
        Compatibility, ContainerCondition, ContainerDefinition, ContainerDependency, CpuArchitecture, LogConfiguration,
        LogDriver, MountPoint, NetworkMode, OsFamily, RuntimePlatform, Secret, Tag, TaskDefinition,
        TaskDefinitionFamilyStatus, TaskDefinitionField, Volume,
    },
};

use super::{Image, ImageId};
use crate::{
    App, Error, Result, backoff::Backoff, boxed, config::Config, digest::digest, environment::GIT_TOKENS,
    error::Service, secret::SecretName,
};

/// Names of the containers of a task, which are in the names of its log streams too.
pub const RUNNER: &str = "runner";
pub const SIDECAR: &str = "sidecar";

/// The volume that both containers share, for runs with a repository. Fargate's are root's, so the sidecar lets all users write to it.
const VOLUME: &str = "workspace";
/// The path of the workspace in both containers. `runner.sh` knows the same, and makes a folder where there is no volume.
const WORKSPACE: &str = "/workspace";
/// The scripts of the containers.
const RUNNER_SCRIPT: &str = include_str!("runner.sh");
const SIDECAR_SCRIPT: &str = include_str!("sidecar.sh");

/// In this mode of the log driver, a command waits while its lines cannot be sent. In the default mode, lines are dropped then
/// ("LogConfiguration", Amazon ECS API Reference, option `mode`).
const LOG_MODE: &str = "blocking";

/// A variable that ECS sets in a container to the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SecretVariable {
    /// The environment variable.
    pub(crate) key_name: String,
    pub(crate) secret: SecretName,
}

/// The end of the family of an image's task definition for runs with a repository and without secrets.
const GIT_SUFFIX: &str = "-git";

/// The part of a run that decides which task definition it needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs<'a> {
    /// The run has a repository.
    pub(crate) git: bool,
    pub(crate) variables: &'a [SecretVariable],
}

impl Needs<'_> {
    pub(crate) const NOTHING: Self = Self { git: false, variables: &[] };
    pub(crate) const GIT: Self = Self { git: true, variables: &[] };
}

/// The family of the task definition for an image and what a run needs besides.
pub(crate) fn family_for(config: &Config, image: &Image, needs: Needs<'_>) -> String {
    let family = &image.task_definition_name;
    match needs {
        Needs { git: false, variables: [] } => family.clone(),
        Needs { git: true, variables: [] } => format!("{family}{GIT_SUFFIX}"),
        Needs { git, variables } => {
            // With the version in the hash, no run uses a task definition that an earlier version of the program, or a stack that is
            // gone, has left behind.
            let mut parts = version(config).to_vec();
            parts.push(if git { "git" } else { "" });
            parts.extend(variables.iter().flat_map(|v| [v.key_name.as_str(), v.secret.as_str()]));
            format!("{family}{SECRETS_INFIX}{}", &digest(&parts)[..SECRETS_DIGITS])
        }
    }
}

/// The first and the longest pause while another registration of the same family goes on.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1600));
/// The number of these pauses, which are 2 to 5 seconds in all.
const MAX_PAUSES: u32 = 6;
/// Characters that a family may have ("RegisterTaskDefinition", Amazon ECS API Reference).
const MAX_FAMILY: usize = 255;
/// Hexadecimal digits of the hash of a set of secrets.
const SECRETS_DIGITS: usize = 16;

/// The beginning of the family of every task definition of this stack. A stack's name has no underscore, so that no prefix is the
/// beginning of another.
pub(crate) fn family_prefix(stack: &str) -> String {
    format!("runvoy-image-{stack}_")
}

/// The family of an image's task definition. A family has letters, digits, hyphens and underscores. The hash at the end of the
/// image's id keeps shortened names apart.
pub(super) fn family(stack: &str, image_id: &ImageId) -> String {
    let prefix = family_prefix(stack);
    let safe: String =
        image_id.as_str().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let room = MAX_FAMILY - SECRETS_INFIX.len() - SECRETS_DIGITS - prefix.len();
    let keep = safe.len().saturating_sub(room);
    format!("{prefix}{}", safe[keep..].trim_start_matches('-'))
}

/// The texts that differ between task definitions of different versions of the program, and of different stacks.
fn version(config: &Config) -> [&str; 9] {
    [
        &config.sidecar_image,
        SIDECAR_SCRIPT,
        RUNNER_SCRIPT,
        LOG_MODE,
        &config.task_role_arn,
        &config.task_execution_role_arn,
        &config.log_group,
        &config.region,
        &config.secrets_prefix,
    ]
}

/// Registers a revision of the task definition for an image and what a run needs besides.
///
/// # Errors
/// [`Error::Invalid`] when ECS does not take the settings of the image or the secrets, as for secrets whose names take more than the 64
/// KiB of a task definition. [`Error::Aws`] when ECS fails, or other registrations of the family go on for seconds.
#[boxed]
pub(crate) async fn register<'a>(app: &App, image: &'a Image, needs: Needs<'a>) -> Result<()> {
    let config = &app.config;
    let variables = needs.variables;
    let (task_role, execution_role) = roles(config, image);
    let secret = |variable: &SecretVariable| {
        Secret::builder().name(&variable.key_name).value_from(parameter_arn(config, &variable.secret)).build()
    };
    let secrets = variables.iter().map(secret).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut runner = container(config, RUNNER, &image.image, RUNNER_SCRIPT).essential(true).set_secrets(Some(secrets));
    let mut call = app.aws.ecs.register_task_definition();
    if needs.git {
        // The sidecar clones a private repository with a token from a secret, and gets no other.
        let tokens = variables.iter().filter(|variable| GIT_TOKENS.contains(&variable.key_name.as_str())).map(secret);
        let sidecar = container(config, SIDECAR, &config.sidecar_image, SIDECAR_SCRIPT)
            .essential(false)
            .set_secrets(Some(tokens.collect::<std::result::Result<_, _>>()?))
            .mount_points(workspace())
            .build();
        runner = runner.mount_points(workspace()).depends_on(
            ContainerDependency::builder().container_name(SIDECAR).condition(ContainerCondition::Success).build()?,
        );
        call = call.volumes(Volume::builder().name(VOLUME).build()).container_definitions(sidecar);
    }
    let call = call
        .family(family_for(config, image, needs))
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu(image.cpu.to_string())
        .memory(image.memory.to_string())
        .runtime_platform(
            RuntimePlatform::builder()
                .cpu_architecture(cpu_architecture(image.runtime_platform))
                .operating_system_family(OsFamily::Linux)
                .build(),
        )
        .task_role_arn(task_role)
        .execution_role_arn(execution_role)
        .container_definitions(runner.build())
        .set_tags(Some(tags(image)));
    let (mut pauses, mut paused) = (Backoff::new(PAUSES), 0);
    loop {
        let Err(error) = call.clone().send().await else { return Ok(()) };
        let message = error.message().unwrap_or_default();
        // AWS does not document this error, which ends by itself.
        let is_conflict = message.contains("concurrent attempts");
        let is_refusal = matches!(
            error.as_service_error(),
            Some(
                RegisterTaskDefinitionError::ClientException(_)
                    | RegisterTaskDefinitionError::InvalidParameterException(_)
            )
        );
        if is_conflict && paused < MAX_PAUSES {
            pauses.wait(app).await;
            paused += 1;
        } else if is_refusal && !is_conflict {
            let (image_id, secrets) = (&image.image_id, variables.len());
            tracing::warn!(%image_id, secrets, message, "ECS does not take a task definition");
            return Err(refusal(image, secrets));
        } else {
            return Err(Error::aws(Service::Ecs)(error));
        }
    }
}

/// The mount of the volume that both containers share.
fn workspace() -> MountPoint {
    MountPoint::builder().source_volume(VOLUME).container_path(WORKSPACE).build()
}

fn refusal(image: &Image, secrets: usize) -> Error {
    if secrets == 0 {
        let problem = format!("ECS does not take image {:?} with these settings", image.image);
        return Error::invalid(problem)
            .with_hint("check its name, roles and size; the log of the function has ECS's reason");
    }
    Error::invalid(format!("ECS does not take {secrets} secrets with names of this length to one task"))
        .with_hint("name fewer secrets; their names and key_names together may have about 15,000 characters")
}

fn container(
    config: &Config,
    name: &str,
    image: &str,
    script: &str,
) -> aws_sdk_ecs::types::builders::ContainerDefinitionBuilder {
    #[expect(clippy::expect_used, reason = "the driver is set, which is the only required field")]
    let logs = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", &config.log_group)
        .options("awslogs-region", &config.region)
        .options("awslogs-stream-prefix", "task")
        .options("mode", LOG_MODE)
        .build()
        .expect("a log configuration with a driver is complete");
    ContainerDefinition::builder()
        .name(name)
        .image(image)
        .entry_point("/bin/sh")
        .entry_point("-c")
        .command(script)
        .log_configuration(logs)
}

/// The tags of an image's task definition.
pub(crate) fn tags(image: &Image) -> Vec<Tag> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    vec![
        tag("Application", "runvoy"),
        tag("ManagedBy", "runvoy"),
        tag("DockerImage", &image.image),
        tag("IsDefault", if image.is_default { "true" } else { "false" }),
    ]
}

/// The latest active revision of a family, and its tags. `None` when there is none.
pub(crate) async fn describe(app: &App, family: &str) -> Result<Option<(TaskDefinition, Vec<Tag>)>> {
    let described =
        app.aws.ecs.describe_task_definition().task_definition(family).include(TaskDefinitionField::Tags).send().await;
    match described {
        Ok(answer) => {
            let tags = answer.tags.unwrap_or_default();
            Ok(answer.task_definition.filter(|found| found.family() == Some(family)).map(|found| (found, tags)))
        }
        // ECS answers so for a family that has no active revision.
        Err(error) if matches!(error.as_service_error(), Some(DescribeTaskDefinitionError::ClientException(_))) => {
            Ok(None)
        }
        Err(error) => Err(Error::aws(Service::Ecs)(error)),
    }
}

/// The roles of an image's tasks: that of the command, and that by which ECS starts them.
fn roles(config: &Config, image: &Image) -> (String, String) {
    let role = |name: &Option<String>, default: &str| match name {
        Some(name) => role_arn(config, name),
        None => default.to_owned(),
    };
    (
        role(&image.task_role_name, &config.task_role_arn),
        role(&image.task_execution_role_name, &config.task_execution_role_arn),
    )
}

/// Tells whether a task definition is what this version of the program registers for an image, in this stack, for runs without secrets.
pub(crate) fn is_current(config: &Config, image: &Image, needs: Needs<'_>, definition: &TaskDefinition) -> bool {
    let (task_role, execution_role) = roles(config, image);
    if definition.task_role_arn() != Some(&task_role) || definition.execution_role_arn() != Some(&execution_role) {
        return false;
    }
    let is_current = |container: &ContainerDefinition, script: &str| {
        let option = |name: &str| container.log_configuration().and_then(|logs| logs.options()?.get(name));
        let options = [("mode", LOG_MODE), ("awslogs-group", &config.log_group), ("awslogs-region", &config.region)];
        container.command() == [script]
            && options.iter().all(|(name, value)| option(name).is_some_and(|found| found == value))
    };
    let runner = (RUNNER, RUNNER_SCRIPT, image.image.as_str());
    let sidecar = (SIDECAR, SIDECAR_SCRIPT, config.sidecar_image.as_str());
    let expected = if needs.git { vec![sidecar, runner] } else { vec![runner] };
    let containers = definition.container_definitions();
    containers.len() == expected.len()
        && expected.into_iter().all(|(name, script, image)| {
            let container = containers.iter().find(|container| container.name() == Some(name));
            container.is_some_and(|container| container.image() == Some(image) && is_current(container, script))
        })
}

/// Gives a task definition the tags of its image.
pub(crate) async fn retag(app: &App, image: &Image, arn: &str) -> Result<()> {
    let tagged = app.aws.ecs.tag_resource().resource_arn(arn).set_tags(Some(tags(image))).send().await;
    tagged.map(drop).map_err(Error::aws(Service::Ecs))
}

/// Tells whether a family belongs to an image: its own, that for runs with a repository, or one of those with secrets.
pub(crate) fn belongs_to(family: &str, image: &Image) -> bool {
    family
        .strip_prefix(&image.task_definition_name)
        .is_some_and(|rest| rest.is_empty() || rest == GIT_SUFFIX || rest.starts_with(SECRETS_INFIX))
}

/// Separates an image's family from the hash of a set of secrets.
const SECRETS_INFIX: &str = "-secrets-";

/// Tells whether a task definition, by its ARN, hands secrets to its tasks.
pub(crate) fn has_secrets(arn: &str) -> bool {
    arn.contains(SECRETS_INFIX)
}

/// The families that begin with `prefix` and have an active revision.
pub(crate) async fn families(app: &App, prefix: &str) -> Result<Vec<String>> {
    let listed = app
        .aws
        .ecs
        .list_task_definition_families()
        .family_prefix(prefix)
        .status(TaskDefinitionFamilyStatus::Active)
        .into_paginator()
        .items()
        .send();
    listed.collect::<std::result::Result<_, _>>().await.map_err(Error::aws(Service::Ecs))
}

/// Deregisters every active revision of a family.
pub(crate) async fn deregister(app: &App, family: &str) -> Result<()> {
    let ecs = &app.aws.ecs;
    let mut revisions = ecs.list_task_definitions().family_prefix(family).into_paginator().items().send();
    while let Some(arn) = revisions.next().await {
        let arn = arn.map_err(Error::aws(Service::Ecs))?;
        ecs.deregister_task_definition().task_definition(arn).send().await.map_err(Error::aws(Service::Ecs))?;
    }
    Ok(())
}

/// The ARN of a role in the account of the stack's own task role.
fn role_arn(config: &Config, name: &str) -> String {
    match config.task_role_arn.split_once(":role/") {
        Some((account, _)) => format!("{account}:role/{name}"),
        None => name.to_owned(),
    }
}

/// The ARN of the parameter that holds a secret's value.
fn parameter_arn(config: &Config, secret: &SecretName) -> String {
    let mut parts = config.task_role_arn.split(':');
    let partition = parts.nth(1).unwrap_or("aws");
    let account = parts.nth(2).unwrap_or_default();
    format!("arn:{partition}:ssm:{}:{account}:parameter{}/{secret}", config.region, config.secrets_prefix)
}

fn cpu_architecture(platform: super::RuntimePlatform) -> CpuArchitecture {
    match platform {
        super::RuntimePlatform::LinuxArm64 => CpuArchitecture::Arm64,
        super::RuntimePlatform::LinuxX8664 => CpuArchitecture::X8664,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_a_name_that_ecs_takes_and_belongs_to_one_stack() {
        let image = ImageId::new("docker/library/ubuntu:22.04-0a1b2c3d");
        assert_eq!(family("ops", &image), "runvoy-image-ops_docker-library-ubuntu-22-04-0a1b2c3d");
        assert!(!family("ops-2", &image).starts_with(&family_prefix("ops")));
        let longest = family(&"s".repeat(128), &ImageId::new(format!("{}-0a1b2c3d", "x".repeat(300))));
        assert!(longest.len() + SECRETS_INFIX.len() + SECRETS_DIGITS <= MAX_FAMILY && longest.ends_with("-0a1b2c3d"));
    }
}
