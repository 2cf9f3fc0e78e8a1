//! Calls RunTask for an execution, and tells its refusals apart.

use std::collections::BTreeMap;

use aws_sdk_ecs::{
    error::SdkError,
    operation::run_task::{RunTaskError, RunTaskOutput, builders::RunTaskFluentBuilder},
    types::{
        AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, LaunchType, NetworkConfiguration, Tag,
        TaskOverride,
    },
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::{
    Attempt, RunContext, RunRequest, TaskId, overrides, run_task_tries::Tries, start_lease::StartLease, tags,
    task_report::FARGATE_SPOT,
};
use crate::{
    App, Error, Result,
    aws::is_throttling,
    boxed,
    config::Config,
    error::Service,
    image::{
        Image,
        task_definition::{self, Needs, SecretVariable},
    },
    secret::Secret,
};

/// A part of what ECS says when the account's quota of vCPUs is used up, or that of tasks, as it was before.
const BEYOND_QUOTA: &str = "you can run concurrently";

/// All that a task is started with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch<'a> {
    pub(super) request: &'a RunRequest,
    pub(super) image: &'a Image,
    pub(super) secrets: &'a [Secret],
    pub(super) context: RunContext<'a>,
    /// The text that proves the runner's last line.
    pub(super) nonce: &'a str,
    pub(super) client_token: &'a str,
    /// The start lease of the attempt. `None` for an execution that has its record after its task.
    pub(super) lease: Option<&'a StartLease<'a>>,
}

/// The result of RunTask.
pub(super) enum Launched {
    Task(TaskId),
    /// Fargate has no room at this moment, or the account's quota of vCPUs is used up. The error says so to a caller who does not wait.
    NoCapacity(Error),
    /// ECS refuses the call, as it will again until somebody changes the stack or the account, or until what has just been made is known.
    Refused(Refusal),
    /// A try of the call has failed in a way in which ECS may have started the task all the same, or may start it yet.
    Unknown(Error),
    /// The client token was used for another request.
    TokenUsed(Box<SdkError<RunTaskError>>),
}

/// A refusal that a repetition does not mend.
pub(super) struct Refusal {
    pub(super) error: Error,
    /// The message of ECS.
    pub(super) message: String,
}

impl<'a> Launch<'a> {
    /// Starts the task. Registers the task definition first if ECS does not know it, as for the first run with a set of secrets.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the run needs more overrides than ECS carries, [`Error::Conflict`] when the account does not allow the
    /// task, [`Error::Aws`] when ECS refuses the call for another reason or too little of the lease is left. There is no task in these cases.
    #[boxed]
    pub(super) async fn run(self, app: &'a App) -> Result<Launched> {
        let variables = secret_variables(self.request, self.secrets)?;
        let overrides = overrides::overrides(self.request, self.image, self.context, self.nonce, app.now())?;
        let tags = tags::of_task(self.request, self.image, self.context, self.attempt());
        let tries = Tries::default();
        let launched = match self.call(app, &variables, overrides, tags, &tries).await {
            Ok(Ok(answer)) => started(&answer),
            Ok(Err(error)) => refused(error, self.image),
            Err(error) => Err(error),
        };
        match launched {
            Ok(Launched::NoCapacity(error) | Launched::Refused(Refusal { error, .. })) | Err(error)
                if tries.are_uncertain() =>
            {
                Ok(Launched::Unknown(Error::unavailable(Service::Ecs, error)))
            }
            launched => launched,
        }
    }

    fn attempt(&self) -> Option<&Attempt> {
        self.lease.map(|lease| lease.attempt)
    }

    fn check_lease(&self, app: &App) -> Result<()> {
        self.lease.map_or(Ok(()), |lease| lease.check(app))
    }

    /// Calls RunTask. The inner result is RunTask's own.
    async fn call(
        &self,
        app: &App,
        variables: &[SecretVariable],
        overrides: TaskOverride,
        tags: Vec<Tag>,
        tries: &Tries,
    ) -> Result<Result<RunTaskOutput, SdkError<RunTaskError>>> {
        let needs = Needs { git: self.request.git_repo.is_some(), variables };
        let family = task_definition::family_for(&app.config, self.image, needs);
        let call = app
            .aws
            .ecs
            .run_task()
            .cluster(&app.config.ecs_cluster)
            .task_definition(&family)
            .count(1)
            .client_token(self.client_token)
            .set_started_by(self.attempt().map(Attempt::started_by))
            .network_configuration(network(&app.config, self.image)?)
            .overrides(overrides)
            .set_tags(Some(tags));
        let call = if self.request.spot {
            let spot = CapacityProviderStrategyItem::builder().capacity_provider(FARGATE_SPOT).weight(1).build()?;
            call.capacity_provider_strategy(spot)
        } else {
            call.launch_type(LaunchType::Fargate)
        };
        let send = |call: RunTaskFluentBuilder| call.customize().config_override(tries.noted()).send();
        self.check_lease(app)?;
        match send(call.clone()).await {
            Err(error) if is_missing_task_definition(&error) => {
                task_definition::register(app, self.image, needs).await?;
                self.check_lease(app)?;
                Ok(send(call).await)
            }
            answer => Ok(answer),
        }
    }
}

