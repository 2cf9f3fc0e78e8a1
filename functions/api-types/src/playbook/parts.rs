//! Defines what a published playbook brings along: the notifications that are told of its runs, and the schedules that run it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{NotificationEvent, OnMissed, ScheduleName, time};

/// A notification that is told of the runs of a playbook, besides those that it is about by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaybookNotification {
    /// The name of a notification that exists. Its receiver is not part of the playbook.
    #[cfg_attr(feature = "openapi", schema(example = "on-call"))]
    pub name: String,
    /// `failed` and `recovered` if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<NotificationEvent>,
}

/// A schedule that runs the playbook. It has one of `cron`, `rate` and `at`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaybookSchedule {
    /// The schedule's name. If absent, that of the playbook, with a number from the second schedule on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 64, pattern = "^[A-Za-z0-9._-]+$"))]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "30 2 * * 1-5"))]
    pub cron: Option<String>,
    /// Such as `5 minutes`. The first time is when the schedule is made or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// One time on the clock of the zone, such as `2027-01-31T09:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Of the IANA database; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Values by the names of parameters, as texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_missed: Option<OnMissed>,
}

/// The result of a publication for a schedule of the playbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BroughtSchedule {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: ScheduleName,
    pub change: ScheduleOutcome,
    /// The next time, unless it is paused, over or deleted.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub next_at: Option<Timestamp>,
}

/// The change that a publication made to a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ScheduleOutcome {
    Created,
    Changed,
    /// It was as the playbook says already.
    Kept,
    Deleted,
}
