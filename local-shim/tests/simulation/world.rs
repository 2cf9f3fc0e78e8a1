//! AWS as the simulated handlers meet it: the emulated DynamoDB and CloudWatch Logs with calls that take time and fail, sockets
//! that append to a list, and an ECS whose tasks the scenario controls.

mod tasks;

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use local_shim::aws::{
    Answer, AwsError, delays,
    dynamodb::DynamoDb,
    ecs::{Cluster, runner::TaskSpec},
    faults::{Fault, Reply, throttled},
    http_client::path_of,
    identify,
    logs::{CloudWatchLogs, Shown},
    quotas::{self, Quotas},
};
use serde_json::Value;

use crate::{
    clock::Clock,
    invocation::{self, Invocation, OwnedRequest},
    planted::Planted,
    random::Random,
    units::Units,
};

#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    pub clock: Clock,
    pub dynamodb: DynamoDb,
    pub logs: CloudWatchLogs,
    cluster: Mutex<Cluster>,
    quotas: Quotas,
    planted: Option<Planted>,
    state: Mutex<State>,
}

pub struct State {
    pub random: Random,
    /// The milliseconds that each call takes, where all take the same.
    pub latency: Option<u64>,
    /// How many more faults may happen.
    pub faults: u32,
    /// How many of these faults may lead to a repeated line at a viewer.
    pub repeats_allowed: bool,
    invocations: usize,
    /// The invocations whose calls may fail.
    fragile: HashSet<usize>,
    crashed: HashSet<usize>,
    /// The invocations that have released a viewer's lease, for [`Planted::NoSecondLook`].
    pub let_go: HashSet<usize>,
    /// The tasks that ECS has started, by id, with the containers that they are to run.
    specs: BTreeMap<String, TaskSpec>,
    /// The client tokens with which these tasks were started.
    tokens: HashSet<String>,
    /// The client tokens of the calls of RunTask that are under way, with the invocation of each.
    starting: Vec<(String, usize)>,
    /// The starts of an attempt that came while another invocation was starting it.
    pub double_starts: Vec<String>,
    /// How many more calls of RunTask may be refused, because Fargate has no room or the quota of vCPUs is used up.
    pub no_room: u32,
    /// The number of calls of each operation.
    calls: BTreeMap<String, u64>,
    /// The number of DynamoDB's calls that may have written.
    pub writes: u64,
    /// The messages that were put into a queue: when each is due, in milliseconds, and its body.
    pub messages: Vec<(u64, String)>,
    /// The number of times that CloudWatch Logs was asked for lines, with the calls that exceeded the quota.
    pub reads_of_logs: u64,
    pub sockets: BTreeMap<String, Socket>,
    /// The units of DynamoDB that each key has left. Absent where keys have no quota.
    pub units: Option<Units>,
    /// What happened, for the person who reads the log of a seed.
    pub story: Vec<String>,
}

/// A viewer's end of a connection.
#[derive(Default)]
pub struct Socket {
    /// Tells whether the handshake is over and the viewer is connected.
    pub open: bool,
    /// The greatest delay of a frame, in milliseconds.
    pub slowness: u64,
    /// From when until when the viewer reads nothing and its buffer is full.
    pub full: Option<(u64, u64)>,
    /// The frames, with the time of each.
    pub frames: Vec<(u64, Value)>,
    /// Tells whether the server has closed the connection.
    pub closed: bool,
}

impl World {
    pub fn new(
        clock: Clock,
        dynamodb: DynamoDb,
        logs: CloudWatchLogs,
        cluster: Cluster,
        random: Random,
        planted: Option<Planted>,
    ) -> Self {
        let state = State {
            random,
            latency: None,
            faults: 0,
            repeats_allowed: false,
            invocations: 0,
            fragile: HashSet::new(),
            crashed: HashSet::new(),
            let_go: HashSet::new(),
            specs: BTreeMap::new(),
            tokens: HashSet::new(),
            starting: Vec::new(),
            double_starts: Vec::new(),
            no_room: 0,
            calls: BTreeMap::new(),
            writes: 0,
            messages: Vec::new(),
            reads_of_logs: 0,
            sockets: BTreeMap::new(),
            units: None,
            story: Vec::new(),
        };
        Self(Arc::new(Shared {
            clock,
            dynamodb,
            logs,
            cluster: Mutex::new(cluster),
            quotas: Quotas::of_new_account(quotas::STRICTEST_REGION),
            planted,
            state: Mutex::new(state),
        }))
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn logs(&self) -> &CloudWatchLogs {
        &self.0.logs
    }

    /// The number of calls of each operation so far.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.state().calls.clone()
    }

