//! Decides by `policies.cedar` what a user may do, from the user and the resource of a request alone: nothing is loaded.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
    sync::LazyLock,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use runvoy_api_types::playbook_in_source;
use strum::VariantArray as _;

use super::{Action, Principal, Role};
use crate::{Email, Error, Result, error::Cause};

/// The names of users and roles with which a resource is shared: e-mail addresses, and `role:developer`. With `None`, everyone whose role
/// allows it may use it.
pub type SharedWith<'a> = Option<&'a [String]>;

/// The resource of an action.
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
        shared_with: SharedWith<'a>,
    },
    Secret {
        name: &'a str,
        owners: &'a [Email],
        shared_with: SharedWith<'a>,
    },
    /// An execution with what it was started by, which keys can be limited to.
    ExecutionFrom {
        id: &'a str,
        owners: &'a [Email],
        source: &'a str,
        /// The users and roles who may approve it, if it needs approvals, and the user who asked for it.
        approvers: Option<&'a [String]>,
        requester: Option<&'a Email>,
    },
    /// The executions that a user started, all or those of a playbook.
    ExecutionsOf {
        user: &'a Email,
        playbook: Option<&'a str>,
    },
    Playbook {
        name: &'a str,
        owners: &'a [Email],
        shared_with: SharedWith<'a>,
    },
    Notification {
        name: &'a str,
        owners: &'a [Email],
    },
    Schedule {
        name: &'a str,
        owners: &'a [Email],
        shared_with: SharedWith<'a>,
    },
    /// The keys of a user.
    Keys {
        of: &'a Email,
    },
}

impl Resource<'_> {
    /// The name of the resource in the audit, such as `secret:prod`.
    pub fn name(&self) -> String {
        match self {
            Self::Account => "runvoy".to_owned(),
            Self::Execution { id, .. } | Self::ExecutionFrom { id, .. } => format!("execution:{id}"),
            Self::Image { id, .. } => format!("image:{id}"),
            Self::Secret { name, .. } => format!("secret:{name}"),
            Self::ExecutionsOf { user, .. } => format!("user:{user}"),
            Self::Playbook { name, .. } => format!("playbook:{name}"),
            Self::Notification { name, .. } => format!("notification:{name}"),
            Self::Schedule { name, .. } => format!("schedule:{name}"),
            Self::Keys { of } => format!("user:{of}"),
        }
    }
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
/// [`Error::Forbidden`] unless a policy permits it; [`Error::BeyondScope`] when only the key's scope stands against it.
pub fn authorize(principal: &Principal, action: Action, resource: Resource<'_>) -> Result<()> {
    if is_permitted(principal, action, resource)? {
        return Ok(());
    }
    if principal.scope.is_some() {
        let unlimited = Principal { scope: None, ..principal.clone() };
        if is_permitted(&unlimited, action, resource)? {
            return Err(Error::BeyondScope { action: action.permission(), used: None });
        }
    }
    Err(Error::Forbidden(action.verb()))
}

/// As [`authorize`], for an image or a secret that a run names: the error says which it is.
///
/// # Errors
/// [`Error::ForbiddenUse`], or [`Error::BeyondScope`].
pub fn authorize_use(principal: &Principal, resource: Resource<'_>) -> Result<()> {
    let (action, kind, name) = match resource {
        Resource::Image { id, .. } => (Action::UseImage, "image", id),
        Resource::Secret { name, .. } => (Action::UseSecret, "secret", name),
        _ => return Err(Error::internal("a run uses images and secrets only")),
    };
    authorize(principal, action, resource).map_err(|error| match error {
        Error::Forbidden(_) => Error::ForbiddenUse { kind, name: name.to_owned() },
        Error::BeyondScope { action, .. } => Error::BeyondScope { action, used: Some((kind, name.to_owned())) },
        error => error,
    })
}

/// The permissions of each role, computed at the first use: 28 µs for each action.
static PERMISSIONS: LazyLock<HashMap<Role, Vec<Action>>> = LazyLock::new(|| {
    let of = |role: Role| {
        let email = Email::parse("somebody@example.com").ok()?;
        let principal = Principal::without_key(email, role);
        let is_permitted =
            |action: &&Action| is_permitted(&principal, **action, of_others(**action, "")).unwrap_or(false);
        Some((role, Action::VARIANTS.iter().filter(is_permitted).copied().collect()))
    };
    Role::VARIANTS.iter().filter_map(|role| of(*role)).collect()
});

/// A resource of another user, to which an action can be done. Playbooks are shared with all roles.
pub(super) fn of_others(action: Action, playbook: &str) -> Resource<'_> {
    static OTHER: LazyLock<Option<Email>> = LazyLock::new(|| Email::parse("other@example.com").ok());
    static ALL_ROLES: LazyLock<Vec<String>> =
        LazyLock::new(|| Role::VARIANTS.iter().map(|role| format!("role:{role}")).collect());
    let owners = &[];
    match action {
        Action::Run | Action::ListExecutions => Resource::Account,
        Action::ListImages | Action::RegisterImage => Resource::Account,
        Action::ListSecrets | Action::CreateSecret => Resource::Account,
        Action::ListPlaybooks | Action::PublishPlaybook => Resource::Account,
        Action::ListNotifications | Action::CreateNotification => Resource::Account,
        Action::ListSchedules | Action::CreateSchedule => Resource::Account,
        _ => match (action.name().0, OTHER.as_ref()) {
            ("executions", requester) if matches!(action, Action::ApproveExecution | Action::DenyExecution) => {
                // Others than admins approve what names them, which an execution's own page asks for.
                Resource::ExecutionFrom { id: "", owners, source: "", approvers: Some(&[]), requester }
            }
            ("executions", _) => Resource::Execution { id: "", owners },
            ("images", _) => Resource::Image { id: "", owners, shared_with: None },
            ("secrets", _) => Resource::Secret { name: "", owners, shared_with: None },
            ("playbooks", _) => Resource::Playbook { name: playbook, owners, shared_with: Some(&ALL_ROLES) },
            ("notifications", _) => Resource::Notification { name: "", owners },
            ("schedules", _) => Resource::Schedule { name: "", owners, shared_with: None },
            ("keys", Some(of)) => Resource::Keys { of },
            _ => Resource::Account,
        },
    }
}

