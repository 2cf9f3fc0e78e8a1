//! Makes calls fail on purpose, so that tests see how the functions react.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use super::{AwsError, exchange::Answer, iam};

/// The time after which a call that hangs is answered. No caller waits for so long.
const TOO_LONG: Duration = Duration::from_hours(1);

/// Tells whether an operation fails when another call changes the same thing at the same time: a write to a table during a transaction, or
/// a registration of a family during another.
pub fn may_conflict(service: &str, operation: &str) -> bool {
    match service {
        "dynamodb" => matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems"),
        "ecs" => operation == "RegisterTaskDefinition",
        _ => false,
    }
}

/// The way in which a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no effect, and an error is answered.
    Fails,
    /// It has its effect, and an error is answered.
    Lost,
    /// It has no effect, because too many calls were made.
    Throttled,
    /// It has no effect, because another call changes the same thing at the same time. Calls for which AWS has no such error are
    /// answered as usual: see [`may_conflict`].
    Conflicts,
    /// It has no effect, because the items with its partition key have reached 10 GB. Calls other than transactions that put
    /// items are answered as usual.
    Full,
    /// It has no effect, because EC2, which RunTask calls, throttles it. ECS hides that in an error of another kind. Calls other than
    /// RunTask are answered as usual.
    ThrottledByEc2,
    /// RunTask starts no task, because Fargate has no room in these zones at the moment, and says so in an answer of status 200. Other
    /// calls are answered as usual.
    NoCapacity,
    /// RunTask starts no task, because the account's quota of vCPUs is used up. Other calls are answered as usual.
    NoVcpus,
    /// RunTask starts no task, because a security group of the request is gone. Other calls are answered as usual.
    NoSecurityGroup,
    /// It has no effect, and is never answered.
    Hangs,
    /// It has no effect, and its caller dies.
    KillsBefore,
    /// It has its effect, and its caller dies.
    KillsAfter,
}

/// The consequence of a fault for the caller.
pub enum Reply {
    Answer(Answer),
    /// There is none.
    Never,
    /// The invocation that calls ends here.
    CallerDies,
}

/// A call, in the view of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `service:Operation`.
    pub operation: &'a str,
    /// The header `amz-sdk-invocation-id`, which is the same for all tries of one call.
    pub invocation: &'a str,
    /// The function that calls; absent for a caller outside this process.
    pub caller: Option<&'static str>,
    /// As it was sent: JSON, for most services.
    pub body: &'a [u8],
}

