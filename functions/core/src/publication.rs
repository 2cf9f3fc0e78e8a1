//! Publishes playbooks with what they bring along: checks the notifications and the schedules that one names, and makes, changes and deletes
//! its schedules.
//!
//! The playbook's record changes first, and says that the schedules may not be as the playbook says (`pending`). Then each schedule is
//! brought to it, by a write that is refused once another request has published or deleted the playbook. If an invocation dies in between,
//! the same publication again or `reconcile` does the rest.

use runvoy_api_types::{BroughtSchedule, Playbook, PlaybookName, ScheduleName};

use crate::{
    App, Error, Result,
    audit::Actor,
    auth::{Action, Principal, Resource, policy},
    findings::Findings,
    notification,
    playbook::{self, Head},
    schedule::{self, Part},
};

/// Checks the notifications and the schedules of a playbook, and that the publisher may use and create them. With the playbook's name, also
/// that its schedules have names of their own.
///
/// # Errors
/// [`Error::Invalid`] with the field, [`Error::Conflict`] for the name of another schedule, [`Error::Forbidden`].
pub async fn check(app: &App, playbook: &Playbook, name: Option<&PlaybookName>, publisher: &Principal) -> Result<()> {
    for (at, told) in playbook.notifications.iter().enumerate() {
        let is_usable = match notification::find(app, &told.name).await {
            Ok(found) => may_use(publisher, &found.notification),
            Err(Error::NotFound { .. }) => false,
            Err(error) => return Err(error),
        };
        if !is_usable {
            let problem = format!("there is no notification {:?} that you may change", told.name);
            return Err(Error::invalid(problem)
                .with_hint("create it first: a playbook names notifications that exist")
                .at_field(format!("notifications[{at}].name")));
        }
    }
    if playbook.schedules.is_empty() {
        return Ok(());
    }
    policy::authorize(publisher, Action::CreateSchedule, Resource::Account)?;
    let names = name.map(|name| playbook.schedule_names(name)).transpose()?;
    for (at, words) in playbook.schedules.iter().enumerate() {
        let of = name.zip(names.as_ref().and_then(|names| names.get(at)));
        schedule::check_part(app, words, of).await.map_err(|error| error.below(&format!("schedules[{at}]")))?;
    }
    Ok(())
}

/// Tells whether a user may have a playbook tell by this notification: those may who could change it.
pub(crate) fn may_use(publisher: &Principal, found: &runvoy_api_types::Notification) -> bool {
    policy::authorize(publisher, Action::UpdateNotification, notification::resource(found)).is_ok()
}

/// Makes the schedules of a playbook be as its newest version says; deletes them if the playbook is deleted. Does nothing if they are.
///
/// # Errors
/// [`Error::Conflict`] when another schedule has the name of one; [`Error::Aws`] when AWS fails. The same publication again goes on.
pub async fn bring(app: &App, name: &PlaybookName, actor: &Actor) -> Result<Vec<BroughtSchedule>> {
    let Some(head) = playbook::head(app, name).await? else { return Ok(Vec::new()) };
    let brought = bring_to(app, &head, actor).await;
    match brought {
        // Another request has published or deleted it meanwhile, and brings the schedules to what it says.
        Err(Error::Conflict(_))
            if playbook::head(app, name).await?.is_some_and(|now| now.pending() != head.pending()) =>
        {
            Ok(Vec::new())
        }
        brought => brought,
    }
}

async fn bring_to(app: &App, head: &Head, actor: &Actor) -> Result<Vec<BroughtSchedule>> {
    let (Some(made), Some(guard)) = (head.unfinished(), playbook::guard(app, head)?) else { return Ok(Vec::new()) };
    let shown = head.playbook();
    let part = |number| Part { playbook: &shown.name, by: &shown.version.published_by, guard: guard.clone(), number };
    let wanted: Vec<ScheduleName> =
        if head.is_deleted() { Vec::new() } else { shown.playbook.schedule_names(&shown.name)? };
    let mut brought = Vec::new();
    for (at, (name, words)) in wanted.iter().zip(&shown.playbook.schedules).enumerate() {
        let kept = schedule::keep_part(app, name, words, &part(at), actor).await;
        brought.push(kept.map_err(|error| error.below(&format!("schedules[{at}]")))?);
    }
    for name in made.iter().filter(|name| !wanted.contains(name)) {
        brought.extend(schedule::remove_part(app, name, &part(wanted.len()), actor).await?);
    }
    playbook::settle(app, head, &wanted).await?;
    Ok(brought)
}

/// For `reconcile`: goes on with publications and deletions that were left halfway.
pub(crate) async fn finish(app: &App, actor: &Actor, findings: &mut Findings) -> Result<()> {
    let others = schedule::playbooks(app).await?;
    for name in playbook::unfinished(app, others).await? {
        match bring(app, &name, actor).await {
            Ok(_) => findings.mended(
                "playbook",
                name.as_str(),
                "its schedules were left halfway by a publication or a deletion",
                "brought them to what the playbook says",
            ),
            Err(error) => findings.failed("playbook", name.as_str(), &error),
        }
    }
    Ok(())
}