/// The task of an answer of RunTask, or the lack of room for it.
fn started(answer: &RunTaskOutput) -> Result<Launched> {
    let Some(task_arn) = answer.tasks().first().and_then(|task| task.task_arn()) else {
        let reasons: Vec<&str> = answer.failures().iter().filter_map(|failure| failure.reason()).collect();
        tracing::warn!(reasons = reasons.join(", "), "no task was started");
        let error = Error::no_capacity("AWS Fargate has no capacity for the task at this time")
            .with_hint("try again in a few minutes, or let the run wait with \"on_conflict\": \"queue\"");
        return Ok(Launched::NoCapacity(error));
    };
    let task = TaskId::from_arn(task_arn)
        .map_err(|error| Error::internal_with("ECS named a task in an unknown way", error.to_string()))?;
    Ok(Launched::Task(task))
}

/// A refusal of RunTask, with what a caller or an admin can do about those that a repetition does not mend.
fn refused(error: SdkError<RunTaskError>, image: &Image) -> Result<Launched> {
    let Some(service) = error.as_service_error() else { return Ok(Launched::Unknown(Error::aws(Service::Ecs)(error))) };
    if matches!(service, RunTaskError::ConflictException(_)) {
        return Ok(Launched::TokenUsed(Box::new(error)));
    }
    let message = service.message().unwrap_or_default();
    if service.code() == Some("AccessDeniedException") && message.contains("iam:PassRole") {
        return Err(Error::conflict(format!("runvoy may not give tasks the roles of image {}", image.image_id))
            .with_hint("register the image with roles whose names fit the stack's parameter CustomTaskRoles"));
    }
    if message.contains(BEYOND_QUOTA) {
        let full = Error::no_capacity("the account's limit of vCPUs on Fargate is reached").with_hint(
            "wait for other executions to end, or have the quota \"Fargate On-Demand vCPU resource count\" raised",
        );
        return Ok(Launched::NoCapacity(full));
    }
    if is_lasting(service) {
        let message = message.to_owned();
        return Ok(Launched::Refused(Refusal { error: Error::aws(Service::Ecs)(error), message }));
    }
    Err(Error::aws(Service::Ecs)(error))
}

/// Tells whether ECS refuses what the call asks for, such as a security group that is gone. Throttling has the same code in part.
fn is_lasting(error: &RunTaskError) -> bool {
    let is_refusal = matches!(
        error,
        RunTaskError::AccessDeniedException(_)
            | RunTaskError::BlockedException(_)
            | RunTaskError::ClientException(_)
            | RunTaskError::ClusterNotFoundException(_)
            | RunTaskError::InvalidParameterException(_)
            | RunTaskError::PlatformTaskDefinitionIncompatibilityException(_)
            | RunTaskError::PlatformUnknownException(_)
            | RunTaskError::UnsupportedFeatureException(_)
    );
    is_refusal && !error.message().is_some_and(is_throttling)
}

/// The network of a task, with the security groups of its image if that has some. A public address is for public subnets: Fargate refuses to start a task that asks for one elsewhere.
fn network(config: &Config, image: &Image) -> Result<NetworkConfiguration> {
    let groups = if image.security_groups.is_empty() { &config.security_groups } else { &image.security_groups };
    let assign_public_ip = if config.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(config.subnets.clone()))
        .set_security_groups(Some(groups.clone()))
        .assign_public_ip(assign_public_ip)
        .build()?;
    Ok(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
}

