//! runvoy on a laptop: AWS around the two Lambda functions, in one process.
//!
//! The functions are the ones that are deployed. Around them stand the front doors ([`front`]), which turn HTTP and WebSockets
//! into Lambda events; what the Lambda service does ([`lambda`]); the emulated AWS ([`aws`]), which answers the SDK in-process;
//! tasks that really run ([`tasks`]); and the local stack, made from `template.yaml` ([`stack`]).

pub mod aws;
mod bootstrap;
mod data_dir;
pub mod front;
pub mod lambda;
pub mod settings;
pub mod stack;
pub mod tasks;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use aws::{Aws, http_client::InProcess, state_file::StateFile};
use aws_config::retry::RetryConfig;
use axum::Router;
use lambda::{Function, FunctionError, Handler, function_log::FunctionLog};
use lambda_runtime::{Diagnostic, LambdaEvent};
use runvoy_core::{App, auth::ApiKey, config::Config};
use serde_json::Value;
use tasks::{docker::DockerRunner, process::ProcessRunner};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

pub use settings::{RunnerChoice, Settings};

/// On its way from HTTP to SQLite a request is written and read many times over: with the system's allocator, up to a third
/// of the work is memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The runtime that the system is made for. With few cores, a thread that unpacks thousands of lines must not be one of all that
/// there are to answer requests.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores.max(4)).enable_all().build()
}

/// The functions' names in the template.
pub const ORCHESTRATOR: &str = "OrchestratorFunction";
pub const EVENT_PROCESSOR: &str = "EventProcessorFunction";
/// How long running requests and commands get when the program ends.
const GRACE: Duration = Duration::from_secs(10);
/// How long viewers get to be told that it is over.
const GOODBYE: Duration = Duration::from_secs(2);
/// How often expired items are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// The whole system, running.
pub struct Shim {
    /// Where the orchestrator listens.
    pub orchestrator: SocketAddr,
    /// Where the event processor listens.
    pub event_processor: SocketAddr,
    /// Where the emulated AWS listens for others, if it does.
    pub aws_endpoint: Option<SocketAddr>,
    /// Variables with which the functions run outside this process on the same emulated AWS; none where it does not listen.
    pub elsewhere: BTreeMap<String, String>,
    /// The admin's key.
    pub admin_key: ApiKey,
    /// Whether the admin was made by this start.
    pub is_first_start: bool,
    /// In what commands run.
    pub runner: tasks::Kind,
    /// From the call to the first answer that is possible.
    pub started_in: Duration,
    aws: Aws,
    sdk: aws_config::SdkConfig,
    function: Function,
    subscriptions: TaskTracker,
    stop_listening: CancellationToken,
    close_viewers: CancellationToken,
    viewers: TaskTracker,
    servers: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    /// Held for as long as the data directory is in use.
    _data: data_dir::DataDir,
}

