//! Defines locks: who holds them, and who waits for them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Email, ExecutionId, positive, time};

/// A lock, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lock {
    pub name: String,
    /// The number of executions that may hold it at the same time.
    pub slots: u32,
    /// The number of executions that hold it.
    pub held: u32,
    /// The number of executions that wait for it.
    pub waiting: u32,
    /// While it is paused, it is given to no execution.
    pub paused: bool,
    /// The largest number of executions that may wait for it; no limit if absent. One that has got other locks before waits beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queue: Option<u32>,
}

/// An execution that holds a lock or waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockUse {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub execution_id: ExecutionId,
    /// The user who started the execution.
    pub created_by: Email,
    /// Since when it holds the lock, or waits for it.
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub since: Timestamp,
    /// The place in line, counted from 1. Absent for a holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
}

/// A lock with the executions that hold it, and those that wait for it, first come first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockInFull {
    #[serde(flatten)]
    pub lock: Lock,
    pub holders: Vec<LockUse>,
    pub queue: Vec<LockUse>,
}

/// The locks of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Locks {
    pub locks: Vec<LockInFull>,
}

/// A change of a lock. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetLock {
    /// The number of executions that may hold it at the same time.
    #[serde(default, deserialize_with = "positive::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 1000))]
    pub slots: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The largest number of executions that may wait for it; 0 for no limit. One that has got other locks before waits beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 1_000_000))]
    pub max_queue: Option<u32>,
}

/// A lock that is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedLock {
    pub name: String,
    pub message: String,
}