    /// The number of calls of each operation that a quota has refused so far.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let calls = self.calls();
        let refused = calls.keys().map(|operation| (operation.clone(), self.0.quotas.refused(operation)));
        refused.filter(|(_, refused)| *refused > 0).collect()
    }

    pub fn dynamodb(&self) -> &DynamoDb {
        &self.0.dynamodb
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub fn between(&self, low: u64, high: u64) -> u64 {
        self.state().random.between(low, high)
    }

    pub fn chance(&self, of_thousand: u64) -> bool {
        self.state().random.chance(of_thousand)
    }

    pub async fn wait(&self, milliseconds: u64) {
        self.0.clock.wait(Duration::from_millis(milliseconds)).await;
    }

    pub fn tell(&self, what: impl FnOnce() -> String) {
        let text = format!("{:>8} {}", self.0.clock.millis() % 100_000_000, what());
        self.state().story.push(text);
    }

    pub fn planted(&self) -> Option<Planted> {
        self.0.planted
    }

    /// Tells whether an invocation was killed.
    pub fn has_crashed(&self, invocation: usize) -> bool {
        self.state().crashed.contains(&invocation)
    }

    /// Runs a handler's code as one invocation. `None` if it was killed.
    pub fn invoke<F: Future>(&self, fragile: bool, code: F) -> Invocation<F> {
        let mut state = self.state();
        state.invocations += 1;
        let number = state.invocations;
        if fragile {
            state.fragile.insert(number);
        }
        Invocation::new(self.clone(), number, code)
    }

    fn fault(&self, invocation: usize, operation: &str) -> Option<Fault> {
        let mut state = self.state();
        if state.faults == 0 || !state.fragile.contains(&invocation) || !state.random.chance(60) {
            return None;
        }
        state.faults -= 1;
        let fault = match state.random.between(0, 6) {
            0 => Fault::Fails,
            1 => Fault::Throttled,
            2 => Fault::Hangs,
            3 => Fault::KillsBefore,
            4 => Fault::KillsAfter,
            5 => Fault::Conflicts,
            _ => Fault::Lost,
        };
        // A handler that is killed, or whose answer is lost, after it sent a frame makes the next invocation send that frame
        // again.
        state.repeats_allowed = true;
        drop(state);
        self.tell(|| format!("invocation {invocation}: {operation} {fault:?}"));
        Some(fault)
    }

    pub async fn call(&self, request: OwnedRequest) -> Answer {
        let invocation = invocation::current();
        let Some((service, operation)) = identify(&request.borrow()) else {
            return AwsError::unknown_operation().into_answer();
        };
        let _under_way = (operation == "RunTask").then(|| self.begin_start(invocation, &request.body));
        let latency = self.state().latency;
        if let Some(latency) = latency {
            self.wait(latency).await;
            return self.answer(invocation, service, &operation, request).await;
        }
        // The latency of a call, on each way. One invocation in eight has a slow connection to its tables.
        let slowest = if service == "dynamodb" && invocation.is_multiple_of(8) { 300 } else { 15 };
        self.wait(self.between(0, slowest)).await;
        let fault = self.fault(invocation, &operation);
        let Some(fault) = fault.filter(|fault| fault.concerns(service, &operation, &request.body)) else {
            let answer = self.answer(invocation, service, &operation, request).await;
            self.wait(self.between(0, slowest)).await;
            return answer;
        };
        if fault.has_effect() {
            self.answer(invocation, service, &operation, request).await;
        }
        match fault.reply(service, &operation) {
            Reply::Answer(answer) => answer,
            Reply::Never => std::future::pending().await,
            Reply::CallerDies => self.crash(invocation).await,
        }
    }

    async fn crash(&self, invocation: usize) -> Answer {
        self.state().crashed.insert(invocation);
        std::future::pending().await
    }

    async fn answer(&self, invocation: usize, service: &str, operation: &str, mut request: OwnedRequest) -> Answer {
        let now = Duration::from_millis(self.0.clock.millis());
        {
            let mut state = self.state();
            state.reads_of_logs += u64::from(service == "logs");
            state.writes +=
                u64::from(service == "dynamodb" && !["GetItem", "Query", "Scan", "BatchGetItem"].contains(&operation));
            *state.calls.entry(format!("{service}:{operation}")).or_default() += 1;
        }
        if let Err(refused) = self.0.quotas.take_at(&format!("{service}:{operation}"), now) {
            self.tell(|| format!("invocation {invocation}: {operation} exceeds its quota"));
            return refused.into_answer();
        }
        match service {
            "dynamodb" => {
                self.spoil_request(operation, &mut request.body);
                if self.state().units.as_mut().is_some_and(|units| !units.take_writes(operation, &request.body, now)) {
                    self.tell(|| format!("invocation {invocation}: {operation} is throttled"));
                    return throttled(service, operation);
                }
                let mut answer = self.0.dynamodb.call_at(operation, &request.body, now);
                if let Some(units) = &mut self.state().units {
                    units.take_reads(operation, &request.body, answer.body.len(), now);
                }
                self.spoil_answer(invocation, operation, &request.body, &mut answer);
                answer
            }
            "logs" => match self.0.logs.call(operation, &request.body, self.shown_lines(now)) {
                Ok(body) if self.0.planted == Some(Planted::OtherIds) => json_answer(
                    String::from_utf8(body).unwrap().replace("\"eventId\":\"1", "\"eventId\":\"3").into_bytes(),
                ),
                Ok(body) => json_answer(body),
                Err(error) => error.into_answer(),
            },
            "execute-api" => self.socket(operation, &request).await,
            "ecs" => self.ecs(operation, &request.body),
            "sqs" => {
                let sent: Value = serde_json::from_slice(&request.body).unwrap();
                let due = self.clock().millis() + 1000 * sent["DelaySeconds"].as_u64().unwrap_or_default();
                self.state().messages.push((due, sent["MessageBody"].as_str().unwrap().to_owned()));
                json_answer(br#"{"MessageId": "1", "MD5OfMessageBody": "1"}"#.to_vec())
            }
            "iam" => {
                let body = "<GetRoleResponse><GetRoleResult><Role><Path>/</Path><RoleName>r</RoleName><RoleId>r</RoleId>\
                    <Arn>arn:aws:iam::000000000000:role/r</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>\
                    </GetRoleResult></GetRoleResponse>";
                Answer { status: 200, content_type: "text/xml", body: body.into() }
            }
            _ => json_answer(br#"{"Parameters": []}"#.to_vec()),
        }
    }

    fn shown_lines(&self, now: Duration) -> Shown {
        Shown { until: (now - delays::LOG_LINE).as_millis() as i64, begins_empty: self.chance(300) }
    }

    async fn socket(&self, operation: &str, request: &OwnedRequest) -> Answer {
        let id = path_of(&request.uri).rsplit_once("/@connections/").unwrap().1.to_owned();
        let gone = || AwsError { status: 410, ..AwsError::new("GoneException", "") }.into_answer();
        let slowness = {
            let mut state = self.state();
            let Some(slowness) = state.sockets.get(&id).filter(|socket| socket.open).map(|socket| socket.slowness)
            else {
                return gone();
            };
            state.random.between(0, slowness)
        };
        self.wait(slowness).await;
        let now = self.0.clock.millis();
        let mut state = self.state();
        let Some(socket) = state.sockets.get_mut(&id).filter(|socket| socket.open) else { return gone() };
        if operation == "PostToConnection" && socket.full.is_some_and(|(from, until)| (from..until).contains(&now)) {
            return AwsError { status: 429, ..AwsError::new("LimitExceededException", "") }.into_answer();
        }
        if operation == "PostToConnection" {
            assert!(request.body.len() <= 128 * 1024, "a frame of {} bytes", request.body.len());
            socket.frames.push((now, serde_json::from_slice(&request.body).unwrap()));
            if self.0.planted == Some(Planted::PostAbandoned) && slowness > 300 {
                return AwsError::internal(&"abandoned").into_answer();
            }
        } else {
            socket.closed = true;
            socket.open = false;
        }
        json_answer(Vec::new())
    }
}

fn json_answer(body: Vec<u8>) -> Answer {
    Answer { status: 200, content_type: "application/x-amz-json-1.1", body }
}
