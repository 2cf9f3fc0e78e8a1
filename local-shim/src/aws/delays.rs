//! Says how late AWS shows what was written. A laptop's user need not wait for that, so it applies with `--chaos` and in tests.
//!
//! AWS documents that these reads lag, and gives no figures except for task definitions. Mostly they lag less than here.

use std::time::Duration;

/// The time from the writing of a line until `FilterLogEvents` shows it.
pub const LOG_LINE: Duration = Duration::from_secs(2);

/// The time until a query of a global index sees a change of its table ("Using Global Secondary Indexes in DynamoDB").
pub const INDEX: Duration = Duration::from_secs(1);

/// The time until other calls know a task that RunTask has started ("RunTask", Amazon ECS API Reference).
pub const TASK: Duration = Duration::from_secs(1);

/// The time until DescribeTasks shows the tags of a task that RunTask has started.
pub const TAGS: Duration = Duration::from_secs(3);

/// The time that tasks can still be started from a task definition that was deregistered ("DeregisterTaskDefinition", Amazon ECS API
/// Reference).
pub const DEREGISTERED: Duration = Duration::from_mins(10);

/// The time after a registration of a task definition in which others of the same family are refused.
pub const REGISTRATION: Duration = Duration::from_millis(200);

/// The time in which Fargate takes back a task's network interface after its containers have ended. It is 15 to 60 seconds in AWS.
pub const DEPROVISIONING: Duration = Duration::from_millis(2500);

/// The time that a task spends in each state on Fargate in which its containers do not run ("Amazon ECS task lifecycle"). It takes many
/// times longer in AWS.
pub const TASK_STATE: Duration = Duration::from_millis(300);

/// The time from the start of a task's containers on Spot until AWS takes the capacity back. In AWS that may be at any time, or never.
pub const SPOT_RECLAIMED: Duration = Duration::from_secs(3);
