//! Starts the running system: the emulated AWS, the functions, their event sources and the ports.

mod ports;
mod shutdown;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use runvoy_core::{
    App, boxed,
    config::{Config, Origin},
    key::ApiKey,
};
use tokio::task::JoinHandle;

use self::ports::{Ports, Serving};
use crate::{
    aws::{
        Aws, dynamodb::write_units::Partition, ecs::runner, events::EventPublisher, faults, logs::positions::Positions,
        permissions::Access, signature::AccessKey,
    },
    bootstrap,
    data_dir::DataDir,
    emulation, examples,
    front::{self, cloudformation::LocalStack},
    functions::{self, EVENT_PROCESSOR, Functions, ORCHESTRATOR, Setup},
    lambda::{
        Function, Kind, dead_letters::DeadLetters, dispatcher::Dispatcher, log_subscription::Subscription, queue,
        schedule::Schedule, table_stream,
    },
    settings::{self, Settings},
    stack::{FunctionSettings, REGION, Stack},
};

/// The time between two deletions of expired items and of logs past their retention.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);
/// The time that another AWS may take to accept a connection.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause between two looks at whether all events are handled.
const QUIET_POLL: Duration = Duration::from_millis(2);
/// The file with the variables by which functions outside this process use this emulated AWS.
pub const VARIABLES_FILE: &str = "functions.env";

/// The whole system. It stops when it is dropped, at once and without closing its executions; [`Shim::shut_down`] stops it in order.
pub struct Shim {
    /// Where the orchestrator listens.
    pub orchestrator: SocketAddr,
    /// Where the event processor listens.
    pub event_processor: SocketAddr,
    /// Where the emulated AWS listens for other programs, if it does.
    pub aws_endpoint: Option<SocketAddr>,
    /// Variables with which a function outside this process uses this emulated AWS. Empty where it does not listen.
    pub function_environment: BTreeMap<String, String>,
    /// The admin's key.
    pub admin_key: ApiKey,
    /// Tells whether this start has created the admin.
    pub is_first_start: bool,
    /// The way in which commands run.
    pub runner: runner::Kind,
    /// The time from the call until the ports answered.
    pub started_in: Duration,
    aws: Aws,
    sdk: aws_config::SdkConfig,
    event_processor_function: Function,
    dead_letters: DeadLetters,
    log_positions: Arc<Positions>,
    /// The number of events that services have published and the function does not have yet.
    published: Arc<AtomicUsize>,
    serving: Serving,
    background: Vec<JoinHandle<()>>,
    /// The data directory, locked for as long as the system runs.
    data: DataDir,
}

/// The settings and clients of both functions.
struct Configured {
    orchestrator: Setup,
    event_processor: Setup,
}

