//! What happens in one seed (executions, lines, events, viewers, faults), and what must hold at its end.

#[path = "scale.rs"]
pub mod scale;

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
    lambda::{log_subscription, table_stream},
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
    random::Random,
    units::Units,
    world::{Http, Planted, Socket, World},
};

/// One in this many seeds is calm: see [`Simulation::calm`].
pub const CALM: u64 = 4;
/// The beat of a calm seed, in milliseconds. Lines are printed and viewers connect at beats, so that they meet; and a line that
/// was missed stays missing for a whole beat, which is long enough to be noticed.
const BEAT: u64 = 8000;
const END_LINE: &str = "### runvoy runner: command ended, exit code => ";

/// The stop code of a task of which a container could not start.
const FAILED_TO_START: &str = "TaskFailedToStart";

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
    let clock = Clock::new();
    let mut pool = LocalPool::new();
    let mut simulation = Simulation::new(seed, &clock, pool.spawner(), planted);
    set_up(&mut simulation);
    let simulation = Rc::new(simulation);
    clock.run(&mut pool, main(simulation.clone()));
    let violations = simulation.violations.take();
    let story = std::mem::take(&mut simulation.world.state().story);
    Outcome { violations, story }
}

/// Tasks that end in the same second, in an account that is new: see [`run_crowd`].
const CROWD: u64 = 100;
/// Invocations at the same time that a new account may have at least ("Lambda quotas").
const NEW_ACCOUNT: usize = 10;

/// [`CROWD`] tasks end in the same second. Half of them are watched. A quarter is ended by SIGKILL, so that they print no last line, and
/// a quarter never starts. A minute later, each log must be complete and each viewer sent off.
pub fn run_crowd(seed: u64) -> Outcome {
    let set_up = |simulation: &mut Simulation| {
        (simulation.calm, simulation.prompt) = (true, false);
        simulation.concurrency = NEW_ACCOUNT;
    };
    play(seed, None, set_up, Simulation::crowd)
}

/// Viewers of one log, and how many of them never read: see [`run_stuck`].
const VIEWERS: usize = 60;
const STUCK: usize = 10;

/// A log with [`VIEWERS`], of which some never read. No event may fail for them, and no other viewer may wait for them.
pub fn run_stuck(seed: u64) -> Outcome {
    play(seed, None, |simulation| (simulation.calm, simulation.prompt) = (true, true), Simulation::stuck)
}

/// The milliseconds of a call of AWS, when nothing else takes time: see [`round_trips`].
pub const CALL: u64 = 10;

/// The milliseconds that each kind of request takes.
pub fn round_trips() -> BTreeMap<&'static str, u64> {
    let taken = Rc::new(RefCell::new(BTreeMap::new()));
    let told = taken.clone();
    let set_up = |simulation: &mut Simulation| (simulation.calm, simulation.prompt) = (true, false);
    let outcome = play(0, None, set_up, move |simulation| simulation.requests(told));
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    taken.take()
}

/// How many viewers of one log connect in a second: see [`run_audience`].
const CONNECTS: u64 = 250;

/// A log with this many viewers, which connect while lines are printed. Calls take 4 ms, and keys have DynamoDB's quotas.
pub fn run_audience(seed: u64, viewers: usize) -> Outcome {
    let set_up = |simulation: &mut Simulation| (simulation.calm, simulation.prompt) = (true, true);
    play(seed, None, set_up, move |simulation| simulation.audience(viewers))
}

struct Simulation {
    world: World,
    app: App,
    /// The tables with streams, and how the records of each are delivered.
    mappings: [(String, table_stream::Settings); 2],
    key: ApiKey,
    spawner: LocalSpawner,
    /// A seed without faults, repeats and long delays: everything is delivered once, and soon.
    calm: bool,
    /// Tells whether a line must reach its viewers within seconds.
    prompt: bool,
    /// How many invocations may run at the same time, and how many do.
    concurrency: usize,
    running: Cell<usize>,
    /// The tasks of a seed other than its viewers.
    busy: Cell<usize>,
    watching: Cell<usize>,
    lives: RefCell<BTreeSet<String>>,
    /// When the first delivery of each line began.
    delivered: RefCell<HashMap<String, u64>>,
    /// The frames of each viewer, over all its connections.
    seen: RefCell<Vec<Chain>>,
    violations: RefCell<Vec<String>>,
}

/// One viewer, which may leave and connect again.
struct Chain {
    execution: String,
    wants_status: bool,
    sessions: Vec<String>,
    opened: Vec<u64>,
    /// Tells whether it stayed connected until the server closed the connection.
    stayed: bool,
}

