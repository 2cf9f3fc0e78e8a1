//! Calls that go wrong on purpose, to see what becomes of those who make them.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use super::{Answer, AwsError};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing has happened.
    Fails,
    /// It takes effect, and its answer is lost.
    Lost,
    /// It is one too many.
    Throttled,
    /// It does not take effect, and is never answered.
    Hangs,
}

/// A call, as a plan sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `service:Operation`.
    pub operation: &'a str,
    /// The same for every try of one call ("amz-sdk-invocation-id").
    pub invocation: &'a str,
}

/// Decides of each call whether and how it goes wrong.
pub type Plan = Arc<dyn Fn(Call<'_>) -> Option<Fault> + Send + Sync>;

/// What is planned; nothing, unless somebody sets it.
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
    /// What the caller sees in place of the answer.
    pub(super) async fn answer(self, service: &str) -> Answer {
        match self {
            Self::Hangs => {
                // Longer than any caller waits.
                tokio::time::sleep(Duration::from_secs(3600)).await;
                AwsError::internal(&"hung").into_answer()
            }
            Self::Throttled if service == "dynamodb" => {
                AwsError::new("ProvisionedThroughputExceededException", "planned").into_answer()
            }
            Self::Throttled => AwsError::new("ThrottlingException", "planned: rate exceeded").into_answer(),
            Self::Fails | Self::Lost => AwsError::internal(&"planned").into_answer(),
        }
    }
}
