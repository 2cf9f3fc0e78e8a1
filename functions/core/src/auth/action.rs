//! Names everything that a caller can ask to do.

use strum::VariantArray as _;

/// The most characters of a name in the audit that a caller made up: with 4 bytes each they fit an index key of DynamoDB, which has at most 2,048
/// bytes ("Quotas").
const MAX_NAME: usize = 200;

/// Everything that a caller can ask to do. The name of a variant is the action's name in `policies.cedar`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
pub enum Action {
    Run,
    ListExecutions,
    ReadExecution,
    ReadStatus,
    ReadLogs,
    KillExecution,
    ApproveExecution,
    DenyExecution,
    ListImages,
    ReadImage,
    RegisterImage,
    DeleteImage,
    UseImage,
    ListSecrets,
    ReadSecret,
    CreateSecret,
    UpdateSecret,
    DeleteSecret,
    UseSecret,
    ListUsers,
    CreateUser,
    UpdateUser,
    RevokeUser,
    RenewClaim,
    ListKeys,
    CreateKey,
    DeleteKey,
    OwnExecution,
    OwnImage,
    OwnSecret,
    ShareImage,
    ShareSecret,
    ListPlaybooks,
    PublishPlaybook,
    ReadPlaybook,
    UpdatePlaybook,
    DeletePlaybook,
    RunPlaybook,
    OwnPlaybook,
    SharePlaybook,
    ListLocks,
    ReadLock,
    SetLock,
    DeleteLock,
    ListNotifications,
    ReadNotification,
    CreateNotification,
    UpdateNotification,
    DeleteNotification,
    TestNotification,
    OwnNotification,
    ListSchedules,
    ReadSchedule,
    CreateSchedule,
    UpdateSchedule,
    DeleteSchedule,
    RunSchedule,
    OwnSchedule,
    ShareSchedule,
    ReadAudit,
    Reconcile,
    Trace,
}

impl Action {
    /// The kind of resource and the verb, as [`permissions`](super::policy::permissions) names the action.
    pub(super) fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Run => ("executions", "run"),
            Self::ListExecutions => ("executions", "list"),
            Self::ReadExecution => ("executions", "read"),
            Self::ReadStatus => ("executions", "status"),
            Self::ReadLogs => ("executions", "logs"),
            Self::KillExecution => ("executions", "kill"),
            Self::ApproveExecution => ("executions", "approve"),
            Self::DenyExecution => ("executions", "deny"),
            Self::ListImages => ("images", "list"),
            Self::ReadImage => ("images", "read"),
            Self::RegisterImage => ("images", "register"),
            Self::DeleteImage => ("images", "delete"),
            Self::UseImage => ("images", "use"),
            Self::ListSecrets => ("secrets", "list"),
            Self::ReadSecret => ("secrets", "read"),
            Self::CreateSecret => ("secrets", "create"),
            Self::UpdateSecret => ("secrets", "update"),
            Self::DeleteSecret => ("secrets", "delete"),
            Self::UseSecret => ("secrets", "use"),
            Self::ListUsers => ("users", "list"),
            Self::CreateUser => ("users", "create"),
            Self::UpdateUser => ("users", "update"),
            Self::RevokeUser => ("users", "revoke"),
            Self::RenewClaim => ("users", "claim"),
            Self::ListKeys => ("keys", "list"),
            Self::CreateKey => ("keys", "create"),
            Self::DeleteKey => ("keys", "delete"),
            Self::OwnExecution => ("executions", "own"),
            Self::OwnImage => ("images", "own"),
            Self::OwnSecret => ("secrets", "own"),
            Self::ShareImage => ("images", "share"),
            Self::ShareSecret => ("secrets", "share"),
            Self::ListPlaybooks => ("playbooks", "list"),
            Self::PublishPlaybook => ("playbooks", "publish"),
            Self::ReadPlaybook => ("playbooks", "read"),
            Self::UpdatePlaybook => ("playbooks", "update"),
            Self::DeletePlaybook => ("playbooks", "delete"),
            Self::RunPlaybook => ("playbooks", "run"),
            Self::OwnPlaybook => ("playbooks", "own"),
            Self::SharePlaybook => ("playbooks", "share"),
            Self::ListLocks => ("locks", "list"),
            Self::ReadLock => ("locks", "read"),
            Self::SetLock => ("locks", "set"),
            Self::DeleteLock => ("locks", "delete"),
            Self::ListNotifications => ("notifications", "list"),
            Self::ReadNotification => ("notifications", "read"),
            Self::CreateNotification => ("notifications", "create"),
            Self::UpdateNotification => ("notifications", "update"),
            Self::DeleteNotification => ("notifications", "delete"),
            Self::TestNotification => ("notifications", "test"),
            Self::OwnNotification => ("notifications", "own"),
            Self::ListSchedules => ("schedules", "list"),
            Self::ReadSchedule => ("schedules", "read"),
            Self::CreateSchedule => ("schedules", "create"),
            Self::UpdateSchedule => ("schedules", "update"),
            Self::DeleteSchedule => ("schedules", "delete"),
            Self::RunSchedule => ("schedules", "run"),
            Self::OwnSchedule => ("schedules", "own"),
            Self::ShareSchedule => ("schedules", "share"),
            Self::ReadAudit => ("audit", "read"),
            Self::Reconcile => ("health", "reconcile"),
            Self::Trace => ("requests", "trace"),
        }
    }

    /// The name of the action in permissions, in scopes of keys and in the audit, such as `secrets:read`.
    pub fn permission(self) -> String {
        let (kind, verb) = self.name();
        format!("{kind}:{verb}")
    }

    /// The resource of this name that the action would be done to, as the audit names it, such as `secret:prod`.
    pub fn resource_named(self, name: &str) -> String {
        let kind = self.name().0;
        let name: String = name.chars().take(MAX_NAME).collect();
        format!("{}:{name}", kind.strip_suffix('s').unwrap_or(kind))
    }

    /// Tells whether there is an action of this name.
    pub fn is_permission(name: &str) -> bool {
        Self::VARIANTS.iter().any(|action| name.split_once(':') == Some(action.name()))
    }

    /// The verb that a refusal names.
    pub fn verb(self) -> &'static str {
        match self.name().1 {
            "status" | "logs" => "read",
            verb => verb,
        }
    }
}