/// The actions that a user may do to resources of other users, as `resource:verb`, for example `executions:list`. An owner may do more to
/// what they own, and a limited key less.
pub fn permissions(principal: &Principal) -> Vec<String> {
    let permitted: Vec<Action> = match &principal.scope {
        None => PERMISSIONS.get(&principal.role).cloned().unwrap_or_default(),
        Some(scope) => {
            let playbook = scope.playbooks.iter().flatten().next().map_or("", String::as_str);
            let is_permitted =
                |action: &Action| is_permitted(principal, *action, of_others(*action, playbook)).unwrap_or(false);
            Action::VARIANTS.iter().copied().filter(is_permitted).collect()
        }
    };
    permitted.into_iter().map(Action::permission).collect()
}

fn is_permitted(principal: &Principal, action: Action, resource: Resource<'_>) -> Result<bool> {
    evaluate(principal, action, resource)
        .map_err(|cause| Error::internal_with("the policies could not be evaluated", cause))
}

fn evaluate(principal: &Principal, action: Action, resource: Resource<'_>) -> std::result::Result<bool, Cause> {
    let user = uid("User", principal.email.as_str())?;
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let set = |texts: &[String]| RestrictedExpression::new_set(texts.iter().map(|one| text(one)));
    let names = [principal.email.to_string(), format!("role:{}", principal.role)];
    let mut attributes = HashMap::from([
        ("email".to_owned(), text(principal.email.as_str())),
        ("role".to_owned(), text(&principal.role.to_string())),
        ("names".to_owned(), set(&names)),
    ]);
    let scope = principal.scope.as_ref();
    for (name, limits) in [
        ("actions", scope.and_then(|scope| scope.actions.as_ref())),
        ("playbooks", scope.and_then(|scope| scope.playbooks.as_ref())),
    ] {
        attributes.extend(limits.map(|limits| (name.to_owned(), set(limits))));
    }
    let caller = Entity::new(user.clone(), attributes, HashSet::new())?;
    let target = resource_entity(resource)?;
    let context = Context::from_pairs([("name".to_owned(), text(&action.permission()))])?;
    let request = Request::new(user, uid("Action", action.into())?, target.uid(), context, None)?;
    let entities = Entities::from_entities([caller, target], None)?;
    Ok(Authorizer::new().is_authorized(&request, &POLICIES, &entities).decision() == Decision::Allow)
}

fn resource_entity(resource: Resource<'_>) -> std::result::Result<Entity, Cause> {
    let playbook = match resource {
        Resource::ExecutionFrom { source, .. } => playbook_in_source(source),
        Resource::ExecutionsOf { playbook, .. } => playbook,
        Resource::Playbook { name, .. } => Some(name),
        _ => None,
    };
    let (kind, id, owners, shared_with) = match resource {
        Resource::Account => return Ok(Entity::new(uid("Account", "runvoy")?, HashMap::new(), HashSet::new())?),
        Resource::Execution { id, owners } | Resource::ExecutionFrom { id, owners, .. } => {
            ("Execution", id, owners, None)
        }
        Resource::ExecutionsOf { user, .. } => ("Executions", user.as_str(), std::slice::from_ref(user), None),
        Resource::Playbook { name, owners, shared_with } => ("Playbook", name, owners, shared_with),
        Resource::Image { id, owners, shared_with } => ("Image", id, owners, shared_with),
        Resource::Secret { name, owners, shared_with } => ("Secret", name, owners, shared_with),
        Resource::Notification { name, owners } => ("Notification", name, owners, None),
        Resource::Schedule { name, owners, shared_with } => ("Schedule", name, owners, shared_with),
        Resource::Keys { of } => ("Keys", of.as_str(), std::slice::from_ref(of), None),
    };
    let owners = owners.iter().map(|owner| RestrictedExpression::new_string(owner.to_string()));
    let mut attributes = HashMap::from([("owners".to_owned(), RestrictedExpression::new_set(owners))]);
    if let Resource::ExecutionFrom { approvers: Some(approvers), requester: Some(requester), .. } = resource {
        let approvers = approvers.iter().map(|name| RestrictedExpression::new_string(name.clone()));
        attributes.insert("approvers".to_owned(), RestrictedExpression::new_set(approvers));
        let requester = RestrictedExpression::new_string(requester.to_string());
        attributes.insert("requester".to_owned(), requester);
    }
    if let Some(name) = playbook {
        attributes.insert("playbook".to_owned(), RestrictedExpression::new_string(name.to_owned()));
    }
    if let Some(names) = shared_with {
        let names = names.iter().map(|name| RestrictedExpression::new_string(name.clone()));
        attributes.insert("shared_with".to_owned(), RestrictedExpression::new_set(names));
    }
    Ok(Entity::new(uid(kind, id)?, attributes, HashSet::new())?)
}

fn uid(kind: &str, id: &str) -> std::result::Result<EntityUid, Cause> {
    Ok(EntityUid::from_type_name_and_id(EntityTypeName::from_str(kind)?, EntityId::new(id)))
}

#[cfg(test)]
mod tests;