impl Shim {
    /// Starts everything and returns when both ports answer.
    ///
    /// # Errors
    /// A taken port, a bad setting, a data directory that cannot be used: the message says which and what to do.
    pub async fn start(settings: Settings) -> Result<Self> {
        let started = Instant::now();
        let http = listen(settings.orchestrator_port, settings::ORCHESTRATOR_PORT).await?;
        let events = listen(settings.event_processor_port, settings::EVENT_PROCESSOR_PORT).await?;
        let (orchestrator, event_processor) = (http.local_addr()?, events.local_addr()?);
        let endpoint = match settings.aws_port {
            Some(port) => Some(listen(port, "--aws-port").await?),
            None => None,
        };
        let aws_endpoint = endpoint.as_ref().map(TcpListener::local_addr).transpose()?;

        let stack = stack::Stack::bundled()?;
        let mut orchestrator_settings = stack.function(ORCHESTRATOR)?;
        // A table that the user names otherwise is made under that name.
        let renamed = orchestrator_settings
            .environment
            .iter()
            .filter_map(|(name, value)| Some((value.clone(), settings.overrides.get(name)?.clone())))
            .collect();
        let mut processor_settings = stack.function(EVENT_PROCESSOR)?;
        for function in [&mut orchestrator_settings, &mut processor_settings] {
            let endpoint = format!("http://localhost:{}/ws", orchestrator.port());
            function.environment.insert("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), endpoint);
            function.environment.extend(settings.overrides.clone());
        }
        let config = Config::from_lookup(|name| orchestrator_settings.environment.get(name).cloned())?;
        let processor_config = Config::from_lookup(|name| processor_settings.environment.get(name).cloned())?;

        let data = data_dir::DataDir::open(settings.data_dir.as_deref())?;
        let elsewhere = match aws_endpoint {
            Some(endpoint) if !settings.has_own_endpoint() => elsewhere(&orchestrator_settings.environment, endpoint),
            _ => BTreeMap::new(),
        };
        if !elsewhere.is_empty() {
            data.write_variables("functions.env", &elsewhere)?;
        }
        let runner = choose_runner(settings.runner, &data).await?;
        let subscriptions = TaskTracker::new();
        // The emulated AWS sends its events to a function that cannot exist before the emulated AWS does.
        let processor = Arc::new(OnceLock::new());
        let aws = emulate(&stack, &renamed, &config, &data, &processor, &subscriptions, runner.clone())?;
        let sdk = sdk_config(&aws, &settings).await;
        let sdk_of = |caller| match settings.has_own_endpoint() {
            true => sdk.clone(),
            false => sdk.to_builder().http_client(InProcess { aws: aws.clone(), caller }).build(),
        };

        let orchestrator_function = Function::new(
            &stack::physical_name(ORCHESTRATOR),
            orchestrator_settings.timeout,
            orchestrator_settings.memory_mb,
            function_log(&aws, &orchestrator_settings)?,
            http_handler(App::new(config.clone(), &sdk_of(ORCHESTRATOR))),
        );
        let event_processor_function = Function::new(
            &stack::physical_name(EVENT_PROCESSOR),
            processor_settings.timeout,
            processor_settings.memory_mb,
            function_log(&aws, &processor_settings)?,
            event_handler(App::new(processor_config, &sdk_of(EVENT_PROCESSOR))),
        )
        .with_chaos(settings.chaos);
        let function = processor.get_or_init(|| event_processor_function).clone();

        let app = App::new(config.clone(), &sdk);
        let bootstrapped = bootstrap::run(&app, &data).await?;
        let mut background = vec![tokio::spawn(sweep(aws.clone()))];
        for (kind, properties) in &processor_settings.events {
            if kind == "Schedule" {
                let schedule = lambda::schedule::Schedule::from_template(properties)?;
                if !bootstrapped.is_first_start {
                    // Whatever happened while the program was not there, a change of its own version too.
                    drop(schedule.send(&function));
                }
                background.push(tokio::spawn(schedule.run(function.clone())));
            }
            if kind == "DynamoDB" {
                let stream = aws.dynamodb.follow(&config.tables.websocket_connections)?;
                let mapping = lambda::table_stream::Settings::from_template(properties);
                background.push(tokio::spawn(lambda::table_stream::run(function.clone(), stream, mapping)));
            }
        }
        aws.ecs.recover();

        let (stop_listening, close_viewers) = (CancellationToken::new(), CancellationToken::new());
        let viewers = TaskTracker::new();
        let gateway = front::websocket::Gateway {
            connections: aws.api_gateway.clone(),
            function: function.clone(),
            stage: "live".to_owned(),
            allowed_origins: config.cors_allowed_origins.clone(),
            closing: close_viewers.clone(),
            open: viewers.clone(),
        };
        let port = front::orchestrator::Port { orchestrator: orchestrator_function, websocket: Arc::new(gateway) };
        tracing::info!(address = %orchestrator, "starting orchestrator server");
        let mut api = front::orchestrator::router(port);
        if endpoint.is_some() {
            api = api.merge(front::aws::connections(aws.clone()));
        }
        let http = serve(http, api, stop_listening.clone());
        tracing::info!(address = %event_processor, "starting async processor server");
        let events = serve(events, front::event_processor::router(function.clone()), stop_listening.clone());

        let mut servers = vec![http, events];
        if let Some(endpoint) = endpoint {
            servers.push(serve(endpoint, front::aws::router(aws.clone()), stop_listening.clone()));
        }

        Ok(Self {
            orchestrator,
            event_processor,
            aws_endpoint,
            elsewhere,
            admin_key: bootstrapped.admin_key,
            is_first_start: bootstrapped.is_first_start,
            runner,
            started_in: started.elapsed(),
            aws,
            sdk,
            function,
            subscriptions,
            stop_listening,
            close_viewers,
            viewers,
            servers,
            background,
            _data: data,
        })
    }

    /// The SDK, set up as the functions have it.
    pub fn sdk(&self) -> &aws_config::SdkConfig {
        &self.sdk
    }

    /// What a function, by its name in the template, has needed of IAM so far.
    pub fn needed_of_iam(&self, function: &str) -> std::collections::BTreeSet<String> {
        self.aws.permissions.by(function)
    }

    /// Calls of AWS that go wrong from now on.
    pub fn plan_faults(&self, plan: Option<aws::faults::Plan>) {
        self.aws.faults.set(plan);
    }

    /// How often the functions have called each operation of AWS.
    pub fn aws_calls(&self) -> BTreeMap<String, u64> {
        self.aws.calls.snapshot()
    }

    /// Takes no new work, lets running requests end, stops commands and closes their executions, sends viewers off.
    pub async fn shut_down(self) {
        self.stop_listening.cancel();
        let commands = self.aws.ecs.running();
        if commands > 0 {
            tracing::info!(commands, "stopping commands");
        }
        let orderly = async {
            self.aws.ecs.stop_all("local-shim was stopped").await;
            self.subscriptions.close();
            self.subscriptions.wait().await;
            self.function.settle().await;
            self.close_viewers.cancel();
            self.viewers.close();
            // One that does not read is not waited for.
            let _ = tokio::time::timeout(GOODBYE, self.viewers.wait()).await;
            for server in self.servers {
                let _ = server.await;
            }
        };
        if tokio::time::timeout(GRACE, orderly).await.is_err() {
            tracing::warn!(
                seconds = GRACE.as_secs(),
                "some work did not end in time; the next start closes its executions"
            );
        }
        for task in self.background {
            task.abort();
        }
    }
}

/// What a function needs in its environment to run in a process of its own, on this emulated AWS.
fn elsewhere(environment: &BTreeMap<String, String>, endpoint: SocketAddr) -> BTreeMap<String, String> {
    let own = [
        ("AWS_ENDPOINT_URL", format!("http://localhost:{}", endpoint.port())),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
    ];
    environment.clone().into_iter().chain(own.map(|(name, value)| (name.to_owned(), value))).collect()
}

/// Binds a port on the loopback address.
async fn listen(port: u16, variable: &str) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.with_context(|| {
        format!(
            "port {port} on 127.0.0.1 cannot be used; stop the program that has it, or set {variable} to another port"
        )
    })
}

fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        let served = axum::serve(
            axum::serve::ListenerExt::tap_io(listener, |stream| {
                // Small answers go out at once.
                let _ = stream.set_nodelay(true);
            }),
            service,
        )
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await;
        if let Err(error) = served {
            tracing::error!(%error, "a server stopped");
        }
    })
}

/// In what commands run. What an earlier run of the program has left running is ended.
async fn choose_runner(choice: RunnerChoice, data: &data_dir::DataDir) -> Result<tasks::Kind> {
    let workspaces = data.workspaces();
    tasks::process::kill_leftovers(&workspaces);
    let process = tasks::Kind::Process(ProcessRunner { workspaces });
    if choice == RunnerChoice::Process {
        return Ok(process);
    }
    match (DockerRunner::connect(data.persistent()).await, choice) {
        (Ok(docker), _) => Ok(tasks::Kind::Docker(docker)),
        (Err(tried), RunnerChoice::Docker) => {
            bail!(
                "no Docker or Podman answers ({tried}); start it, name its socket with DOCKER_HOST, or use --runner process"
            )
        }
        (Err(_), _) => Ok(process),
    }
}

/// Puts the emulated services together.
fn emulate(
    stack: &stack::Stack,
    renamed: &BTreeMap<String, String>,
    config: &Config,
    data: &data_dir::DataDir,
    processor: &Arc<OnceLock<Function>>,
    subscriptions: &TaskTracker,
    runner: tasks::Kind,
) -> Result<Aws> {
    let directory = data.persistent();
    let groups = config.function_log_groups.iter().chain([&config.log_group]).map(String::as_str);
    let logs = aws::logs::CloudWatchLogs::open(directory.map(|directory| directory.join("logs")), groups)?;
    let task_logs = logs.group(&config.log_group).context("the tasks' log group was just made")?.clone();
    let ssm = aws::ssm::Ssm::open(StateFile::new(directory, "parameters.json"))?;
    let rules: Vec<Value> = stack
        .function(EVENT_PROCESSOR)?
        .events
        .into_iter()
        .filter(|(kind, _)| kind == "EventBridgeRule")
        .map(|(_, properties)| properties["Pattern"].clone())
        .collect();
    let bus_target = processor.clone();
    let bus: aws::ecs::EventBus = Arc::new(move |event| {
        let wanted = rules.iter().any(|rule| lambda::event_bridge::matches(rule, &event));
        match bus_target.get() {
            Some(function) if wanted => function.send("ECS task state change", event.to_string().into_bytes()),
            _ => Box::pin(std::future::ready(())),
        }
    });
    let (target, group, tracker) = (processor.clone(), config.log_group.clone(), subscriptions.clone());
    let subscribe: aws::ecs::Subscriptions = Arc::new(move || match target.get() {
        Some(function) => lambda::log_subscription::start(function.clone(), group.clone(), &tracker),
        None => tokio::sync::mpsc::channel(1).0,
    });
    let runner = tasks::Runner { kind: runner, logs: task_logs };
    let cluster = &config.ecs_cluster;
    let ecs = aws::ecs::Ecs::open(cluster, StateFile::new(directory, "ecs.json"), runner, ssm.clone(), bus, subscribe)?;
    Ok(Aws {
        dynamodb: aws::dynamodb::DynamoDb::open(directory, stack, renamed)?,
        ecs,
        logs,
        ssm,
        iam: aws::iam::Iam::new(stack.roles()),
        api_gateway: aws::api_gateway::ApiGateway::default(),
        calls: aws::CallLog::default(),
        permissions: aws::permissions::Needed::default(),
        faults: aws::faults::Faults::default(),
    })
}

