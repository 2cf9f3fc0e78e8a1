//! Starting the ECS task of an execution.

use std::collections::BTreeMap;

use aws_sdk_ecs::{
    error::SdkError,
    operation::run_task::{RunTaskError, RunTaskOutput},
    types::{AssignPublicIp, AwsVpcConfiguration, LaunchType, NetworkConfiguration, Tag, TaskOverride},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::{
    Asked, ExecutionId, ExecutionRecord, Idempotency, NewExecution, RunRequest, ValidRun,
    idempotency::{digest, first_of_conflict},
    overrides,
};
use crate::{
    App, Error, RequestId, Result,
    auth::Principal,
    config::Config,
    error::Service,
    image::{
        Image,
        task_definition::{self, SecretVariable},
    },
    random::random_text,
    secret::Secret,
};

/// The circumstances of a run: the user, the invocation, and the key under which it may be repeated.
#[derive(Clone, Copy, Debug)]
pub struct RunContext<'a> {
    pub principal: &'a Principal,
    pub request_id: &'a RequestId,
    pub idempotency: Option<&'a Idempotency>,
    /// Where the run comes from, such as `api` or `playbook:name@3`.
    pub source: &'a str,
}

/// Random bytes of the text that proves the runner's last line: too many to be guessed.
const NONCE_BYTES: usize = 16;

/// Starts a task and writes the execution's record.
///
/// ECS names the task, so the record is written after RunTask. If the program dies in between, the task's first event makes the
/// record from the task's tags. RunTask carries a client token (the request's id, or the hash of the caller's idempotency key),
/// so that a repeated call starts no second task.
///
/// # Errors
/// [`Error::Invalid`] when the run needs more overrides than ECS carries, [`Error::Conflict`] when the idempotency key was used
/// for another request or the account does not allow the task, [`Error::Aws`] when ECS fails or has no capacity.
pub async fn start(
    app: &App,
    request: &ValidRun,
    image: &Image,
    secrets: &[Secret],
    context: RunContext<'_>,
) -> Result<ExecutionRecord> {
    let variables = secret_variables(request, secrets)?;
    let nonce = random_text::<NONCE_BYTES>()?;
    let overrides = overrides::overrides(request, image, context, &nonce)?;
    let tags = overrides::tags(request, image, context);
    let answer = match run_task(app, image, &variables, overrides, tags, context).await? {
        Ok(answer) => answer,
        Err(error) => match describe_refusal(&error, image) {
            Some(refusal) => return Err(refusal),
            None => return first_of_conflict(app, error, context.idempotency).await,
        },
    };
    let Some(task_arn) = answer.tasks().first().and_then(|task| task.task_arn()) else {
        let reasons: Vec<&str> = answer.failures().iter().filter_map(|failure| failure.reason()).collect();
        return Err(Error::unavailable(Service::Ecs, format!("no task was started: {}", reasons.join(", "))));
    };
    let new = NewExecution {
        execution_id: ExecutionId::from_task_arn(task_arn)
            .map_err(|error| Error::internal_with("ECS named a task in an unknown way", error))?,
        created_by: context.principal.email.clone(),
        command: request.command.clone(),
        image_id: image.image_id.clone(),
        started_at: app.now(),
        request_id: context.request_id.clone(),
        idempotency: context.idempotency.cloned(),
        asked: Asked { source: context.source.to_owned(), ..request.asked() },
        nonce: Some(nonce),
    };
    let (record, ()) = tokio::join!(super::create(app, &new), super::request::keep(app, &new.execution_id, request));
    record
}

