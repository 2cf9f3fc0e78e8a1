//! Defines what travels between the API and its clients: resources, requests, statuses, roles, error codes, headers and limits.
//!
//! The server and the command line use these types, so a field has one name and one meaning. The console's are made from
//! `docs/openapi.json`, which is made from these.

mod approval;
mod audit;
mod email;
mod error;
mod execution;
mod execution_id;
pub mod fargate;
pub mod frame;
pub mod headers;
mod health;
mod host;
mod image;
mod key;
pub mod limits;
mod lock;
mod log_event;
mod name;
mod notification;
pub mod object;
pub mod playbook;
mod playbook_name;
pub mod positive;
mod reconcile;
mod request_id;
mod requested_value;
mod retry;
mod role;
mod run;
mod runtime_platform;
mod schedule;
mod schedule_name;
mod secret;
mod secret_name;
mod sharing;
mod span;
mod status;
pub mod text;
pub mod time;
mod trace;
mod user;

pub use approval::{Approval, Approvals, Decide, Decided, Decision};
pub use audit::{Audit, AuditEntry, Outcome};
pub use email::Email;
pub use error::{ErrorBody, ErrorCode, Problem};
pub use execution::{
    Asked, AskedAgain, Ending, Execution, ExecutionInFull, ExecutionStatus, Killed, OnConflict, PLAYBOOK_SOURCE, RunIf,
    Timing, plain_reason, playbook_in_source,
};
pub use execution_id::{ExecutionId, NotAnExecutionId};
pub use health::Health;
pub use host::is_loopback;
pub use image::{Image, ImageAnswer, ImageId, Images, RegisterImage};
pub use key::{CreateKey, CreatedKey, DeletedKey, Key, KeyScope, Keys};
pub use lock::{DeletedLock, Lock, LockInFull, LockUse, Locks, SetLock};
pub use log_event::{END_LINE, LogEvent, Logs};
pub use notification::{
    Channel, CreateNotification, CreatedNotification, DEFAULT_EVENTS, DeletedNotification, Deliveries, Delivery,
    DeliveryState, Notification, NotificationAnswer, NotificationEvent, NotificationFor, NotificationName,
    NotificationState, Notifications, RotatedNotification, TestedNotification, UpdateNotification,
};
pub use playbook::{
    BroughtSchedule, CheckPlaybook, CheckedPlaybook, DeletedPlaybook, Parameter, ParameterType, Playbook,
    PlaybookAnswer, PlaybookNotification, PlaybookSchedule, PlaybookSummary, PlaybookVersion, PlaybookVersions,
    Playbooks, PublishedPlaybook, RunPlaybook, ScheduleOutcome,
};
pub use playbook_name::PlaybookName;
pub use reconcile::{
    AuthorizerStatus, ComputeStatus, IdentityStatus, Issue, NotificationsStatus, ReconcileReport, Reconciled,
    SchedulesStatus, SecretsStatus, Severity,
};
pub use request_id::RequestId;
pub use requested_value::RequestedValue;
pub use retry::{EarlierAttempt, Retry, RetryOn};
pub use role::Role;
pub use run::{OneOrMore, Run, Started};
pub use runtime_platform::RuntimePlatform;
pub use schedule::{
    CreateSchedule, DeletedSchedule, NextTimes, OnMissed, Schedule, ScheduleAnswer, ScheduledPlaybook, ScheduledRun,
    ScheduledTime, Schedules, UpdateSchedule,
};
pub use schedule_name::ScheduleName;
pub use secret::{CreateSecret, DeletedSecret, Message, Secret, SecretAnswer, Secrets, UpdateSecret};
pub use secret_name::SecretName;
pub use sharing::{Owners, SetOwners, SetSharing, Sharing};
pub use span::Span;
pub use status::Status;
pub use trace::{RelatedResources, Trace};
pub use user::{
    Claimed, CreateUser, CreatedUser, ListedUser, Me, RenewedClaim, RevokeUser, RevokedUser, UpdateUser, UpdatedUser,
    User, Users,
};
