//! Authorization: `policies.cedar`, decided from the principal and the resource of the request alone.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
    sync::LazyLock,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use super::Principal;
use crate::{Error, Result, email::Email};

/// Everything that a caller can ask to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Run,
    ListExecutions,
    ReadExecution,
    ReadStatus,
    ReadLogs,
    KillExecution,
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
    RevokeUser,
    Reconcile,
    Trace,
}

impl Action {
    /// The verb that a refusal names.
    fn verb(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::ListExecutions | Self::ListImages | Self::ListSecrets | Self::ListUsers => "list",
            Self::ReadExecution | Self::ReadStatus | Self::ReadLogs | Self::ReadImage | Self::ReadSecret => "read",
            Self::KillExecution => "kill",
            Self::RegisterImage => "register",
            Self::DeleteImage | Self::DeleteSecret => "delete",
            Self::UseImage | Self::UseSecret => "use",
            Self::CreateSecret | Self::CreateUser => "create",
            Self::UpdateSecret => "update",
            Self::RevokeUser => "revoke",
            Self::Reconcile => "reconcile",
            Self::Trace => "trace",
        }
    }
}

/// What it is to be done to.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// Runvoy as a whole: what lists and creations are done to.
    Account,
    Execution {
        id: &'a str,
        owners: &'a [Email],
    },
    Image {
        id: &'a str,
        owners: &'a [Email],
    },
    Secret {
        name: &'a str,
        owners: &'a [Email],
    },
}

/// The policies that ship with the program. Parsed once, when first asked.
static POLICIES: LazyLock<PolicySet> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the text is part of the program, and tests parse it")]
    PolicySet::from_str(include_str!("policies.cedar")).expect("policies.cedar parses")
});

/// Parses the policies now, so that no request waits for it.
pub fn prepare() {
    LazyLock::force(&POLICIES);
}

/// # Errors
/// [`Error::Forbidden`] unless a policy permits it.
pub fn authorize(principal: &Principal, action: Action, resource: Resource<'_>) -> Result<()> {
    match permits(principal, action, resource) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Forbidden(action.verb())),
        Err(error) => Err(Error::Internal(format!("the policies could not be evaluated: {error}"))),
    }
}

fn permits(
    principal: &Principal,
    action: Action,
    resource: Resource<'_>,
) -> std::result::Result<bool, Box<dyn std::error::Error>> {
    let user = uid("User", principal.email.as_str())?;
    let attributes = HashMap::from([
        ("email".to_owned(), RestrictedExpression::new_string(principal.email.to_string())),
        ("role".to_owned(), RestrictedExpression::new_string(principal.role.to_string())),
    ]);
    let caller = Entity::new(user.clone(), attributes, HashSet::new())?;
    let target = resource_entity(resource)?;
    let request = Request::new(user, uid("Action", &format!("{action:?}"))?, target.uid(), Context::empty(), None)?;
    let entities = Entities::from_entities([caller, target], None)?;
    Ok(Authorizer::new().is_authorized(&request, &POLICIES, &entities).decision() == Decision::Allow)
}

fn resource_entity(resource: Resource<'_>) -> std::result::Result<Entity, Box<dyn std::error::Error>> {
    let (kind, id, owners) = match resource {
        Resource::Account => return Ok(Entity::new(uid("Account", "runvoy")?, HashMap::new(), HashSet::new())?),
        Resource::Execution { id, owners } => ("Execution", id, owners),
        Resource::Image { id, owners } => ("Image", id, owners),
        Resource::Secret { name, owners } => ("Secret", name, owners),
    };
    let owners = owners.iter().map(|owner| RestrictedExpression::new_string(owner.to_string()));
    let attributes = HashMap::from([("owners".to_owned(), RestrictedExpression::new_set(owners))]);
    Ok(Entity::new(uid(kind, id)?, attributes, HashSet::new())?)
}

fn uid(kind: &str, id: &str) -> std::result::Result<EntityUid, Box<dyn std::error::Error>> {
    Ok(EntityUid::from_type_name_and_id(EntityTypeName::from_str(kind)?, EntityId::new(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;
    use cedar_policy::{Schema, ValidationMode, Validator};

    #[test]
    fn the_policies_fit_their_schema() {
        let (schema, _) = Schema::from_cedarschema_str(include_str!("schema.cedarschema")).unwrap();
        let result = Validator::new(schema).validate(&POLICIES, ValidationMode::Strict);
        let faults: Vec<_> = result.validation_errors().map(ToString::to_string).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    const ON_ACCOUNT: &[Action] = &[
        Action::Run,
        Action::ListExecutions,
        Action::ListImages,
        Action::RegisterImage,
        Action::ListSecrets,
        Action::CreateSecret,
        Action::ListUsers,
        Action::CreateUser,
        Action::RevokeUser,
        Action::Reconcile,
        Action::Trace,
    ];
    const ON_EXECUTION: &[Action] =
        &[Action::ReadExecution, Action::ReadStatus, Action::ReadLogs, Action::KillExecution];
    const ON_IMAGE: &[Action] = &[Action::ReadImage, Action::DeleteImage, Action::UseImage];
    const ON_SECRET: &[Action] = &[Action::ReadSecret, Action::UpdateSecret, Action::DeleteSecret, Action::UseSecret];

    /// The contract's table, written out a second time: what each role may do to what it does not own.
    fn expected(role: Role, action: Action) -> bool {
        use Action::*;
        match role {
            Role::Admin => true,
            Role::Operator => !matches!(action, CreateUser | RevokeUser | Trace),
            Role::Developer => matches!(
                action,
                ListExecutions
                    | ListImages
                    | ReadImage
                    | UseImage
                    | Run
                    | ListSecrets
                    | CreateSecret
                    | UpdateSecret
                    | DeleteSecret
                    | UseSecret
            ),
            Role::Viewer => matches!(action, ListExecutions | ReadStatus),
        }
    }

    #[test]
    fn every_role_may_do_exactly_what_the_table_says() {
        let (mine, theirs) = (Email::parse("me@example.com").unwrap(), Email::parse("you@example.com").unwrap());
        for role in Role::ALL {
            let principal = Principal { email: mine.clone(), role };
            for action in ON_ACCOUNT {
                let allowed = authorize(&principal, *action, Resource::Account).is_ok();
                assert_eq!(allowed, expected(role, *action), "{role} {action:?}");
            }
            for (actions, kind) in [(ON_EXECUTION, 0), (ON_IMAGE, 1), (ON_SECRET, 2)] {
                for action in actions {
                    for (owner, owned) in [(&mine, true), (&theirs, false)] {
                        let owners = std::slice::from_ref(owner);
                        let resource = match kind {
                            0 => Resource::Execution { id: "x", owners },
                            1 => Resource::Image { id: "x", owners },
                            _ => Resource::Secret { name: "x", owners },
                        };
                        let allowed = authorize(&principal, *action, resource).is_ok();
                        assert_eq!(allowed, owned || expected(role, *action), "{role} {action:?} owned: {owned}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_refusal_names_the_verb() {
        let viewer = Principal { email: Email::parse("v@example.com").unwrap(), role: Role::Viewer };
        let refused = authorize(&viewer, Action::Run, Resource::Account).unwrap_err();
        assert_eq!(refused.to_string(), "you do not have permission to run this resource");
    }
}