impl Simulation {
    fn new(seed: u64, clock: &Clock, spawner: LocalSpawner, planted: Option<Planted>) -> Self {
        let stack = Stack::bundled(&BTreeMap::new()).unwrap();
        let settings = stack.function("EventProcessor").unwrap();
        let variables = |name: &str| match name {
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
        let mappings = [&config.tables.websocket_connections, &config.tables.locks]
            .map(|table| (table.clone(), mapping_of(table)));
        let calm = seed.is_multiple_of(CALM);
        Self {
            app: App::new(config, &sdk),
            mappings,
            world,
            key: ApiKey::generate().unwrap(),
            spawner,
            calm,
            prompt: calm,
            concurrency: usize::MAX,
            running: Cell::new(0),
            busy: Cell::new(0),
            watching: Cell::new(0),
            lives: RefCell::default(),
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

    /// Delivers an event as Lambda delivers an asynchronous one: up to three times. The last attempt has no fault.
    fn deliver(self: &Rc<Self>, what: String, event: Value, delay: u64) {
        let simulation = self.clone();
        self.work(async move {
            simulation.world.wait(delay).await;
            for pause in [60_000, 120_000, 0] {
                simulation.world.tell(|| format!("{what} is delivered"));
                match simulation.handle(event.clone(), pause > 0).await {
                    Some(Ok(_)) => return,
                    Some(Err(error)) => simulation.world.tell(|| format!("{what} failed: {error}")),
                    None => simulation.world.tell(|| format!("{what}: its handler died")),
                }
                simulation.world.wait(pause).await;
            }
            simulation.violate(format!("{what} failed for the last time"));
        });
    }

    /// Runs the event processor once. `None` if it was killed or reached its time limit.
    async fn handle(&self, event: Value, fragile: bool) -> Option<Result<Value, String>> {
        // Lambda keeps events that it cannot handle yet, and tries them again.
        while self.running.get() >= self.concurrency {
            self.world.wait(self.world.between(20, 500)).await;
        }
        self.running.set(self.running.get() + 1);
        let handled = self.handle_now(event, fragile).await;
        self.running.set(self.running.get() - 1);
        handled
    }

    async fn handle_now(&self, event: Value, fragile: bool) -> Option<Result<Value, String>> {
        let app = self.app.clone();
        let mut context = Context::default();
        context.request_id = format!("invocation-{}", self.world.between(0, u64::MAX - 1));
        let code = async move {
            event_processor::handle(&app, LambdaEvent::new(event, context)).await.map_err(|error| error.to_string())
        };
        futures_util::select_biased! {
            handled = self.world.invoke(fragile, code).fuse() => handled,
            () = self.world.wait(120_000).boxed_local().fuse() => {
                // The time limit of the function ends the invocation, for instance during frames to a viewer that takes seconds
                // for each.
                self.world.state().repeats_allowed = true;
                None
            }
        }
    }

    /// The delays of the deliveries of one event: one entry for each delivery.
    fn deliveries(&self, lost_of_thousand: u64) -> Vec<u64> {
        if self.calm {
            return vec![self.world.between(0, 100)];
        }
        if self.world.chance(lost_of_thousand) {
            return Vec::new();
        }
        let late = if self.world.chance(200) { 30_000 } else { 1500 };
        let copies = if self.world.chance(300) { self.world.between(2, 3) } else { 1 };
        (0..copies).map(|_| self.world.between(0, late)).collect()
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

    /// Starts the tasks that ECS has accepted and that have not begun.
    fn begin_lives(self: Rc<Self>) {
        for id in self.world.tasks() {
            if self.lives.borrow_mut().insert(id.clone()) {
                let simulation = self.clone();
                self.work(async move { simulation.life(id).await });
            }
        }
    }

    async fn next_beat(&self) {
        self.world.wait(BEAT - self.world.clock().millis() % BEAT).await;
    }

    /// Moves a task to its containers' start, and sends the event of it.
    fn task_runs(self: &Rc<Self>, id: &str) {
        for step in [Transition::Pending, Transition::Activating, Transition::PullStarted] {
            // The stack's rule asks for no event of these.
            self.world.advance(id, step);
        }
        let event = self.world.advance(id, Transition::Running).unwrap();
        self.tell_task(id, "RUNNING", &event);
    }

    /// Ends a task, and sends the event of it.
    fn task_stops(self: &Rc<Self>, id: &str, stop_code: &'static str, exit_code: Option<i32>) {
        self.world.advance(id, Transition::ContainersEnded);
        let reason = match stop_code {
            FAILED_TO_START => "CannotPullContainerError: pull image manifest has been retried 5 time(s)",
            _ => "Essential container in task exited",
        };
        let end = TaskEnd {
            stop_code,
            reason: reason.to_owned(),
            exit_codes: exit_code.into_iter().map(|code| ("runner".to_owned(), code)).collect(),
        };
        let event = self.world.advance(id, Transition::Stopped(end)).unwrap();
        self.tell_task(id, "STOPPED", &event);
    }

    fn tell_task(self: &Rc<Self>, id: &str, status: &str, event: &Value) {
        for delay in self.deliveries(60) {
            self.deliver(format!("{status} of {id}"), event.clone(), delay);
        }
    }

    /// A task of ECS, from its start to its end.
    async fn life(self: Rc<Self>, id: String) {
        let world = &self.world;
        let group = world.logs().group(&self.app.config.log_group).unwrap().clone();
        let stream = format!("task/runner/{id}");
        for stream in [&stream, &format!("task/sidecar/{id}")] {
            group.create_stream(stream).unwrap();
        }
        world.wait(world.between(0, 2000)).await;
        self.task_runs(&id);
        let mut last: Vec<Event> = Vec::new();
        for burst in 0..world.between(0, 14) {
            if world.task(&id).desired_status == "STOPPED" {
                break;
            }
            for batch in 0..if self.calm { world.between(1, 3) } else { 1 } {
                let mut texts: Vec<String> =
                    (0..world.between(1, 8)).map(|line| format!("line {burst}.{batch}.{line}")).collect();
                if burst == 1 && batch == 0 {
                    // A command can print what looks like the runner's last line.
                    texts[0] = format!("{END_LINE}0");
                }
                last = self.print(&id, texts, &last);
            }
            if self.calm {
                self.next_beat().await;
            } else {
                world.wait(world.between(0, 800)).await;
            }
        }
        let stop_wanted = world.task(&id).desired_status == "STOPPED";
        let exit_code = if stop_wanted { 143 } else { world.between(0, 1) as i32 };
        // A runner that is killed by SIGKILL prints no last line.
        let silent = !self.calm && world.chance(80);
        let late = if self.calm || world.chance(700) { 0 } else { world.between(0, 4000) };
        let finish = [self.last_line(&id, exit_code)];
        if !silent && late == 0 {
            self.print(&id, finish.to_vec(), &last);
        }
        self.task_stops(&id, "EssentialContainerExited", Some(if silent { 137 } else { exit_code }));
        if !silent && late > 0 {
            world.wait(late).await;
            self.print(&id, finish.to_vec(), &last);
        }
    }

    /// The runner's last line, with the nonce that the runner got.
    fn last_line(&self, id: &str, exit_code: i32) -> String {
        format!("{END_LINE}{exit_code} nonce={}", self.world.variable(id, "RUNVOY_NONCE"))
    }

    /// Delivers lines to CloudWatch, and to its subscription.
    fn print(self: &Rc<Self>, id: &str, texts: Vec<String>, before: &[Event]) -> Vec<Event> {
        let world = &self.world;
        let group = world.logs().group(&self.app.config.log_group).unwrap();
        let now = world.clock().millis() as i64;
        let stream = format!("task/runner/{id}");
        let lines: Vec<(i64, String)> = texts.into_iter().map(|text| (now, text)).collect();
        let events = group.put(&stream, &lines).unwrap();
        for delay in self.deliveries(40) {
            // A repeat is sometimes cut into other batches.
            let mut batch = events.clone();
            if !self.calm && world.chance(200) {
                batch = before.iter().cloned().chain(batch).collect();
            }
            let at = world.clock().millis() + delay;
            for event in &batch {
                self.delivered
                    .borrow_mut()
                    .entry(event.event_id.clone())
                    .and_modify(|old| *old = at.min(*old))
                    .or_insert(at);
            }
            // The nonce of the last line is another one in each simulation.
            let first = batch[0].message.split(" nonce=").next().unwrap();
            let name = format!("{} lines from {first:?} of {id}", batch.len());
            self.deliver(name, log_subscription::event(&self.app.config.log_group, &stream, &batch).unwrap(), delay);
        }
        events
    }

    /// Delivers new and handed-over connections, as the stream of the connections table does.
    fn follow_stream(self: Rc<Self>) {
        for (table, mapping) in self.mappings.clone() {
            let mut stream = self.world.dynamodb().follow(&table).unwrap();
            let simulation = self.clone();
            let following = async move {
                loop {
                    for record in stream.next(100).await.unwrap() {
                        if !mapping.wants(&record) {
                            continue;
                        }
                        for delay in simulation.deliveries(0) {
                            simulation.clone().deliver_record(record.clone(), delay);
                        }
                    }
                }
            };
            self.spawner.spawn_local(following).unwrap();
        }
    }

    /// Lambda retries a record of a stream until the function succeeds.
    fn deliver_record(self: Rc<Self>, record: Value, delay: u64) {
        let simulation = self.clone();
        self.work(async move {
            simulation.world.wait(delay).await;
            for attempt in 1..=10 {
                let handled = simulation.handle(json!({"Records": [record]}), attempt < 5).await;
                if let Some(Ok(answer)) = &handled
                    && answer["batchItemFailures"].as_array().is_some_and(Vec::is_empty)
                {
                    return;
                }
                let how = match handled {
                    Some(Ok(_)) => "it is to be delivered again".to_owned(),
                    Some(Err(error)) => error,
                    None => "its handler died".to_owned(),
                };
                simulation.world.tell(|| format!("a viewer was not served: {how}"));
                simulation.world.wait(500 * attempt).await;
            }
            simulation.violate("a viewer's record was given up".to_owned());
        });
    }

    /// A viewer that connects, disconnects, and sometimes connects again.
    async fn viewer(self: &Rc<Self>, execution: String, token: String) {
        let world = &self.world;
        if self.calm {
            world.wait(BEAT * world.between(0, 10)).await;
            self.next_beat().await;
            world.wait(world.between(0, 100)).await;
        } else {
            world.wait(world.between(0, 14_000)).await;
        }
        let (batch, wants_status) = (world.chance(500), world.chance(300));
        let slowness = if !self.calm && world.chance(150) { 4000 } else { 5 };
        let mut chain = Chain {
            execution: execution.clone(),
            wants_status,
            sessions: Vec::new(),
            opened: Vec::new(),
            stayed: false,
        };
        let mut last_event_id: Option<String> = None;
        let mut tries = 0;
        while tries < 12 {
            tries += 1;
            let connection = format!("connection-{}", world.between(0, u64::MAX - 1));
            let mut parameters = json!({"execution_id": execution, "token": token, "batch": batch.to_string(), "status": wants_status.to_string()});
            if let Some(last) = &last_event_id {
                parameters["last_event_id"] = json!(last);
            }
            let event = websocket("$connect", &connection, parameters);
            // Only the time part of the id: the rest differs from run to run.
            let after = last_event_id.as_ref().map_or("the beginning", |id| &id[..13]);
            world.tell(|| format!("{connection} asks to watch {execution} after {after}"));
            let answer = match self.handle(event, true).await {
                Some(Ok(answer)) => answer,
                failed => {
                    world.tell(|| format!("{connection} was not let in: {failed:?}"));
                    world.wait(1000).await;
                    continue;
                }
            };
            if answer["statusCode"] != 200 {
                self.violate(format!("a viewer was refused: {answer}"));
                break;
            }
            let now = world.clock().millis();
            let stuck = !self.calm && world.chance(150);
            let full = stuck.then(|| now + world.between(0, 5000)).map(|from| (from, from + world.between(0, 30_000)));
            world.state().sockets.insert(connection.clone(), Socket { slowness, full, ..Socket::default() });
            world.wait(world.between(0, 40)).await;
            world.state().sockets.get_mut(&connection).unwrap().open = true;
            chain.sessions.push(connection.clone());
            chain.opened.push(world.clock().millis());
            let leaves = if !self.calm && world.chance(250) {
                Some(world.clock().millis() + world.between(0, 8000))
            } else {
                None
            };
            let stayed = loop {
                if world.state().sockets[&connection].closed {
                    break true;
                }
                let now = world.clock().millis();
                if leaves.is_some_and(|at| now >= at) || now > chain.opened[0] + 2 * 3_600_000 {
                    break false;
                }
                // The checks are frequent while lines arrive, and rare while nothing happens.
                world.wait(50.max((now - chain.opened[0]) / 20)).await;
            };
            if stayed {
                let last_line = {
                    let state = world.state();
                    let frames = &state.sockets[&connection].frames;
                    let is_sent_off = frames.last().is_some_and(|(_, frame)| frame["type"] == "disconnect");
                    if is_sent_off { None } else { Some(lines(frames).last().map(|(_, id)| id.clone())) }
                };
                let Some(last_line) = last_line else {
                    chain.stayed = true;
                    break;
                };
                if full.is_none() {
                    self.violate(format!("{connection} reads, and was closed before the end"));
                }
                world.tell(|| format!("{connection} did not read, and was closed"));
                last_event_id = last_line.or(last_event_id);
                continue;
            }
            if leaves.is_none() {
                self.violate(format!("a viewer of {execution} waits for its end for ever"));
                break;
            }
            world.tell(|| format!("{connection} leaves"));
            let last = {
                let mut state = world.state();
                let socket = state.sockets.get_mut(&connection).unwrap();
                socket.open = false;
                lines(&socket.frames).last().map(|(_, id)| id.clone())
            };
            if world.chance(700) {
                let event = websocket("$disconnect", &connection, Value::Null);
                self.deliver(format!("the end of {connection}"), event, world.between(0, 2000));
            }
            if world.chance(300) {
                break;
            }
            last_event_id = last.or(last_event_id);
            world.wait(world.between(0, 5000)).await;
        }
        self.seen.borrow_mut().push(chain);
    }

    /// Sends a request of each kind, and notes how long it takes.
    async fn requests(self: Rc<Self>, taken: Rc<RefCell<BTreeMap<&'static str, u64>>>) {
        self.prepare().await;
        self.clone().follow_stream();
        let secret = json!({"name": "s", "key_name": "S", "value": "v"});
        assert_eq!(self.request("POST", "/secrets", &[], secret, false).await.unwrap().0, 201);
        let (_, started, _) = self.request("POST", "/run", &[], json!({"command": "c"}), false).await.unwrap();
        let id = started["execution_id"].as_str().unwrap().to_owned();
        self.clone().begin_lives();
        self.rest(|simulation| simulation.busy.get()).await;
        // The first reader completes the log.
        let logs = format!("/executions/{id}/logs");
        assert!(self.request("GET", &logs, &[], Value::Null, false).await.unwrap().1["events"].is_array());
        self.world.state().latency = Some(CALL);
        let status = format!("/executions/{id}/status");
        let run = json!({"command": "c"});
        let with_secrets = json!({"command": "c", "secrets": ["s"]});
        // The first request of a minute also writes when the key was used.
        for (name, method, path, body) in [
            ("first", "GET", "/me", &Value::Null),
            ("health", "GET", "/health", &Value::Null),
            ("status", "GET", &status, &Value::Null),
            ("list", "GET", "/executions", &Value::Null),
            ("logs", "GET", &logs, &Value::Null),
            ("me", "GET", "/me", &Value::Null),
            ("run", "POST", "/run", &run),
            ("first run with secrets", "POST", "/run", &with_secrets),
            ("run with secrets", "POST", "/run", &with_secrets),
        ] {
            let before = self.world.clock().millis();
            let (status, body, _) = self.request(method, path, &[], body.clone(), false).await.unwrap();
            assert!((200..300).contains(&status), "{name}: {status} {body}");
            taken.borrow_mut().insert(name, self.world.clock().millis() - before);
        }
    }

    /// One log with many viewers, of which some never read.
    async fn stuck(self: Rc<Self>) {
        self.prepare().await;
        self.clone().follow_stream();
        let (_, started, _) = self.request("POST", "/run", &[], json!({"command": "c"}), false).await.unwrap();
        let id = started["execution_id"].as_str().unwrap().to_owned();
        let token = started["websocket_url"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
        let group = self.world.logs().group(&self.app.config.log_group).unwrap().clone();
        for container in ["sidecar", "runner"] {
            group.create_stream(&format!("task/{container}/{id}")).unwrap();
        }
        self.task_runs(&id);
        for number in 0..VIEWERS {
            self.watch_as(&format!("connection-{number}"), &id, &token).await;
            let full = (number < STUCK).then_some((0, u64::MAX));
            self.world.state().sockets.get_mut(&format!("connection-{number}")).unwrap().full = full;
        }
        for line in 0..6 {
            self.print(&id, vec![format!("line {line}")], &[]);
            self.world.wait(5000).await;
        }
        self.print(&id, vec![format!("{END_LINE}0")], &[]);
        self.task_stops(&id, "EssentialContainerExited", Some(0));
        self.world.wait(120_000).await;
        // A stuck viewer is closed, and has seen nothing. The others have seen all, in time.
        let stuck: Vec<Chain> = self.seen.borrow_mut().drain(..STUCK).collect();
        for chain in &stuck {
            let socket = &self.world.state().sockets[&chain.sessions[0]];
            if !socket.closed || !socket.frames.is_empty() {
                self.violate(format!("{:?} reads nothing and is not closed", chain.sessions));
            }
        }
        for chain in self.seen.borrow_mut().iter_mut() {
            chain.stayed = self.world.state().sockets[&chain.sessions[0]].closed;
            if !chain.stayed {
                self.violate(format!("{:?} was not sent off", chain.sessions));
            }
        }
        if let Some(line) = self.world.state().story.iter().find(|line| line.contains("failed")) {
            self.violate(format!("a stuck viewer made an event fail: {line}"));
        }
        self.check().await;
    }

    /// One log with very many viewers.
    async fn audience(self: Rc<Self>, viewers: usize) {
        self.prepare().await;
        {
            let mut state = self.world.state();
            (state.latency, state.units) = (Some(4), Some(Units::default()));
        }
        self.clone().follow_stream();
        let (_, started, _) = self.request("POST", "/run", &[], json!({"command": "c"}), false).await.unwrap();
        let id = started["execution_id"].as_str().unwrap().to_owned();
        let token = started["websocket_url"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
        let group = self.world.logs().group(&self.app.config.log_group).unwrap().clone();
        for container in ["sidecar", "runner"] {
            group.create_stream(&format!("task/{container}/{id}")).unwrap();
        }
        self.task_runs(&id);
        for number in 0..viewers {
            let (simulation, watched, token) = (self.clone(), id.clone(), token.clone());
            self.work(async move { simulation.watch_as(&format!("connection-{number}"), &watched, &token).await });
            self.world.wait(1000 / CONNECTS).await;
            if number.is_multiple_of(50) {
                self.print(&id, vec![format!("line with {number} viewers")], &[]);
            }
        }
        self.world.wait(10_000).await;
        for line in 0..4 {
            let before = self.writes_of(&id);
            self.print(&id, vec![format!("line {line}")], &[]);
            self.world.wait(5000).await;
            // The batch and the head in a transaction, whose writes count twice, and the release. The first of these batches takes the last
            // viewers into the fan-out.
            let units = self.writes_of(&id) - before;
            if line > 0 && units != 5.0 {
                self.violate(format!("a batch with {viewers} viewers took {units} write units"));
            }
        }
        let last = self.last_line(&id, 0);
        self.print(&id, vec![last], &[]);
        self.task_stops(&id, "EssentialContainerExited", Some(0));
        self.world.wait(60_000).await;
        for chain in self.seen.borrow_mut().iter_mut() {
            chain.stayed = self.world.state().sockets[&chain.sessions[0]].closed;
            if !chain.stayed {
                self.violate(format!("{:?} was not sent off", chain.sessions));
            }
        }
        let (throttled, busiest) = {
            let state = self.world.state();
            let units = state.units.as_ref().unwrap();
            (units.throttled, units.busiest())
        };
        self.world.tell(|| format!("{throttled} throttled calls; units: {busiest:#?}"));
        if let Some(line) = self.world.state().story.iter().find(|line| line.contains("failed")) {
            self.violate(format!("an event failed: {line}"));
        }
        self.world.state().units = None;
        self.check().await;
    }

    /// The write units that the log and the viewers of an execution have taken.
    fn writes_of(&self, id: &str) -> f64 {
        self.world.state().units.as_ref().unwrap().writes_of(id)
    }

    async fn crowd(self: Rc<Self>) {
        self.prepare().await;
        self.clone().follow_stream();
        let mut ids = Vec::new();
        for number in 0..CROWD {
            let body = json!({"command": format!("command {number}")});
            let (_, started, _) = self.request("POST", "/run", &[], body, false).await.unwrap();
            let id = started["execution_id"].as_str().unwrap().to_owned();
            if number % 2 == 0 {
                let token = started["websocket_url"].as_str().unwrap().split("token=").nth(1).unwrap();
                self.watch(&id, token).await;
            }
            ids.push(id);
        }
        let group = self.world.logs().group(&self.app.config.log_group).unwrap().clone();
        // The kinds of ends: with a last line, without one, and without a start.
        let kinds = |number: usize| (number / 2) % 4;
        for (number, id) in ids.iter().enumerate().filter(|(number, _)| kinds(*number) < 3) {
            for container in ["sidecar", "runner"] {
                group.create_stream(&format!("task/{container}/{id}")).unwrap();
            }
            self.task_runs(id);
            self.print(id, vec![format!("line of {number}")], &[]);
        }
        self.world.wait(60_000).await;
        let before = self.world.state().reads_of_logs;
        for (number, id) in ids.iter().enumerate() {
            let (code, exit_code) = match kinds(number) {
                0 | 1 => ("EssentialContainerExited", Some(0)),
                2 => ("EssentialContainerExited", Some(137)),
                _ => (FAILED_TO_START, None),
            };
            if exit_code == Some(0) {
                let last = self.last_line(id, 0);
                self.print(id, vec![last], &[]);
            }
            self.task_stops(id, code, exit_code);
            self.world.wait(1000 / CROWD).await;
        }
        self.world.wait(60_000).await;
        let reads = self.world.state().reads_of_logs - before;
        self.world.tell(|| format!("{reads} reads of CloudWatch Logs"));
        // Half of these exceed the quota and are made again.
        if reads > 3 * CROWD {
            self.violate(format!("{reads} reads of CloudWatch Logs for {CROWD} ends"));
        }
        for chain in self.seen.borrow_mut().iter_mut() {
            chain.stayed = self.world.state().sockets[&chain.sessions[0]].closed;
            if !chain.stayed {
                self.violate(format!("the viewer of {} was not sent off within a minute", chain.execution));
            }
        }
        self.check().await;
    }

    /// Connects a viewer that stays.
    async fn watch(&self, execution: &str, token: &str) {
        self.watch_as(&format!("connection-of-{execution}"), execution, token).await;
    }

    async fn watch_as(&self, connection: &str, execution: &str, token: &str) {
        let connection = connection.to_owned();
        let parameters = json!({"execution_id": execution, "token": token});
        self.handle(websocket("$connect", &connection, parameters), false).await.unwrap().unwrap();
        self.world.state().sockets.insert(connection.clone(), Socket { open: true, ..Socket::default() });
        self.seen.borrow_mut().push(Chain {
            execution: execution.to_owned(),
            wants_status: false,
            sessions: vec![connection],
            opened: vec![self.world.clock().millis()],
            stayed: false,
        });
    }

    async fn check(&self) {
        let ids = self.world.tasks();
        for id in &ids {
            self.check_execution(id).await;
        }
        let listed = self.request("GET", "/executions?limit=0", &[], Value::Null, false).await;
        let count = listed.and_then(|(_, body, _)| body.as_array().map(Vec::len)).unwrap_or_default();
        if count != ids.len() {
            self.violate(format!("{count} executions for {} tasks", ids.len()));
        }
    }

    async fn check_execution(&self, id: &str) {
        let task = self.world.task(id);
        let exit_code = task.containers.iter().find(|container| container.name == "runner").unwrap().exit_code;
        let expected = match (task.stop_code.as_deref().unwrap(), exit_code) {
            ("UserInitiated", _) => ("STOPPED", 130),
            (_, Some(0)) => ("SUCCEEDED", 0),
            (_, code) => ("FAILED", code.unwrap_or(1)),
        };
        let status = self.request("GET", &format!("/executions/{id}/status"), &[], Value::Null, false).await;
        let status = status.map(|(_, body, _)| body).unwrap_or_default();
        if (status["status"].as_str(), status["exit_code"].as_i64()) != (Some(expected.0), Some(expected.1.into())) {
            self.violate(format!("{id} ended as {status}, not as {expected:?}"));
            return;
        }
        // The whole log is stored, in order, each line once.
        let printed = self.printed(id);
        let mut read = Vec::new();
        let mut path = Some(format!("/executions/{id}/logs"));
        while let Some(page) = path.take() {
            let answer = self.request("GET", &page, &[], Value::Null, false).await;
            let Some((200, body, link)) = answer else {
                self.violate(format!("the log of {id} cannot be read: {answer:?}"));
                break;
            };
            let events = body["events"].as_array().cloned().unwrap_or_default();
            read.extend(events.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()));
            path = link.map(|link| link.split(['<', '>']).nth(1).unwrap().trim_start_matches("/api/v1").to_owned());
        }
        // The log of a task that did not start says why, in a line that no container printed.
        let told = usize::from(task.stop_code.as_deref() == Some(FAILED_TO_START));
        if read.len() != printed.len() + told || !read.starts_with(&printed) {
            self.violate(format!("{id} printed {} lines, and its log has {}", printed.len(), read.len()));
        }
        // Every viewer has the order of the store.
        let mut order = Vec::new();
        let execution: ExecutionId = id.parse().unwrap();
        let mut sequence = 0;
        loop {
            let batches = store::after(&self.app, &execution, sequence).await.unwrap();
            let Some(last) = batches.last() else { break };
            sequence = last.sequence;
            order.extend(batches.into_iter().flat_map(|batch| batch.events).map(|event| event.event_id));
        }
        for chain in self.seen.borrow().iter().filter(|chain| chain.execution == id) {
            self.check_viewer(chain, &order);
        }
    }

    /// The ids of all lines of an execution, in order.
    fn printed(&self, id: &str) -> Vec<String> {
        let body = json!({"logGroupName": self.app.config.log_group, "logStreamNames": [format!("task/runner/{id}")]});
        // A task that did not start has no stream.
        let Ok(answer) = self.world.logs().call("FilterLogEvents", body.to_string().as_bytes(), Shown::ALL) else {
            return Vec::new();
        };
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let events = answer["events"].as_array().unwrap();
        events.iter().map(|event| event["eventId"].as_str().unwrap().to_owned()).collect()
    }

    fn check_viewer(&self, chain: &Chain, order: &[String]) {
        let state = self.world.state();
        let who = format!("viewer {:?} of {}", chain.sessions, chain.execution);
        let mut received: Vec<(u64, String)> = Vec::new();
        for session in &chain.sessions {
            let frames = &state.sockets[session].frames;
            let ends = frames.iter().filter(|(_, frame)| frame["type"] == "disconnect").count();
            let ends_last = frames.last().is_some_and(|(_, frame)| frame["type"] == "disconnect");
            if ends > 0 && !ends_last {
                self.violate(format!("{who} was sent something after its last frame"));
            }
            // An invocation that ends between its last frame and the update of the viewer's position makes the next one send
            // that frame again.
            if ends > 1 && !state.repeats_allowed {
                self.violate(format!("{who} was sent off {ends} times"));
            }
            if !chain.wants_status && frames.iter().any(|(_, frame)| frame["type"] == "status") {
                self.violate(format!("{who} was told a status and did not ask"));
            }
            received.extend(lines(frames));
        }
        let mut first = BTreeSet::new();
        let mut once: Vec<&String> = Vec::new();
        for (_, id) in &received {
            if first.insert(id) {
                once.push(id);
            } else if !state.repeats_allowed {
                self.violate(format!("{who} was sent the line {id} twice"));
            }
        }
        // A viewer that left has a beginning of the log. A viewer that stayed has all of it.
        let expected: Vec<&String> = order.iter().take(if chain.stayed { order.len() } else { once.len() }).collect();
        if once != expected {
            let at = once.iter().zip(&expected).take_while(|(a, b)| a == b).count();
            self.violate(format!("{who} has {} lines of {}, wrong from line {at} on", once.len(), order.len()));
        }
        let statuses: Vec<&str> = chain
            .sessions
            .iter()
            .flat_map(|session| &state.sockets[session].frames)
            .filter_map(|(_, frame)| frame["status"].as_str())
            .collect();
        let rank =
            |status: &str| ["STARTING", "RUNNING", "TERMINATING"].iter().position(|one| *one == status).unwrap_or(3);
        if chain.stayed && chain.wants_status && statuses.last().is_none_or(|last| rank(last) < 3) {
            self.violate(format!("{who} was not told the end: {statuses:?}"));
        }
        for session in &chain.sessions {
            let told: Vec<&str> =
                state.sockets[session].frames.iter().filter_map(|(_, frame)| frame["status"].as_str()).collect();
            if !told.is_sorted_by_key(|status| rank(status)) {
                self.violate(format!("{who} was told {told:?}"));
            }
        }
        if self.prompt {
            for (place, (at, id)) in received.iter().enumerate() {
                let known = self.delivered.borrow().get(id).copied().unwrap_or(u64::MAX).max(chain.opened[0]);
                let ahead = received[..place].iter().filter(|(sent, _)| *sent >= known).count() as u64;
                // The bound allows a few seconds for slow calls, and for each earlier line what its frame may take on the
                // socket: 35 ms.
                if *at > known.saturating_add(4000 + 35 * ahead) {
                    self.violate(format!("{who} waited {} ms for the line {id}", at - known));
                }
            }
        }
    }
}

/// The ids of the lines in the frames, with the time of each.
fn lines(frames: &[(u64, Value)]) -> Vec<(u64, String)> {
    let id = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
    frames
        .iter()
        .flat_map(|(at, frame)| match frame["type"].as_str() {
            Some("logs") => frame["events"].as_array().unwrap().iter().map(|event| (*at, id(event))).collect(),
            Some(_) => Vec::new(),
            None => vec![(*at, id(frame))],
        })
        .collect()
}