/// Decides for each call whether and how it fails.
pub type Plan = Arc<dyn Fn(Call<'_>) -> Option<Fault> + Send + Sync>;

/// The current plan, if there is one.
#[derive(Clone, Default)]
pub struct Faults(Arc<RwLock<Option<Plan>>>);

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

impl Faults {
    pub fn set(&self, plan: Option<Plan>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    pub(super) fn of(&self, call: Call<'_>) -> Option<Fault> {
        let plan = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        plan.and_then(|plan| plan(call))
    }
}

impl Fault {
    /// Tells whether a call can fail in this way. If it cannot, it is answered as usual.
    pub fn concerns(self, service: &str, operation: &str, body: &[u8]) -> bool {
        match self {
            Self::Conflicts => super::may_conflict(service, operation),
            Self::Full => puts_in_transaction(operation, body),
            Self::ThrottledByEc2 | Self::NoCapacity | Self::NoVcpus | Self::NoSecurityGroup => {
                (service, operation) == ("ecs", "RunTask")
            }
            Self::Fails | Self::Lost | Self::Throttled | Self::Hangs | Self::KillsBefore | Self::KillsAfter => true,
        }
    }

    /// Tells whether the call has its effect all the same.
    pub fn has_effect(self) -> bool {
        matches!(self, Self::Lost | Self::KillsAfter)
    }

    /// The reply to a call that fails, in place of the service's own.
    pub fn reply(self, service: &str, operation: &str) -> Reply {
        Reply::Answer(match self {
            Self::Hangs => return Reply::Never,
            Self::KillsBefore | Self::KillsAfter => return Reply::CallerDies,
            Self::Conflicts => conflict(operation),
            Self::Full => cancelled("ItemCollectionSizeLimitExceeded", "Collection size exceeded."),
            Self::Throttled => throttled(service, operation),
            Self::ThrottledByEc2 => throttled_by_ec2(),
            Self::NoCapacity => no_capacity(),
            Self::NoVcpus => no_vcpus(),
            Self::NoSecurityGroup => no_security_group(),
            Self::Fails | Self::Lost => AwsError::internal(&"planned").into_answer(),
        })
    }
}

impl Reply {
    /// Gives the reply to a function of this process, or to a program outside, which cannot be killed and gets no answer.
    pub(super) async fn to(self, caller: Option<&'static str>) -> Answer {
        match (self, caller) {
            (Self::Answer(answer), _) => answer,
            // The function's runtime catches it, as it does when the function panics.
            (Self::CallerDies, Some(_)) => std::panic::resume_unwind(Box::new("killed by a planned fault")),
            (Self::CallerDies, None) | (Self::Never, _) => {
                tokio::time::sleep(TOO_LONG).await;
                AwsError::internal(&"hung").into_answer()
            }
        }
    }
}

fn puts_in_transaction(operation: &str, body: &[u8]) -> bool {
    operation == "TransactWriteItems" && body.windows(5).any(|part| part == b"\"Put\"")
}

/// The answer to a write that conflicts with a transaction ("TransactionConflictException" and "TransactionCanceledException", DynamoDB
/// API Reference), or to a registration during another of the same family, which AWS does not document.
fn conflict(operation: &str) -> Answer {
    let ongoing = "Transaction is ongoing for the item";
    match operation {
        "RegisterTaskDefinition" => AwsError::new("ClientException", super::ecs::CONCURRENT_REGISTRATION).into_answer(),
        "TransactWriteItems" => cancelled("TransactionConflict", ongoing),
        _ => AwsError::new("TransactionConflictException", ongoing).into_answer(),
    }
}

/// The answer to a call for which there were too many. A throttled transaction is cancelled with a reason ("TransactionCanceledException",
/// DynamoDB API Reference), which the SDK does not take for throttling and does not repeat.
pub fn throttled(service: &str, operation: &str) -> Answer {
    match (service, operation) {
        ("dynamodb", "TransactWriteItems") => {
            cancelled("ThrottlingError", "Throughput exceeds the current capacity of your table or index.")
        }
        ("dynamodb", _) => AwsError::new("ProvisionedThroughputExceededException", "planned").into_answer(),
        // "Common Error Types" of the APIs with the query protocol.
        ("iam" | "sns", _) => iam::error(400, "Throttling", "planned: rate exceeded"),
        _ => AwsError::new("ThrottlingException", "planned: rate exceeded").into_answer(),
    }
}

/// The answer to a RunTask whose calls of EC2 are throttled. The error's code is that of a wrong request, and only its message tells.
/// AWS does not document it; users have met it (dagster-io/dagster, issue 33439; dask/dask-cloudprovider, issue 56).
fn throttled_by_ec2() -> Answer {
    let message = "Error retrieving subnet information for [subnet-0]: Rate exceeded (ErrorCode: Throttling)";
    AwsError::new("InvalidParameterException", message).into_answer()
}

/// The answer to a RunTask for which Fargate has no room at the moment ("API failure reasons", Amazon ECS Developer Guide).
fn no_capacity() -> Answer {
    let reason = "Capacity is unavailable at this time. Please try again later or in a different availability zone";
    Answer::json(serde_json::json!({"tasks": [], "failures": [{"reason": reason}]}).to_string().into_bytes())
}

/// The answer to a RunTask beyond the quota of vCPUs ("AWS Fargate service quotas", Amazon ECS Developer Guide, which does not have the
/// words; users have met them).
fn no_vcpus() -> Answer {
    AwsError::new("ClientException", "You've reached the limit on the number of vCPUs you can run concurrently")
        .into_answer()
}

/// The answer to a RunTask with a security group that is gone. AWS does not document the words; users have met them (aws/containers-roadmap).
fn no_security_group() -> Answer {
    let message = "Error retrieving security group information for [sg-0]: The security group 'sg-0' does not exist";
    AwsError::new("InvalidParameterException", message).into_answer()
}

/// The answer to a transaction that is cancelled for one of its writes.
fn cancelled(code: &str, message: &str) -> Answer {
    let body = serde_json::json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{code}]"),
        "CancellationReasons": [{"Code": code, "Message": message}],
    });
    Answer { status: 400, content_type: "application/x-amz-json-1.0", body: body.to_string().into_bytes() }
}