/// The SDK as the functions use it, answered in-process; or, with `AWS_ENDPOINT_URL`, by whatever that names.
async fn sdk_config(aws: &Aws, settings: &Settings) -> aws_config::SdkConfig {
    let loader = runvoy_core::aws::sdk_settings();
    if settings.has_own_endpoint() {
        return loader.load().await;
    }
    let loader = match &settings.clock {
        Some(clock) => loader.time_source(clock.clone()),
        None => loader,
    };
    let loader = match settings.call_timeout {
        Some(timeout) => loader.timeout_config(runvoy_core::aws::timeouts(timeout)),
        None => loader,
    };
    let credentials = aws_credential_types::Credentials::new("local", "local", None, None, "local-shim");
    loader
        .region(aws_config::Region::new(stack::REGION))
        // There is no network in between that would need longer to recover.
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(runvoy_core::aws::TRIES)
                .with_initial_backoff(Duration::from_millis(10)),
        )
        .credentials_provider(credentials)
        .http_client(InProcess { aws: aws.clone(), caller: "local-shim" })
        .load()
        .await
}

/// Where a function's own lines go: the group that the template gives it.
fn function_log(aws: &Aws, settings: &stack::FunctionSettings) -> Result<Option<FunctionLog>> {
    settings.log_group.as_deref().and_then(|name| aws.logs.group(name)).map(FunctionLog::start).transpose()
}

/// The orchestrator, invoked as Lambda invokes it.
fn http_handler(app: App) -> Handler {
    let service = lambda_http::Adapter::from(orchestrator::service(app));
    Arc::new(move |event: LambdaEvent<Vec<u8>>| {
        let mut service = service.clone();
        Box::pin(async move {
            let request = serde_json::from_slice(&event.payload).map_err(unreadable)?;
            let answered = service.call(LambdaEvent::new(request, event.context)).await;
            let Ok(response) = answered;
            serde_json::to_vec(&response).map_err(unreadable)
        })
    })
}

/// The event processor, invoked as Lambda invokes it.
fn event_handler(app: App) -> Handler {
    Arc::new(move |event: LambdaEvent<Vec<u8>>| {
        let app = app.clone();
        Box::pin(async move {
            let payload = serde_json::from_slice(&event.payload).map_err(unreadable)?;
            let answer =
                event_processor::handle(&app, LambdaEvent::new(payload, event.context)).await.map_err(|error| {
                    let Diagnostic { error_type, error_message } = error.into();
                    FunctionError { error_type, message: error_message }
                })?;
            serde_json::to_vec(&answer).map_err(unreadable)
        })
    })
}

fn unreadable(error: serde_json::Error) -> FunctionError {
    FunctionError { error_type: "Runtime.UnmarshalError".to_owned(), message: error.to_string() }
}

async fn sweep(aws: Aws) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        match aws.dynamodb.sweep() {
            Ok(deleted) => tracing::debug!(deleted, "expired items deleted"),
            Err(error) => tracing::warn!(%error, "expired items were not deleted"),
        }
    }
}