impl Configured {
    fn read(stack: &Stack, settings: &Settings, port: u16) -> Result<Self> {
        const GROUPS: &str = "RUNVOY_FUNCTION_LOG_GROUPS";
        if settings.other_endpoint().is_none() && settings.overrides.contains_key(GROUPS) {
            bail!("{GROUPS} cannot be set here: the functions write to the log groups of template.yaml");
        }
        let read = |name: &str| -> Result<Setup> {
            let mut function = stack.function(name)?;
            let endpoint = format!("http://localhost:{port}/ws");
            function.environment.insert("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), endpoint);
            if function.environment.contains_key("RUNVOY_API_URL") {
                function.environment.insert("RUNVOY_API_URL".to_owned(), format!("http://localhost:{port}"));
            }
            function.environment.insert("RUNVOY_ALLOW_PRIVATE_WEBHOOKS".to_owned(), "loopback".to_owned());
            function.environment.extend(settings.overrides.clone());
            let config = Config::from_lookup(|name| function.environment.get(name).cloned())?;
            Ok((function, config))
        };
        Ok(Self { orchestrator: read(ORCHESTRATOR)?, event_processor: read(EVENT_PROCESSOR)? })
    }

    /// The names of the variables that the template gives to the functions.
    fn names(stack: &Stack) -> Result<BTreeSet<String>> {
        let functions = [stack.function(ORCHESTRATOR)?, stack.function(EVENT_PROCESSOR)?];
        Ok(functions.into_iter().flat_map(|function| function.environment.into_keys()).collect())
    }
}

impl Shim {
    /// Starts everything, and returns when the ports answer.
    ///
    /// # Errors
    /// A taken port, a bad setting, a data directory that cannot be used: the message names it and says what to do.
    #[boxed]
    pub async fn start(settings: Settings) -> Result<Self> {
        let started = Instant::now();
        // The folder is opened before the ports, so that a second start with it says where the first one answers, and not which port is
        // taken.
        let data = DataDir::open(settings.data_dir.as_deref())?;
        let ports = Ports::open(&settings).await?;
        check_other_endpoint(&settings, &ports).await?;
        let (orchestrator, event_processor) = (ports.orchestrator.address, ports.event_processor.address);
        let aws_endpoint = ports.aws.as_ref().map(|listeners| listeners.address);
        let stack = Stack::bundled(&settings.overrides)?;
        let configured = Configured::read(&stack, &settings, orchestrator.port())?;
        let config = configured.orchestrator.1.clone();
        settings::warn_of_misspelt(&settings.overrides, &Configured::names(&stack)?);
        let runner = emulation::choose_runner(settings.runner, &data).await?;
        let access_key = data.access_key()?;

        let (publisher, events) = EventPublisher::channel();
        let published = publisher.waiting();
        let aws = emulation::build(
            &stack,
            &config,
            &data,
            runner.clone(),
            publisher,
            settings.clock.clone(),
            settings.chaos.is_some(),
        )?;
        let sdk = functions::sdk_config(&aws, &settings).await;
        let function_environment = match aws_endpoint {
            Some(endpoint) if settings.other_endpoint().is_none() => {
                function_environment(&configured, endpoint, &access_key)
            }
            _ => BTreeMap::new(),
        };
        let processor_settings = configured.event_processor.0.clone();
        let Functions { orchestrator: orchestrator_function, event_processor: event_processor_function } =
            functions::build(&aws, &settings, &sdk, configured.orchestrator, configured.event_processor)?;
        let dead_letters = DeadLetters::open(data.persistent())?;
        event_processor_function.keep_failed(dead_letters.clone());
        let log_positions = Arc::new(Positions::open(data.persistent(), event_processor_function.reorders())?);
        let dispatcher =
            Dispatcher { event_processor: event_processor_function.clone(), rules: emulation::rules(&stack)? };
        let mut background =
            vec![tokio::spawn(dispatcher.run(events)), tokio::spawn(sweep(aws.clone(), config.log_retention))];

        let app = Arc::new(App::new(config.clone(), &sdk));
        let bootstrapped = bootstrap::run(&app, &data).await?;
        if !function_environment.is_empty() {
            data.write_variables(VARIABLES_FILE, &function_environment)?;
            examples::write(&data, &function_environment, &bootstrapped.admin_key)?;
        }
        let sources = event_sources(&processor_settings, &event_processor_function, &aws, &bootstrapped)?;
        background.extend(sources);
        let group = aws.logs.group(&config.log_group).context("the log group of the tasks is missing")?.clone();
        group.subscribe(log_positions.clone(), &aws.ecs.unfinished_log_streams());
        let subscription = Subscription {
            function: event_processor_function.clone(),
            group,
            positions: log_positions.clone(),
            dead_letters: dead_letters.clone(),
        };
        background.push(tokio::spawn(subscription.run()));
        let positions = log_positions.clone();
        background.push(tokio::spawn(async move { positions.write_behind().await }));
        let retries = dead_letters.clone().run(event_processor_function.clone(), aws.logs.clone());
        background.push(tokio::spawn(retries));
        let function = event_processor_function.clone();
        let send = move |event| {
            let sent = function.send(Kind::Schedule, event);
            async move { sent.await.is_ok() }
        };
        background.push(tokio::spawn(aws.scheduler.clone().run(send)));
        aws.ecs.recover();
        aws.logs.move_ended()?;
        data.write_endpoint(&format!("http://localhost:{}", orchestrator.port()))?;

        let local_stack = LocalStack {
            functions: vec![orchestrator_function.clone(), event_processor_function.clone()],
            api_url: format!("http://localhost:{}/", orchestrator.port()),
        };
        let aws_services = front::aws::Endpoint { aws: aws.clone(), key: access_key, stack: Arc::new(local_stack) };
        let serving = ports.serve(
            orchestrator_function,
            event_processor_function.clone(),
            aws_services,
            app,
            &settings,
            stack.mock_answer("$default"),
        );

        Ok(Self {
            orchestrator,
            event_processor,
            aws_endpoint,
            function_environment,
            admin_key: bootstrapped.admin_key,
            is_first_start: bootstrapped.is_first_start,
            runner,
            started_in: started.elapsed(),
            aws,
            sdk,
            event_processor_function,
            dead_letters,
            log_positions,
            published,
            serving,
            background,
            data,
        })
    }