/// The variables that ECS fills from secrets. A variable in `env` wins over a secret of the same name.
///
/// # Errors
/// [`Error::Invalid`] when two secrets have the same variable, because one value would be lost.
fn secret_variables(request: &RunRequest, secrets: &[Secret]) -> Result<Vec<SecretVariable>> {
    let mut by_variable: BTreeMap<&str, &Secret> = BTreeMap::new();
    for secret in secrets.iter().filter(|secret| !request.env.contains_key(&secret.key_name)) {
        if let Some(other) = by_variable.insert(&secret.key_name, secret)
            && other.name != secret.name
        {
            let problem =
                format!("the secrets {} and {} have the same variable, {}", other.name, secret.name, secret.key_name);
            return Err(Error::invalid(problem)
                .with_hint("name one of them, or give one another key_name")
                .at_field("secrets"));
        }
    }
    let variable = |(key_name, secret): (&str, &Secret)| SecretVariable {
        key_name: key_name.to_owned(),
        secret: secret.name.clone(),
    };
    Ok(by_variable.into_iter().map(variable).collect())
}

fn is_missing_task_definition(error: &SdkError<RunTaskError>) -> bool {
    error.as_service_error().is_some_and(|error| {
        error.code() == Some("ClientException")
            && error.message().is_some_and(|message| {
                // AWS documents the code only. The message has been "TaskDefinition not found." and "Unable to find task
                // definition".
                message.to_ascii_lowercase().replace(' ', "").contains("taskdefinition")
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestId;

    fn image(security_groups: &[&str]) -> Image {
        serde_json::from_value(serde_json::json!({
            "image_id": "a:1-00000000", "image": "a:1", "task_definition_name": "a", "security_groups": security_groups,
            "cpu": 256, "memory": 512, "runtime_platform": "Linux/ARM64",
            "image_registry": "", "image_name": "a", "image_tag": "1", "created_by": "a@example.com", "owned_by": [],
            "created_at": "2026-01-01T00:00:00Z", "created_by_request_id": "", "modified_by_request_id": "",
        }))
        .unwrap()
    }

    #[test]
    fn tasks_get_the_network_of_the_stack_and_the_security_groups_of_their_image() {
        for (setting, expected) in [
            ("", AssignPublicIp::Enabled),
            ("ENABLED", AssignPublicIp::Enabled),
            ("DISABLED", AssignPublicIp::Disabled),
        ] {
            let config = Config::from_lookup(|name| match name {
                "RUNVOY_ASSIGN_PUBLIC_IP" => Some(setting.to_owned()),
                "RUNVOY_SUBNETS" => Some("subnet-1,subnet-2".to_owned()),
                "RUNVOY_WEBSOCKET_API_ENDPOINT" | "RUNVOY_NOTIFICATIONS_QUEUE" => {
                    Some("https://example.com/live".to_owned())
                }
                name if name.ends_with("_TABLE") => Some(name.to_owned()),
                name if name.starts_with("RUNVOY_SCHEDULE_") || name.starts_with("RUNVOY_NOTIFICATION_") => {
                    Some(name.to_owned())
                }
                "RUNVOY_SIDECAR_IMAGE"
                | "RUNVOY_ECS_CLUSTER"
                | "RUNVOY_LOG_GROUP"
                | "RUNVOY_SECURITY_GROUPS"
                | "RUNVOY_TASK_ROLE_ARN"
                | "RUNVOY_TASK_EXECUTION_ROLE_ARN" => Some("x".to_owned()),
                _ => None,
            });
            let config = config.unwrap();
            let network = |groups: &[&str]| network(&config, &image(groups)).unwrap().awsvpc_configuration.unwrap();
            assert_eq!(network(&["sg-2", "sg-3"]).security_groups.unwrap(), ["sg-2", "sg-3"]);
            let network = network(&[]);
            assert_eq!(network.security_groups.unwrap(), ["x"]);
            assert_eq!(network.assign_public_ip, Some(expected), "{setting}");
            assert_eq!(network.subnets, ["subnet-1", "subnet-2"]);
        }
    }

    #[test]
    fn env_wins_over_a_secret_of_the_same_name() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let by = crate::Email::parse("a@example.com").unwrap();
        let secret = |name: &str, key_name: &str| Secret {
            name: name.parse().unwrap(),
            key_name: key_name.into(),
            description: None,
            value: None,
            created_by: by.clone(),
            owned_by: vec![by.clone()],
            shared_with: None,
            created_at: now,
            updated_at: now,
            updated_by: by.clone(),
            created_by_request_id: RequestId::default(),
            modified_by_request_id: RequestId::default(),
        };
        let request = RunRequest { env: [("A".to_owned(), "1".to_owned())].into(), ..RunRequest::default() };
        let variables = secret_variables(&request, &[secret("one", "A"), secret("two", "B")]).unwrap();
        assert_eq!(variables, [SecretVariable { key_name: "B".into(), secret: "two".parse().unwrap() }]);
    }
}
