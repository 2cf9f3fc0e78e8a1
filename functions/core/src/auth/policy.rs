//! Authorization by `policies.cedar`, from the user and the resource of a request alone: nothing is loaded.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
    sync::LazyLock,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use strum::VariantArray as _;

use super::Principal;
use crate::{Email, Error, Result, error::Cause};

/// Everything that a caller can ask to do. The name of a variant is the action's name in `policies.cedar`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
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
    /// The kind of resource and the verb, as [`permissions`] names the action.
    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Run => ("executions", "run"),
            Self::ListExecutions => ("executions", "list"),
            Self::ReadExecution => ("executions", "read"),
            Self::ReadStatus => ("executions", "status"),
            Self::ReadLogs => ("executions", "logs"),
            Self::KillExecution => ("executions", "kill"),
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
            Self::RevokeUser => ("users", "revoke"),
            Self::Reconcile => ("health", "reconcile"),
            Self::Trace => ("requests", "trace"),
        }
    }

    /// The verb that a refusal names.
    fn verb(self) -> &'static str {
        match self.name().1 {
            "status" | "logs" => "read",
            verb => verb,
        }
    }
}

/// What an action is done to.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// runvoy as a whole: for lists, creations and operations.
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

/// The policies that are part of the program, parsed at the first use.
static POLICIES: LazyLock<PolicySet> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the text is part of the program, and tests parse it")]
    PolicySet::from_str(include_str!("policies.cedar")).expect("policies.cedar parses")
});

/// Parses the policies now (about 1 ms), so that no request waits for it.
pub fn prepare() {
    LazyLock::force(&POLICIES);
}

/// Decides whether a user may do something, from the user's role and the resource's owners.
///
/// # Errors
/// [`Error::Forbidden`] unless a policy permits it.
pub fn authorize(principal: &Principal, action: Action, resource: Resource<'_>) -> Result<()> {
    if is_permitted(principal, action, resource)? { Ok(()) } else { Err(Error::Forbidden(action.verb())) }
}

/// What a user may do to resources that other users own, as `resource:verb`, for example `executions:list`. An owner may do
/// more to what they own.
///
/// # Errors
/// [`Error::Internal`] when the policies cannot be evaluated, which is a bug.
pub fn permissions(principal: &Principal) -> Result<Vec<String>> {
    let mut permissions = Vec::new();
    for action in Action::VARIANTS {
        let (kind, verb) = action.name();
        let owners = &[];
        let resource = match (kind, action) {
            ("executions", Action::Run | Action::ListExecutions) => Resource::Account,
            ("executions", _) => Resource::Execution { id: "", owners },
            ("images", Action::ListImages | Action::RegisterImage) => Resource::Account,
            ("images", _) => Resource::Image { id: "", owners },
            ("secrets", Action::ListSecrets | Action::CreateSecret) => Resource::Account,
            ("secrets", _) => Resource::Secret { name: "", owners },
            _ => Resource::Account,
        };
        if is_permitted(principal, *action, resource)? {
            permissions.push(format!("{kind}:{verb}"));
        }
    }
    Ok(permissions)
}

fn is_permitted(principal: &Principal, action: Action, resource: Resource<'_>) -> Result<bool> {
    evaluate(principal, action, resource)
        .map_err(|cause| Error::internal_with("the policies could not be evaluated", cause))
}

fn evaluate(principal: &Principal, action: Action, resource: Resource<'_>) -> std::result::Result<bool, Cause> {
    let user = uid("User", principal.email.as_str())?;
    let attributes = HashMap::from([
        ("email".to_owned(), RestrictedExpression::new_string(principal.email.to_string())),
        ("role".to_owned(), RestrictedExpression::new_string(principal.role.to_string())),
    ]);
    let caller = Entity::new(user.clone(), attributes, HashSet::new())?;
    let target = resource_entity(resource)?;
    let request = Request::new(user, uid("Action", action.into())?, target.uid(), Context::empty(), None)?;
    let entities = Entities::from_entities([caller, target], None)?;
    Ok(Authorizer::new().is_authorized(&request, &POLICIES, &entities).decision() == Decision::Allow)
}

fn resource_entity(resource: Resource<'_>) -> std::result::Result<Entity, Cause> {
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

fn uid(kind: &str, id: &str) -> std::result::Result<EntityUid, Cause> {
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

    /// The table of roles in the API's contract, written out a second time: what each may do to resources of others.
    fn expected(role: Role, action: Action) -> bool {
        use Action::*;
        match role {
            Role::Admin => true,
            Role::Operator => !matches!(action, CreateUser | RevokeUser | Trace),
            Role::Developer => matches!(
                action,
                ListExecutions | ListImages | ReadImage | UseImage | Run | ListSecrets | CreateSecret | UseSecret
            ),
            Role::Viewer => matches!(action, ListExecutions | ReadStatus),
        }
    }

    #[test]
    fn every_role_may_do_exactly_what_the_table_says() {
        let (mine, theirs) = (Email::parse("me@example.com").unwrap(), Email::parse("you@example.com").unwrap());
        for &role in Role::VARIANTS {
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
    fn permissions_are_what_the_policies_say_of_resources_of_others() {
        let of = |role| permissions(&Principal { email: Email::parse("me@example.com").unwrap(), role }).unwrap();
        assert_eq!(of(Role::Viewer), ["executions:list", "executions:status"]);
        assert_eq!(of(Role::Admin).len(), Action::VARIANTS.len());
        let developer = of(Role::Developer);
        assert!(developer.iter().any(|one| one == "secrets:use") && !developer.iter().any(|one| one == "secrets:read"));
    }

    #[test]
    fn a_refusal_names_the_verb() {
        let viewer = Principal { email: Email::parse("v@example.com").unwrap(), role: Role::Viewer };
        let refused = authorize(&viewer, Action::Run, Resource::Account).unwrap_err();
        assert_eq!(refused.to_string(), "you do not have permission to run this resource");
    }
}