    /// The SDK, set up as the functions have it.
    pub fn sdk(&self) -> &aws_config::SdkConfig {
        &self.sdk
    }

    /// Notes from now on the IAM permissions that calls need.
    pub fn watch_permissions(&self) {
        self.aws.permissions.watch();
    }

    /// The IAM permissions that a function, by its name in the template, has needed since [`Self::watch_permissions`] was called.
    pub fn needed_of_iam(&self, function: &str) -> BTreeSet<Access> {
        self.aws.permissions.by(function)
    }

    /// Keeps tasks in DEPROVISIONING after their commands have ended, until it is called with `false`. A test sees with it that Fargate
    /// takes long to end tasks.
    pub fn hold_task_ends(&self, hold: bool) {
        self.aws.ecs.hold_ends(hold);
    }

    /// Lets calls of AWS fail from now on as the plan decides.
    pub fn plan_faults(&self, plan: Option<faults::Plan>) {
        self.aws.faults.set(plan);
    }

    /// Closes from now on each viewer for which a message is larger than this, with code 1009, as API Gateway may.
    pub fn close_on_frames_over(&self, bytes: usize) {
        self.aws.api_gateway.close_on_frames_over(bytes);
    }

    /// Counts from now on the write units of each partition of a table or an index.
    ///
    /// # Errors
    /// The template cannot be read.
    pub fn count_write_units(&self) -> Result<()> {
        self.aws.dynamodb.count_write_units()
    }

    /// The write units that each partition has taken since they are counted.
    pub fn write_units(&self) -> BTreeMap<Partition, f64> {
        self.aws.dynamodb.write_units()
    }

    /// The number of times that a function, by its name in the template, has called each operation of AWS so far.
    pub fn aws_calls(&self, function: &str) -> BTreeMap<String, u64> {
        self.aws.calls.by(function)
    }

