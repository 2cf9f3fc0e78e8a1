//! Defines notifications and their deliveries as the API shows them.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Email, ExecutionId, Problem, RequestId, name, object, time};

/// The name of a notification: 1 to 64 letters, digits, dots, hyphens and underscores, and not `.` or `..`, which clients remove from a
/// URL's path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NotificationName(String);

impl NotificationName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NotificationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NotificationName {
    type Err = Problem;

    fn from_str(name: &str) -> Result<Self, Problem> {
        name::checked(name, 64).map(Self)
    }
}

/// A change of an execution that a notification can tell of.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NotificationEvent {
    /// It ended as FAILED, whether or not its command ever ran.
    Failed,
    /// It succeeded, and the one before it in its series had failed. A series is a playbook's executions, a schedule's, or those of one
    /// command of one user in one image.
    Recovered,
    /// It runs longer than its series does, or than the notification allows.
    Slow,
    /// It failed before its command ran.
    NotStarted,
    /// It waits for approvals.
    Waiting,
    /// It succeeded.
    Succeeded,
    /// Nothing has changed: the notification is tried.
    Test,
}

/// The events of a notification that names none. Successes are left out, because many of them hide the failures.
pub const DEFAULT_EVENTS: [NotificationEvent; 2] = [NotificationEvent::Failed, NotificationEvent::Recovered];

/// Where a notification goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A signed `POST`.
    Webhook {
        /// `https://…`
        url: String,
    },
    /// An incoming webhook of Slack, or of a program that takes the same.
    Slack {
        /// It is as good as a password, so that no answer has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// A mail, once the recipient has confirmed the address.
    Email { address: Email },
}

impl Channel {
    /// The name of the channel's kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Email { .. } => "email",
        }
    }
}

/// The executions that a notification is about: those for which each given part holds. Without any part, all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotificationFor {
    /// The name of a playbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
    /// The name of a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The address of the user who started them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The id of an image, or its name with or without tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The state of a notification.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum NotificationState {
    /// The recipient has not confirmed the address yet.
    Pending,
    Active,
    /// Nothing is sent: someone has paused it, or the receiver has failed for a day.
    Paused,
}

/// A notification as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notification {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: NotificationName,
    pub channel: Channel,
    pub on: Vec<NotificationEvent>,
    #[serde(default)]
    pub r#for: NotificationFor,
    /// Seconds after which an execution is slow. Absent: when it takes twice as long as its series usually does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_after: Option<u64>,
    pub state: NotificationState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_reason: Option<String>,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub created_at: Timestamp,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub updated_at: Timestamp,
    pub updated_by: Email,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_by_request_id: RequestId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub modified_by_request_id: RequestId,
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DeliveryState {
    /// It is being sent.
    Sending,
    /// The receiver took it.
    Delivered,
    /// The receiver did not take it. It is tried again.
    Retrying,
    /// The receiver did not take it within a day. A test fails after one try.
    Failed,
    /// It was not sent: the answer says why.
    Skipped,
}

impl DeliveryState {
    /// Tells whether nothing more is done about the delivery.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed | Self::Skipped)
    }
}

/// One message of a notification, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// The id of the change, which each try has, and each notification of the same change.
    pub id: String,
    pub event: NotificationEvent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub execution_id: Option<ExecutionId>,
    pub state: DeliveryState,
    /// The number of tries.
    pub attempts: u32,
    /// The time of the change.
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub time: Timestamp,
    /// The time of the last try.
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub tried_at: Timestamp,
    /// The receiver's status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// The beginning of what the receiver said, or why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// When it is tried again, while it is.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub next_try_at: Option<Timestamp>,
}

/// A page of notifications.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notifications {
    pub notifications: Vec<Notification>,
}

/// A notification to be created.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateNotification {
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "on-call")
    )]
    pub name: String,
    pub channel: Channel,
    /// `failed` and `recovered` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<NotificationEvent>>,
    #[serde(default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    pub r#for: Option<NotificationFor>,
    /// Seconds after which an execution is slow; twice as long as its series usually takes if absent or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 604_800))]
    pub slow_after: Option<u64>,
}

/// A notification that was created.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedNotification {
    pub notification: Notification,
    /// The key by which a webhook's receiver checks signatures. No other answer has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<String>,
}

/// One notification.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotificationAnswer {
    pub notification: Notification,
}

/// Changes to a notification. What is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateNotification {
    /// Another address of the same kind of channel; that of a mail stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<NotificationEvent>>,
    #[serde(default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    pub r#for: Option<NotificationFor>,
    /// 0 goes back to twice the usual time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 604_800))]
    pub slow_after: Option<u64>,
    /// `active` or `paused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NotificationState>,
}

/// A notification that was deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedNotification {
    pub name: String,
    pub message: String,
}

/// A test that is on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestedNotification {
    /// The id of its delivery.
    pub id: String,
    pub message: String,
}

/// A new signing key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotatedNotification {
    /// No other answer has it.
    pub signing_secret: String,
    /// The time until which webhooks have a signature by the key before it, too.
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub previous_until: Timestamp,
}

/// A page of deliveries.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deliveries {
    pub deliveries: Vec<Delivery>,
}
