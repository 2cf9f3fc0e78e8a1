//! Makes the emulated AWS of one running system from the template's stack.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aws_smithy_async::time::SharedTimeSource;
use runvoy_core::config::Config;
use serde_json::Value;

use crate::{
    RunnerChoice,
    aws::{
        Aws, CallLog,
        api_gateway::ApiGateway,
        dynamodb::DynamoDb,
        ecs::{
            self, Ecs,
            runner::{Kind, Runner, docker::DockerRunner, process, process::ProcessRunner},
        },
        events::EventPublisher,
        faults::Faults,
        iam::Iam,
        logs::CloudWatchLogs,
        outbox::Outbox,
        permissions::{Needed, Statement},
        quotas::{self, Quotas},
        scheduler::Scheduler,
        sns::Sns,
        sqs::{Queue, Sqs},
        ssm::Ssm,
        state_file::StateFile,
    },
    data_dir::DataDir,
    functions::{EVENT_PROCESSOR, ORCHESTRATOR},
    stack::{Stack, name_of},
};

/// Builds the emulated services. Their events go to `events`. In a busy AWS, calls have quotas, what was written
/// shows late, and writes conflict.
pub(crate) fn build(
    stack: &Stack,
    config: &Config,
    data: &DataDir,
    runner: Kind,
    events: EventPublisher,
    clock: Option<SharedTimeSource>,
    is_busy: bool,
) -> Result<Aws> {
    let directory = data.persistent();
    let groups = config.function_log_groups.iter().chain([&config.log_group]).map(String::as_str);
    let logs = CloudWatchLogs::open(directory.map(|directory| directory.join("logs")), groups)?;
    let task_logs = logs.group(&config.log_group).context("the log group of the tasks was just created")?.clone();
    let ssm = Ssm::open(StateFile::new(directory, "parameters.json"), clock.clone().unwrap_or_default())?;
    let outbox = Outbox::open(StateFile::new(directory, "outbox.json"))?;
    let runner = Runner { kind: runner, logs: task_logs };
    let cluster = ecs::Settings {
        name: name_of(&config.ecs_cluster).to_owned(),
        has_spot: config.has_spot,
        is_slow: is_busy,
        new_id: Box::new(|| uuid::Uuid::new_v4().simple().to_string()),
    };
    let ecs = Ecs::open(cluster, ecs::Store::open(directory)?, runner, ssm.clone(), events);
    // Roles that overrides name exist as well as those of the template.
    let configured = [&config.task_role_arn, &config.task_execution_role_arn];
    let configured = configured.into_iter().filter_map(|arn| Some(arn.rsplit_once('/')?.1.to_owned()));
    Ok(Aws {
        dynamodb: DynamoDb::open(directory, stack, is_busy)?,
        ecs,
        logs,
        ssm,
        sqs: Sqs::open(
            directory,
            stack.queues().map(|(name, properties)| Queue::from_template(&name, properties)).collect(),
            clock.clone().unwrap_or_default(),
        )?,
        sns: Sns::open(StateFile::new(directory, "topics.json"), outbox.clone())?,
        outbox,
        iam: Iam::new(stack.roles().into_iter().chain(configured).collect(), policies(stack)?),
        scheduler: Scheduler::open(directory, config.scheduler.clone(), clock)?,
        api_gateway: ApiGateway::default(),
        calls: CallLog::default(),
        permissions: Needed::default(),
        faults: Faults::default(),
        quotas: if is_busy { Quotas::of_new_account(quotas::STRICTEST_REGION) } else { Quotas::default() },
        is_busy,
        task_starts: std::sync::Arc::default(),
        store_calls: std::sync::Arc::default(),
    })
}

/// The permissions that the template gives each function.
fn policies(stack: &Stack) -> Result<BTreeMap<&'static str, Vec<Statement>>> {
    let functions = [ORCHESTRATOR, EVENT_PROCESSOR].into_iter();
    functions.map(|name| Ok((name, Statement::all(&stack.function(name)?.policies)))).collect()
}

/// The patterns of the template's EventBridge rules.
pub(crate) fn rules(stack: &Stack) -> Result<Vec<Value>> {
    let events = stack.function(EVENT_PROCESSOR)?.events.into_iter();
    let rules = events.filter(|(kind, _)| kind == "EventBridgeRule");
    Ok(rules.map(|(_, properties)| properties["Pattern"].clone()).collect())
}

/// Chooses how commands run. Ends commands that an earlier run of the program has left running.
///
/// # Errors
/// Docker was asked for, by the flag or by `DOCKER_HOST`, and does not answer.
pub(crate) async fn choose_runner(choice: RunnerChoice, data: &DataDir) -> Result<Kind> {
    let workspaces = data.workspaces();
    process::kill_leftovers(&workspaces);
    let process = Kind::Process(ProcessRunner { workspaces });
    if choice == RunnerChoice::Process {
        return Ok(process);
    }
    let docker_host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    match (DockerRunner::connect(data.persistent()).await, choice, docker_host) {
        (Ok(docker), ..) => Ok(Kind::Docker(Box::new(docker))),
        (Err(tried), RunnerChoice::Docker, _) => {
            bail!(
                "no Docker or Podman answers ({tried}); start it, name its socket with DOCKER_HOST, or use --runner process"
            )
        }
        // A user who names an engine does not expect commands to run on this machine.
        (Err(tried), _, Some(host)) => {
            bail!("DOCKER_HOST is {host:?} and cannot be used ({tried}); start the engine, or use --runner process")
        }
        (Err(_), _, None) => Ok(process),
    }
}
