//! Emulates AWS: the services that the functions call, with the operations that are in use. Each operation refuses what AWS
//! refuses, with AWS's own error codes, so that no request succeeds here and fails in AWS.
//!
//! With `--chaos` and in the simulation it also has AWS's quotas for calls (`quotas.rs`, of the region with the smallest) and for
//! partition keys (`dynamodb/write_units.rs`), and shows late what was written (`delays.rs`). With `--chaos`, some starts of tasks are
//! throttled by EC2 or find no room in Fargate (`faults.rs`), and tasks on Spot are interrupted. It is kinder than AWS in these respects:
//!
//! - A task is RUNNING within milliseconds, with `--chaos` within a second, where Fargate takes 20 to 60 seconds.
//! - Functions start warm, and up to 100 events of each kind are handled at the same time. An account has 10 to 1,000 in all.
//! - `FilterLogEvents` returns one stream after the other rather than sorted by time.
//! - The Scheduler sends a time within a second of it, where AWS takes up to a minute. Of the times that came while the program did not
//!   run, it sends each schedule's last one. It knows Lambda targets without a flexible window, and neither start nor end dates.
//! - Only GetRole is refused for lack of permissions. A test compares the permissions that the other calls need with the template's
//!   policies. Of a call of API Gateway it compares the API, and neither the method nor the stage.
//! - DynamoDB does not limit the items of an execution to 10 GB. Tests make calls fail as if they had reached this limit.

pub mod api_gateway;
pub mod delays;
pub mod dynamodb;
pub mod ecs;
mod error;
pub mod events;
mod exchange;
pub mod faults;
pub mod http_client;
pub mod iam;
pub mod logs;
pub mod outbox;
mod page_token;
pub mod permissions;
pub mod quotas;
pub mod scheduler;
pub mod signature;
pub mod sns;
pub mod sqs;
pub mod ssm;
pub(crate) mod state_file;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub use error::AwsError;

use crate::blocking;
pub use exchange::{Answer, Request};
pub use faults::may_conflict;

/// All emulated services.
#[derive(Clone)]
pub struct Aws {
    pub dynamodb: dynamodb::DynamoDb,
    pub ecs: ecs::Ecs,
    pub logs: logs::CloudWatchLogs,
    pub ssm: ssm::Ssm,
    pub sqs: sqs::Sqs,
    pub sns: sns::Sns,
    /// The mails and webhooks that would leave the machine.
    pub outbox: outbox::Outbox,
    pub iam: iam::Iam,
    pub scheduler: scheduler::Scheduler,
    pub api_gateway: api_gateway::ApiGateway,
    pub calls: CallLog,
    pub permissions: permissions::Needed,
    pub faults: faults::Faults,
    pub quotas: quotas::Quotas,
    /// Tells whether services show late what was written (see [`delays`]), and writes conflict.
    pub is_busy: bool,
    /// The number of calls of RunTask, by which a busy AWS chooses those that it refuses.
    pub task_starts: Arc<AtomicU64>,
    /// The calls that are being answered from databases and files.
    pub(crate) store_calls: Arc<blocking::Calls>,
}

/// In a busy AWS, EC2 throttles each RunTask whose number is a multiple of this, and the SDK repeats the call. The number is small, so
/// that a program that starts a few tasks meets it.
const THROTTLED_BY_EC2: u64 = 7;
/// In a busy AWS, each RunTask whose number is a multiple of this finds no capacity.
const NO_CAPACITY: u64 = 50;

/// The number of times that each function has called each operation. Operations are named `service:Operation`, as IAM policies name them.
#[derive(Clone, Default)]
pub struct CallLog(Arc<Mutex<HashMap<&'static str, BTreeMap<String, u64>>>>);

impl CallLog {
    fn count(&self, function: &'static str, operation: String) {
        let mut functions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *functions.entry(function).or_default().entry(operation).or_default() += 1;
    }

    /// The counts of a function so far.
    pub fn by(&self, function: &str) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(function).cloned().unwrap_or_default()
    }
}