    /// Waits until the event processor has handled every event that it was sent, the lines of logs and the records of streams among
    /// them, and what those led to. Messages of queues are not waited for, because they may be hidden for hours.
    pub async fn events_handled(&self) {
        let mut quiet = 0;
        // The handling of an event may cause another in a place that was looked at before. So two looks in a row must find all places
        // quiet.
        while quiet < 2 {
            self.log_positions.all_handled().await;
            self.event_processor_function.settle().await;
            let is_quiet = self.published.load(Ordering::SeqCst) == 0
                && self.event_processor_function.is_idle()
                && self.log_positions.are_all_handled()
                && self.aws.dynamodb.streams_are_handled().unwrap_or(false);
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if !is_quiet {
                tokio::time::sleep(QUIET_POLL).await;
            }
        }
    }
}

/// Starts what invokes the event processor besides the events of services: schedules, streams of tables, and queues.
fn event_sources(
    settings: &FunctionSettings,
    event_processor: &Function,
    aws: &Aws,
    bootstrapped: &bootstrap::Bootstrapped,
) -> Result<Vec<JoinHandle<()>>> {
    let mut sources = Vec::new();
    for (kind, properties) in &settings.events {
        if kind == "Schedule" {
            let schedule = Schedule::from_template(properties)?;
            if !bootstrapped.is_first_start {
                // Events may have been lost while the program did not run, and its version may have changed.
                drop(schedule.send(event_processor));
            }
            sources.push(tokio::spawn(schedule.run(event_processor.clone())));
        }
        if kind == "DynamoDB" {
            let mapping = table_stream::Settings::from_template(properties);
            // Records that this run of the program does not handle are handled by the next.
            let stream = aws.dynamodb.follow_from_oldest(mapping.table())?;
            sources.push(tokio::spawn(table_stream::run(event_processor.clone(), stream, mapping)));
        }
        if kind == "SQS"
            && let Some(mapping) = queue::Mapping::from_template(properties, event_processor.clone(), aws.sqs.clone())
        {
            sources.push(tokio::spawn(mapping.run()));
        }
    }
    Ok(sources)
}

/// Checks that another AWS can be reached, so that a start with a wrong endpoint fails at once and not after many tries.
async fn check_other_endpoint(settings: &Settings, ports: &Ports) -> Result<()> {
    let Some(endpoint) = settings.other_endpoint() else { return Ok(()) };
    let Some(origin) = Origin::of_url(endpoint) else {
        bail!("AWS_ENDPOINT_URL is {endpoint:?}: it wants an http:// or https:// URL");
    };
    let own = [Some(&ports.orchestrator), Some(&ports.event_processor), ports.aws.as_ref()];
    let is_here = ["localhost", "127.0.0.1", "::1"].contains(&origin.host());
    if is_here && own.into_iter().flatten().any(|port| port.address.port() == origin.port()) {
        bail!(
            "AWS_ENDPOINT_URL is {endpoint:?}, which is a port of this program itself; unset it to use the emulated AWS"
        );
    }
    let connect = tokio::net::TcpStream::connect((origin.host(), origin.port()));
    let cannot =
        || format!("no AWS answers at AWS_ENDPOINT_URL, which is {endpoint:?}; start it, or unset the variable");
    tokio::time::timeout(ENDPOINT_TIMEOUT, connect).await.with_context(cannot)?.with_context(cannot)?;
    Ok(())
}

/// The variables by which a function in a process of its own uses this emulated AWS. They fit both functions.
fn function_environment(configured: &Configured, endpoint: SocketAddr, key: &AccessKey) -> BTreeMap<String, String> {
    let own = [
        ("AWS_ENDPOINT_URL", format!("http://localhost:{}", endpoint.port())),
        ("AWS_ACCESS_KEY_ID", key.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", key.secret.clone()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
    ];
    let mut environment = configured.orchestrator.0.environment.clone();
    environment.extend(configured.event_processor.0.environment.clone());
    // These are the program's own, and would be wrong for a second one that reads the file.
    for name in [settings::ORCHESTRATOR_PORT, settings::EVENT_PROCESSOR_PORT, settings::AWS_PORT] {
        environment.remove(name);
    }
    environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
    environment
}

/// Deletes what DynamoDB and CloudWatch Logs would delete, for as long as the program runs. A deletion may take seconds, and is made on a
/// thread for calls that block, so that the threads of the runtime answer requests meanwhile.
async fn sweep(aws: Aws, log_retention: Duration) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let logs = aws.logs.clone();
        let deleted = tokio::task::spawn_blocking(move || logs.delete_older(log_retention)).await;
        match deleted.map_err(Into::into).and_then(|deleted| deleted) {
            Ok(deleted) => tracing::debug!(deleted, "old log streams deleted"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "old log streams were not deleted"),
        }
        let dynamodb = aws.dynamodb.clone();
        let deleted = tokio::task::spawn_blocking(move || dynamodb.sweep()).await;
        match deleted.map_err(Into::into).and_then(|deleted| deleted) {
            Ok(deleted) => tracing::debug!(deleted, "expired items deleted"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "expired items were not deleted"),
        }
    }
}
