//! Plays one seed: executions, lines, events, viewers and faults.

mod attempts;
mod audience;
mod check;
mod crowd;
mod delivery;
mod lanes;
mod locks;
mod round_trips;
pub mod scale;
mod task;
mod viewer;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    time::Duration,
};

use aws_smithy_async::{rt::sleep::SharedAsyncSleep, time::SharedTimeSource};
use futures_executor::{LocalPool, LocalSpawner};
use futures_util::{FutureExt, task::LocalSpawnExt};
use lambda_runtime::{Context, LambdaEvent};
use local_shim::{
    aws::{
        dynamodb::DynamoDb,
        ecs::{self, Cluster, Transition, runner::TaskEnd},
        logs::{CloudWatchLogs, Event, Shown},
    },
    lambda::{log_batch_event, table_stream},
    stack::Stack,
};
use runvoy_core::{
    App, Email, RequestId, audit::Actor, auth::Role, config::Config, execution::ExecutionId, image, key::ApiKey,
    logs::store, user,
};
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    common::events::{http_request, websocket},
    invocation::Http,
    planted::Planted,
    random::Random,
    units::Units,
    world::{Socket, World},
};

pub use self::{
    audience::{run_audience, run_stuck},
    crowd::run_crowd,
    lanes::{run_cohort, run_dead_leases},
    locks::run_locks,
    round_trips::{CALL, round_trips},
};
use self::{
    task::{BEAT, END_LINE, FAILED_TO_START, NO_ROOM, NOT_PULLED, SPOT_INTERRUPTION},
    viewer::{Chain, lines},
};

/// One in this many seeds is calm: see [`Simulation::calm`].
pub const CALM: u64 = 4;

/// The result of a seed: what does not hold.
pub struct Outcome {
    pub violations: Vec<String>,
    pub story: Vec<String>,
}

pub fn run(seed: u64, planted: Option<Planted>) -> Outcome {
    play(seed, planted, |_| {}, Simulation::main)
}

/// Plays what `main` says to its end, in a simulation of a seed that `set_up` has changed.
fn play<F: Future<Output = ()> + 'static>(
    seed: u64,
    planted: Option<Planted>,
    set_up: impl FnOnce(&mut Simulation),
    main: impl FnOnce(Rc<Simulation>) -> F,
) -> Outcome {
    play_in(seed, planted, (None, false), set_up, main)
}

/// As [`play`], in an account that may have a limit of running executions, and in which the stream of the executions may be followed.
fn play_in<F: Future<Output = ()> + 'static>(
    seed: u64,
    planted: Option<Planted>,
    (max_running, follows_executions): (Option<u32>, bool),
    set_up: impl FnOnce(&mut Simulation),
    main: impl FnOnce(Rc<Simulation>) -> F,
) -> Outcome {
    let clock = Clock::new();
    let mut pool = LocalPool::new();
    let mut simulation = Simulation::new(seed, &clock, pool.spawner(), planted, max_running, follows_executions);
    set_up(&mut simulation);
    let simulation = Rc::new(simulation);
    clock.run(&mut pool, main(simulation.clone()));
    let violations = simulation.violations.take();
    let story = std::mem::take(&mut simulation.world.state().story);
    Outcome { violations, story }
}

struct Simulation {
    world: World,
    app: App,
    /// The tables with streams, and how the records of each are delivered.
    mappings: Vec<(String, table_stream::Settings)>,
    key: ApiKey,
    spawner: LocalSpawner,
    /// A seed without faults, repeats and long delays: everything is delivered once, and soon.
    calm: bool,
    /// Of a thousand events of tasks, so many are lost where it is not calm.
    lost_events: u64,
    /// Tells whether a line must reach its viewers within seconds.
    prompt: bool,
    /// How many invocations may run at the same time, and how many do.
    concurrency: usize,
    running: Cell<usize>,
    /// The tasks of a seed other than its viewers.
    busy: Cell<usize>,
    watching: Cell<usize>,
    lives: RefCell<BTreeSet<String>>,
    /// The executions of runs with locks that somebody kills, or tries to.
    killed: RefCell<BTreeSet<String>>,
    /// When the first delivery of each line began.
    delivered: RefCell<HashMap<String, u64>>,
    /// The frames of each viewer, over all its connections.
    seen: RefCell<Vec<Chain>>,
    violations: RefCell<Vec<String>>,
}

