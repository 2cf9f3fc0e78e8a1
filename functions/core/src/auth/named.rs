//! Decides how a caller is answered who names a resource, so that no answer tells names that the caller may not see.
//!
//! A resource that is not listed to the caller is answered as one that does not exist. A caller who may not list resources of its kind at all
//! is refused whatever the name, whether there is such a resource or not.

use runvoy_api_types::ImageId;

use super::{
    Action, Principal, Resource,
    policy::{authorize, authorize_use},
};
use crate::{Email, Error, Result};

/// The answer to a caller who may not do what they ask.
#[derive(Debug)]
pub enum NamedRefusal {
    /// The caller may not do this. The audit keeps it.
    Refused(Error),
    /// There is such a resource, which the caller may not see. The answer is that of a missing one, and the audit keeps the refusal.
    Hidden(Error),
    /// There is no such resource.
    Missing,
}

/// Decides whether a user may do something to the resource of this name, which is `None` if it does not exist.
///
/// # Errors
/// The way in which to answer otherwise.
pub fn authorize_named(
    principal: &Principal,
    action: Action,
    name: &str,
    found: Option<Resource<'_>>,
) -> Result<(), NamedRefusal> {
    let may = |action, resource| authorize(principal, action, resource);
    match found {
        Some(resource) => may(action, resource).map_err(|refusal| {
            let tells_nothing = is_listed(principal, action, resource)
                || !may_list(principal, action)
                || if_own(principal, action, name).is_err();
            if tells_nothing { NamedRefusal::Refused(refusal) } else { NamedRefusal::Hidden(missing(action, name)) }
        }),
        None => {
            if may(action, super::policy::of_others(action, name)).is_ok() {
                return Err(NamedRefusal::Missing);
            }
            // A key whose scope lacks the action is refused before anything is looked for.
            if_own(principal, action, name).map_err(NamedRefusal::Refused)?;
            if may_list(principal, action) {
                return Err(NamedRefusal::Missing);
            }
            Err(NamedRefusal::Refused(Error::Forbidden(action.verb())))
        }
    }
}

/// Decides whether a limited key may use what a run names, before it is looked for: so the answer does not tell whether it exists.
///
/// # Errors
/// [`Error::BeyondScope`] that names the image or the first secret.
pub fn check_scope_of_use(principal: &Principal, image: Option<&str>, secrets: &[String]) -> Result<()> {
    let owners = std::slice::from_ref(&principal.email);
    let image = Resource::Image { id: image.unwrap_or(ImageId::NONE), owners, shared_with: None };
    let secrets = secrets.iter().map(|name| Resource::Secret { name, owners, shared_with: None });
    std::iter::once(image).chain(secrets).try_for_each(|own| authorize_use(principal, own))
}

/// The error for a resource of the action's kind that does not exist.
fn missing(action: Action, name: &str) -> Error {
    match action.name().0 {
        "secrets" => Error::SecretNotFound(name.to_owned()),
        "executions" => Error::not_found("execution", name),
        "images" => Error::not_found("image", name),
        "playbooks" => Error::not_found("playbook", name),
        "notifications" => Error::not_found("notification", name),
        "schedules" => Error::not_found("schedule", name),
        _ => Error::not_found("key", name),
    }
}

/// Tells whether a list, or a page of its own, shows the caller that this resource exists.
fn is_listed(principal: &Principal, action: Action, resource: Resource<'_>) -> bool {
    let may = |action, resource| authorize(principal, action, resource).is_ok();
    let all = |action| may(action, Resource::Account);
    match action.name().0 {
        "executions" => {
            all(Action::ListExecutions) || may(Action::ReadExecution, resource) || may(Action::ReadStatus, resource)
        }
        "images" => all(Action::ListImages) || may(Action::ReadImage, resource),
        "secrets" => all(Action::ListSecrets) || may(Action::ReadSecret, resource),
        "playbooks" => may(Action::ReadPlaybook, resource),
        "notifications" => may(Action::ReadNotification, resource),
        "schedules" => may(Action::ReadSchedule, resource),
        _ => may(Action::ListKeys, resource),
    }
}

/// Tells whether the caller may list resources of the action's kind: all of them, or those that the caller may see.
fn may_list(principal: &Principal, action: Action) -> bool {
    let may = |action, resource| authorize(principal, action, resource).is_ok();
    let all = |action| may(action, Resource::Account);
    match action.name().0 {
        "executions" => {
            let playbook = first_playbook(principal);
            may(Action::ListExecutions, Resource::ExecutionsOf { user: &principal.email, playbook })
        }
        "images" => all(Action::ListImages),
        "secrets" => all(Action::ListSecrets),
        "playbooks" => all(Action::ListPlaybooks),
        "notifications" => all(Action::ListNotifications),
        "schedules" => all(Action::ListSchedules),
        _ => may(Action::ListKeys, Resource::Keys { of: &principal.email }),
    }
}

/// The first of the playbooks to which the caller's key is limited.
fn first_playbook(principal: &Principal) -> Option<&str> {
    principal.scope.as_ref()?.playbooks.as_ref()?.first().map(String::as_str)
}

/// Decides about a resource of this name that is the caller's own. It is refused only by the scope of the caller's key.
fn if_own(principal: &Principal, action: Action, name: &str) -> Result<()> {
    let owners = std::slice::from_ref(&principal.email);
    let source = first_playbook(principal).map(|playbook| format!("playbook:{playbook}@1")).unwrap_or_default();
    let own = [principal.email.to_string()];
    let requester = Email::parse("requester@example.com").ok();
    let resource = match action.name().0 {
        "executions" => {
            let approvers =
                Some(own.as_slice()).filter(|_| matches!(action, Action::ApproveExecution | Action::DenyExecution));
            Resource::ExecutionFrom { id: name, owners, source: &source, approvers, requester: requester.as_ref() }
        }
        "images" => Resource::Image { id: name, owners, shared_with: None },
        "secrets" => Resource::Secret { name, owners, shared_with: None },
        "playbooks" => Resource::Playbook { name, owners, shared_with: None },
        "notifications" => Resource::Notification { name, owners },
        "schedules" => Resource::Schedule { name, owners, shared_with: None },
        _ => Resource::Keys { of: &principal.email },
    };
    authorize(principal, action, resource)
}