impl Aws {
    /// Answers one call.
    pub async fn call(&self, request: Request<'_>) -> Answer {
        let Some((service, operation)) = identify(&request) else { return AwsError::unknown_service().into_answer() };
        let body = if service == "scheduler" { scheduler::whole_body(&request) } else { request.body.into() };
        let request = Request { body: &body, ..request };
        let name = format!("{service}:{operation}");
        let invocation = request.invocation.unwrap_or_default();
        let call = faults::Call { operation: &name, invocation, caller: request.caller, body: request.body };
        let fault = self.faults.of(call).or_else(|| self.fault_by_chance(service, &operation));
        let refused = self.quotas.take(&name).err();
        if let Some(caller) = request.caller {
            self.calls.count(caller, name);
            self.permissions.note(caller, service, &operation, request.body);
        }
        if let Some(refused) = refused {
            return refused.into_answer();
        }
        let Some(fault) = fault.filter(|fault| fault.concerns(service, &operation, request.body)) else {
            return self.answer(service, &operation, request).await;
        };
        let caller = request.caller;
        if fault.has_effect() {
            self.answer(service, &operation, request).await;
        }
        fault.reply(service, &operation).to(caller).await
    }

    fn shown_lines(&self) -> logs::Shown {
        if !self.is_busy {
            return logs::Shown::ALL;
        }
        let until = (jiff::Timestamp::now() - delays::LOG_LINE).as_millisecond();
        logs::Shown { until, begins_empty: one_in(3) }
    }

    /// In a busy AWS, writes to tables meet transactions now and then, EC2 throttles some of ECS's calls, and Fargate lacks room at times.
    fn fault_by_chance(&self, service: &str, operation: &str) -> Option<faults::Fault> {
        if !self.is_busy {
            return None;
        }
        if (service, operation) != ("ecs", "RunTask") {
            return one_in(50).then_some(faults::Fault::Conflicts);
        }
        match self.task_starts.fetch_add(1, Ordering::Relaxed) + 1 {
            number if number.is_multiple_of(NO_CAPACITY) => Some(faults::Fault::NoCapacity),
            number if number.is_multiple_of(THROTTLED_BY_EC2) => Some(faults::Fault::ThrottledByEc2),
            _ => None,
        }
    }

    async fn answer(&self, service: &str, operation: &str, request: Request<'_>) -> Answer {
        if service == "execute-api" {
            let answered = self.api_gateway.call(operation, request.path, request.body).await;
            return answered.unwrap_or_else(AwsError::into_answer);
        }
        self.store_calls.make(|| self.answer_from_a_store(service, operation, request))
    }

    fn answer_from_a_store(&self, service: &str, operation: &str, request: Request<'_>) -> Answer {
        let answered = match service {
            "dynamodb" => return self.dynamodb.call(operation, request.body),
            "ecs" => self.ecs.call(operation, request.body).map(Answer::json),
            "logs" => self.logs.call(operation, request.body, self.shown_lines()).map(Answer::json),
            "ssm" => self.ssm.call(operation, request.body).map(Answer::json),
            "sqs" => self.sqs.call(operation, request.body).map(Answer::json),
            "sns" => return self.sns.call(operation, request.body),
            "iam" => return self.iam.call(operation, request.body, request.caller),
            "scheduler" => self.scheduler.call(operation, request.body).map(Answer::json),
            _ => return iam::call_sts(operation),
        };
        answered.unwrap_or_else(AwsError::into_answer)
    }
}

/// The service and the operation of a request. `None` for a service that is not emulated.
pub fn identify(request: &Request<'_>) -> Option<(&'static str, String)> {
    if let Some(target) = request.target {
        let (api, operation) = target.split_once('.')?;
        let service = match api {
            "DynamoDB_20120810" => "dynamodb",
            "AmazonEC2ContainerServiceV20141113" => "ecs",
            "Logs_20140328" => "logs",
            "AmazonSSM" => "ssm",
            "AmazonSQS" => "sqs",
            _ => return None,
        };
        return Some((service, operation.to_owned()));
    }
    if let Some(operation) = scheduler::operation(request.method, request.path) {
        return Some(("scheduler", operation.to_owned()));
    }
    if request.path.contains("/@connections/") {
        let operation = match request.method {
            "POST" => "PostToConnection",
            "DELETE" => "DeleteConnection",
            _ => return None,
        };
        return Some(("execute-api", operation.to_owned()));
    }
    let body = std::str::from_utf8(request.body).ok()?;
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="))?;
    let service = match action {
        "GetCallerIdentity" => "sts",
        _ if sns::OPERATIONS.contains(&action) => "sns",
        _ => "iam",
    };
    Some((service, action.to_owned()))
}

/// Tells whether a chance of one in `many` comes up.
fn one_in(many: u128) -> bool {
    uuid::Uuid::new_v4().as_u128().is_multiple_of(many)
}
