//! Names the headings under which the documentation lists the routes.

pub(super) const EXECUTIONS: &str = "Executions";
pub(super) const IMAGES: &str = "Images";
pub(super) const SECRETS: &str = "Secrets";
pub(super) const PLAYBOOKS: &str = "Playbooks";
pub(super) const NOTIFICATIONS: &str = "Notifications";
pub(super) const SCHEDULES: &str = "Schedules";
pub(super) const USERS: &str = "Users";
pub(super) const LOCKS: &str = "Locks";
pub(super) const OPERATIONS: &str = "Operations";