impl Simulation {
    fn new(
        seed: u64,
        clock: &Clock,
        spawner: LocalSpawner,
        planted: Option<Planted>,
        max_running: Option<u32>,
        follows_executions: bool,
    ) -> Self {
        let stack = Stack::bundled(&BTreeMap::new()).unwrap();
        let settings = stack.function("EventProcessor").unwrap();
        let variables = |name: &str| match name {
            "RUNVOY_MAX_RUNNING" => max_running.map(|most| most.to_string()),
            "RUNVOY_SPOT" => Some("true".to_owned()),
            "RUNVOY_WEBSOCKET_API_ENDPOINT" => Some("http://simulated/ws".to_owned()),
            name => settings.environment.get(name).cloned(),
        };
        let config = Config::from_lookup(variables).unwrap();
        let dynamodb = DynamoDb::open(None, &stack, true).unwrap();
        let logs = CloudWatchLogs::open(None, [config.log_group.as_str()]).unwrap();
        let mut tasks = 0;
        let cluster = ecs::Settings {
            name: config.ecs_cluster.rsplit('/').next().unwrap().to_owned(),
            has_spot: config.has_spot,
            is_slow: true,
            new_id: Box::new(move || {
                tasks += 1;
                format!("{tasks:032x}")
            }),
        };
        let cluster = Cluster::new(cluster, ecs::Store::open(None).unwrap());
        let world = World::new(clock.clone(), dynamodb, logs, cluster, Random::new(seed), planted);
        let sdk = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("us-east-1"))
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
                aws_credential_types::Credentials::new("local", "local", None, None, "simulation"),
            ))
            .http_client(Http(world.clone()))
            .time_source(SharedTimeSource::new(clock.clone()))
            .sleep_impl(SharedAsyncSleep::new(clock.clone()))
            .timeout_config(runvoy_core::aws::timeouts(Duration::from_secs(5)))
            .retry_config(
                aws_config::retry::RetryConfig::standard()
                    .with_max_attempts(runvoy_core::aws::MAX_ATTEMPTS)
                    // The SDK waits before its retries by this source, so the same seed has the same delays.
                    .with_use_static_exponential_base(true),
            )
            .build();
        let mapping_of = |table: &str| {
            let is_of = |properties: &Value| properties["Stream"].as_str().is_some_and(|stream| stream.contains(table));
            let found =
                settings.events.iter().find(|(kind, properties)| kind == "DynamoDB" && is_of(properties)).unwrap();
            table_stream::Settings::from_template(&found.1)
        };
        let mut mappings: Vec<_> = [&config.tables.websocket_connections, &config.tables.locks]
            .into_iter()
            .map(|table| (table.clone(), mapping_of(table)))
            .collect();
        if follows_executions {
            mappings.push((config.tables.executions.clone(), mapping_of(&config.tables.executions)));
        }
        let calm = seed.is_multiple_of(CALM);
        Self {
            app: App::new(config, &sdk),
            mappings,
            world,
            key: ApiKey::generate().unwrap(),
            spawner,
            calm,
            lost_events: 60,
            prompt: calm,
            concurrency: usize::MAX,
            running: Cell::new(0),
            busy: Cell::new(0),
            watching: Cell::new(0),
            lives: RefCell::default(),
            killed: RefCell::default(),
            delivered: RefCell::default(),
            seen: RefCell::default(),
            violations: RefCell::default(),
        }
    }

    async fn main(self: Rc<Self>) {
        self.prepare().await;
        if !self.calm {
            let faults = self.world.between(0, 12) as u32;
            self.world.state().faults = faults;
        }
        self.clone().follow_stream();
        for number in 0..self.world.between(1, 2) {
            let simulation = self.clone();
            self.work(async move { simulation.execution(number).await });
        }
        self.rest(|simulation| simulation.busy.get()).await;
        // An hour later, reconcile closes executions whose events were lost.
        self.world.state().faults = 0;
        self.world.wait(3_600_000).await;
        let reconciled = self.request("POST", "/health/reconcile", &[], Value::Null, false).await;
        self.world.tell(|| format!("reconciled: {reconciled:?}"));
        self.rest(|simulation| simulation.busy.get() + simulation.watching.get()).await;
        self.check().await;
    }

    /// Polls until a condition holds, for some simulated hours at most.
    async fn rest(&self, left: impl Fn(&Self) -> usize) {
        for waited in 1..1000 {
            if left(self) == 0 {
                return;
            }
            self.world.wait(500 + 20 * waited).await;
        }
        self.violate(format!("{} things never came to rest", left(self)));
    }

    fn violate(&self, what: String) {
        self.violations.borrow_mut().push(what);
    }

    fn work(self: &Rc<Self>, work: impl Future<Output = ()> + 'static) {
        self.busy.set(self.busy.get() + 1);
        let simulation = self.clone();
        let work = async move {
            work.await;
            simulation.busy.set(simulation.busy.get() - 1);
        };
        self.spawner.spawn_local(work).unwrap();
    }

    async fn prepare(&self) {
        let email = Email::parse("admin@example.com").unwrap();
        let actor = Actor::program("prepare", &RequestId::new("prepare"));
        let new = user::NewUser { email: email.clone(), role: Role::Admin, actor: &actor };
        user::create_with_key(&self.app, new, &self.key).await.unwrap();
        let registration = image::Registration { image: "ubuntu".to_owned(), ..Default::default() };
        image::register(&self.app, registration, &email, &actor).await.unwrap();
    }

    /// Sends a request to the API. `None` if its handler was killed.
    async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
        fragile: bool,
    ) -> Option<(u16, Value, Option<String>)> {
        let mut context = Context::default();
        context.request_id = format!("request-{}", self.world.between(0, u64::MAX - 1));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut event = http_request(method, &format!("/api/v1{path}"), self.key.expose(), &body);
        event["rawQueryString"] = json!(query);
        for (name, value) in headers {
            event["headers"][*name] = json!(value);
        }
        let api = orchestrator::service(self.app.clone());
        let event = LambdaEvent::new(event, context);
        let answer = self.world.invoke(fragile, async move { orchestrator::handle(&api, event).await }).await?.unwrap();
        let link = answer["headers"]["link"].as_str().map(str::to_owned);
        let status = u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap();
        let body = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        Some((status, body, link))
    }

    /// A command that is run, watched, and sometimes killed.
    async fn execution(self: Rc<Self>, number: u64) {
        let key = format!("key-{number}");
        let mut started = None;
        for _ in 0..8 {
            let body = json!({"command": format!("command {number}")});
            let answer = self.request("POST", "/run", &[("idempotency-key", &key)], body, true).await;
            self.clone().begin_lives();
            if let Some((202, body, _)) = answer {
                started = Some(body);
                break;
            }
            self.world.wait(1000).await;
        }
        let Some(started) = started else { return self.violate("a run was never accepted".to_owned()) };
        let id = started["execution_id"].as_str().unwrap().to_owned();
        let url = started["websocket_url"].as_str().unwrap().to_owned();
        let token = url.split("token=").nth(1).unwrap().to_owned();
        for _ in 0..self.world.between(0, 3) {
            let (simulation, id, token) = (self.clone(), id.clone(), token.clone());
            self.watching.set(self.watching.get() + 1);
            let viewer = async move {
                simulation.viewer(id, token).await;
                simulation.watching.set(simulation.watching.get() - 1);
            };
            self.spawner.spawn_local(viewer).unwrap();
        }
        if self.world.chance(250) {
            self.world.wait(self.world.between(0, 12_000)).await;
            for _ in 0..3 {
                let killed = self.request("DELETE", &format!("/executions/{id}"), &[], Value::Null, true).await;
                self.world.tell(|| format!("{id} was killed: {killed:?}"));
                if matches!(killed, Some((200 | 204, ..))) {
                    if self.world.task(&id).desired_status != "STOPPED" {
                        self.violate(format!("{id} was said to be stopped, and ECS was not asked"));
                    }
                    break;
                }
                self.world.wait(500).await;
            }
        }
    }
}
