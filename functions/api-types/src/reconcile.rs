//! Defines the report of a reconcile.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time;

/// The report of a reconcile: what was checked, found and mended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Report))]
pub struct ReconcileReport {
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub timestamp: Timestamp,
    pub compute_status: ComputeStatus,
    pub secrets_status: SecretsStatus,
    pub identity_status: IdentityStatus,
    pub schedules_status: SchedulesStatus,
    #[serde(default)]
    pub notifications_status: NotificationsStatus,
    pub authorizer_status: AuthorizerStatus,
    pub issues: Vec<Issue>,
    /// The number of things that were mended.
    pub reconciled_count: usize,
    /// The number of things that could not be checked or mended.
    pub error_count: usize,
}

/// Task definitions of images, and tasks of executions that have not ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComputeStatus {
    pub total_resources: usize,
    pub verified_count: usize,
    pub recreated_count: usize,
    pub tag_updated_count: usize,
    pub orphaned_count: usize,
    /// Families of task definitions that belong to no image.
    pub orphaned_resources: Vec<String>,
}

/// Values of secrets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretsStatus {
    pub total_secrets: usize,
    pub verified_count: usize,
    pub tag_updated_count: usize,
    pub missing_count: usize,
    pub orphaned_count: usize,
    /// Parameters that belong to no secret.
    pub orphaned_parameters: Vec<String>,
}

/// IAM roles that tasks use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdentityStatus {
    pub default_roles_verified: bool,
    pub custom_roles_verified: usize,
    pub custom_roles_total: usize,
    pub missing_roles: Vec<String>,
}

/// Users, and the owners of images, secrets and executions that have not ended. Resources are named `kind:id`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthorizerStatus {
    pub users_with_invalid_roles: Vec<String>,
    pub users_with_missing_roles: Vec<String>,
    pub resources_with_missing_owners: Vec<String>,
    /// Owners who are not users: `kind:id:owner`.
    pub orphaned_ownerships: Vec<String>,
    /// Creators who do not own what they created: `kind:id:creator`.
    pub missing_ownerships: Vec<String>,
    pub total_users_checked: usize,
    pub total_resources_checked: usize,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Issue {
    pub resource_type: Cow<'static, str>,
    pub resource_id: String,
    pub severity: Severity,
    pub message: String,
    /// The action that was taken, or that is to be taken.
    pub action: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// It has been mended.
    Info,
    /// An admin should look at it.
    Warning,
    /// Something does not work because of it, or it could not be checked.
    Error,
}

/// Schedules, and their times in EventBridge Scheduler.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SchedulesStatus {
    pub total_schedules: usize,
    pub verified_count: usize,
    /// Schedules of the stack's group that belong to no record.
    pub orphaned_schedules: Vec<String>,
}

/// Notifications, and what is kept of them in SSM and SNS.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotificationsStatus {
    pub total_notifications: usize,
    pub verified_count: usize,
    /// Keys of notifications that do not exist, which were deleted.
    pub orphaned_keys_deleted: usize,
    /// Notifications whose key or topic is gone.
    pub incomplete_notifications: Vec<String>,
}

/// The answer to `POST /health/reconcile`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reconciled {
    pub status: String,
    #[cfg_attr(feature = "openapi", schema(value_type = ReconcileReport))]
    pub report: ReconcileReport,
}