/// Calls RunTask. Registers the task definition first if ECS does not know it, as for the first run with a set of secrets. The
/// inner result is RunTask's own.
async fn run_task(
    app: &App,
    image: &Image,
    variables: &[SecretVariable],
    overrides: TaskOverride,
    tags: Vec<Tag>,
    context: RunContext<'_>,
) -> Result<Result<RunTaskOutput, SdkError<RunTaskError>>> {
    let client_token = context.idempotency.map_or(context.request_id.as_str(), |idempotency| &idempotency.key);
    let family = family_with(&app.config, image, variables);
    let call = app
        .aws
        .ecs
        .run_task()
        .cluster(&app.config.ecs_cluster)
        .task_definition(&family)
        .launch_type(LaunchType::Fargate)
        .count(1)
        .client_token(client_token)
        .network_configuration(network(&app.config)?)
        .overrides(overrides)
        .set_tags(Some(tags));
    match call.clone().send().await {
        Err(error) if is_missing_task_definition(&error) => {
            task_definition::register(app, image, &family, variables).await?;
            Ok(call.send().await)
        }
        answer => Ok(answer),
    }
}

/// What a caller or an admin can do about a refusal of RunTask, for those that a repetition does not mend.
fn describe_refusal(error: &SdkError<RunTaskError>, image: &Image) -> Option<Error> {
    let error = error.as_service_error()?;
    let message = error.message().unwrap_or_default();
    if error.code() == Some("AccessDeniedException") && message.contains("iam:PassRole") {
        return Some(
            Error::conflict(format!("runvoy may not give tasks the roles of image {}", image.image_id))
                .with_hint("register the image with roles whose names fit the stack's parameter CustomTaskRoles"),
        );
    }
    if message.contains("limit on the number of vCPUs") {
        return Some(Error::conflict("the account's limit of vCPUs on Fargate is reached").with_hint(
            "wait for other executions to end, or have the quota \"Fargate On-Demand vCPU resource count\" raised",
        ));
    }
    None
}

/// The network of a task. A public address is for public subnets: Fargate refuses to start a task that asks for one elsewhere.
fn network(config: &Config) -> Result<NetworkConfiguration> {
    let assign_public_ip = if config.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(config.subnets.clone()))
        .set_security_groups(Some(config.security_groups.clone()))
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

/// The family of the task definition for an image and a set of secrets.
fn family_with(config: &Config, image: &Image, variables: &[SecretVariable]) -> String {
    if variables.is_empty() {
        return image.task_definition_name.clone();
    }
    // With the version in the hash, no run uses a task definition that an earlier version of the program, or a stack that is gone, has
    // left behind.
    let mut parts = task_definition::version(config).to_vec();
    parts.extend(variables.iter().flat_map(|v| [v.key_name.as_str(), v.secret.as_str()]));
    let digest = &digest(&parts)[..task_definition::SECRETS_DIGITS];
    format!("{}{}{digest}", image.task_definition_name, task_definition::SECRETS_INFIX)
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

    #[test]
    fn tasks_get_a_public_address_unless_the_stack_says_no() {
        for (setting, expected) in [
            ("", AssignPublicIp::Enabled),
            ("ENABLED", AssignPublicIp::Enabled),
            ("DISABLED", AssignPublicIp::Disabled),
        ] {
            let config = Config::from_lookup(|name| match name {
                "RUNVOY_ASSIGN_PUBLIC_IP" => Some(setting.to_owned()),
                "RUNVOY_SUBNETS" => Some("subnet-1,subnet-2".to_owned()),
                "RUNVOY_WEBSOCKET_API_ENDPOINT" => Some("https://example.com/live".to_owned()),
                name if name.ends_with("_TABLE") => Some(name.to_owned()),
                "RUNVOY_SIDECAR_IMAGE"
                | "RUNVOY_ECS_CLUSTER"
                | "RUNVOY_LOG_GROUP"
                | "RUNVOY_SECURITY_GROUPS"
                | "RUNVOY_TASK_ROLE_ARN"
                | "RUNVOY_TASK_EXECUTION_ROLE_ARN" => Some("x".to_owned()),
                _ => None,
            });
            let network = network(&config.unwrap()).unwrap().awsvpc_configuration.unwrap();
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
