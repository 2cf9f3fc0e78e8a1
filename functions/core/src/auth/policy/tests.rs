//! Tests of the policies: who may do what.

use super::*;
use cedar_policy::{Schema, ValidationMode, Validator};
use runvoy_api_types::KeyScope;

#[test]
fn the_policies_fit_their_schema() {
    let (schema, _) = Schema::from_cedarschema_str(include_str!("../schema.cedarschema")).unwrap();
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
    Action::ListNotifications,
    Action::CreateNotification,
    Action::ListSchedules,
    Action::CreateSchedule,
    Action::ListUsers,
    Action::CreateUser,
    Action::UpdateUser,
    Action::RevokeUser,
    Action::RenewClaim,
    Action::ListPlaybooks,
    Action::PublishPlaybook,
    Action::ListLocks,
    Action::ReadLock,
    Action::SetLock,
    Action::DeleteLock,
    Action::ReadAudit,
    Action::Reconcile,
    Action::Trace,
];
const ON_EXECUTION: &[Action] =
    &[Action::ReadExecution, Action::ReadStatus, Action::ReadLogs, Action::KillExecution, Action::OwnExecution];
const ON_IMAGE: &[Action] =
    &[Action::ReadImage, Action::DeleteImage, Action::UseImage, Action::OwnImage, Action::ShareImage];
const ON_SECRET: &[Action] = &[
    Action::ReadSecret,
    Action::UpdateSecret,
    Action::DeleteSecret,
    Action::UseSecret,
    Action::OwnSecret,
    Action::ShareSecret,
];
const ON_PLAYBOOK: &[Action] = &[
    Action::ReadPlaybook,
    Action::UpdatePlaybook,
    Action::DeletePlaybook,
    Action::RunPlaybook,
    Action::OwnPlaybook,
    Action::SharePlaybook,
];
const ON_NOTIFICATION: &[Action] = &[
    Action::ReadNotification,
    Action::UpdateNotification,
    Action::DeleteNotification,
    Action::TestNotification,
    Action::OwnNotification,
];
const ON_SCHEDULE: &[Action] = &[
    Action::ReadSchedule,
    Action::UpdateSchedule,
    Action::DeleteSchedule,
    Action::RunSchedule,
    Action::OwnSchedule,
    Action::ShareSchedule,
];
const ON_KEYS: &[Action] = &[Action::ListKeys, Action::CreateKey, Action::DeleteKey];

/// The table of roles in the API's contract, written out a second time: what each may do to resources of others.
fn expected(role: Role, action: Action) -> bool {
    use Action::*;
    match role {
        Role::Admin => true,
        Role::Operator => !matches!(
            action,
            CreateUser
                | UpdateUser
                | RevokeUser
                | RenewClaim
                | ListKeys
                | CreateKey
                | DeleteKey
                | OwnExecution
                | OwnImage
                | OwnSecret
                | OwnPlaybook
                | OwnSchedule
                | OwnNotification
                | ReadAudit
                | Trace
        ),
        Role::Developer => matches!(
            action,
            ListExecutions
                | ReadStatus
                | ListImages
                | ReadImage
                | UseImage
                | Run
                | ListSecrets
                | CreateSecret
                | UseSecret
                | ListPlaybooks
                | PublishPlaybook
                | ReadPlaybook
                | RunPlaybook
                | ListLocks
                | ReadLock
                | ListNotifications
                | CreateNotification
                | ListSchedules
                | CreateSchedule
        ),
        // Nothing of others, unless it is shared with the runner.
        Role::Runner => matches!(action, ListPlaybooks),
        Role::Viewer => matches!(action, ListExecutions | ReadStatus),
    }
}

#[test]
fn every_role_may_do_exactly_what_the_table_says() {
    let (mine, theirs) = (Email::parse("me@example.com").unwrap(), Email::parse("you@example.com").unwrap());
    for &role in Role::VARIANTS {
        let principal = Principal::without_key(mine.clone(), role);
        for action in ON_ACCOUNT {
            let allowed = authorize(&principal, *action, Resource::Account).is_ok();
            assert_eq!(allowed, expected(role, *action), "{role} {action:?}");
        }
        for (actions, kind) in [
            (ON_EXECUTION, 0),
            (ON_IMAGE, 1),
            (ON_SECRET, 2),
            (ON_KEYS, 3),
            (ON_PLAYBOOK, 4),
            (ON_NOTIFICATION, 5),
            (ON_SCHEDULE, 6),
        ] {
            for action in actions {
                for (owner, owned) in [(&mine, true), (&theirs, false)] {
                    let owners = std::slice::from_ref(owner);
                    let resource = match kind {
                        0 => Resource::Execution { id: "x", owners },
                        1 => Resource::Image { id: "x", owners, shared_with: None },
                        2 => Resource::Secret { name: "x", owners, shared_with: None },
                        4 => Resource::Playbook { name: "x", owners, shared_with: None },
                        5 => Resource::Notification { name: "x", owners },
                        6 => Resource::Schedule { name: "x", owners, shared_with: None },
                        _ => Resource::Keys { of: owner },
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
    let of = |role| permissions(&Principal::without_key(Email::parse("me@example.com").unwrap(), role));
    assert_eq!(of(Role::Viewer), ["executions:list", "executions:status"]);
    assert_eq!(of(Role::Admin).len(), Action::VARIANTS.len());
    let developer = of(Role::Developer);
    assert!(developer.iter().any(|one| one == "secrets:use") && !developer.iter().any(|one| one == "secrets:read"));
}

#[test]
fn a_refusal_names_the_verb() {
    let viewer = Principal::without_key(Email::parse("v@example.com").unwrap(), Role::Viewer);
    let refused = authorize(&viewer, Action::Run, Resource::Account).unwrap_err();
    assert_eq!(refused.to_string(), "you do not have permission to run this resource");
}

#[test]
fn a_shared_resource_is_used_by_those_it_is_shared_with_its_owners_operators_and_admins() {
    let email = |text: &str| Email::parse(text).unwrap();
    let owners = [email("owner@example.com")];
    let names = ["friend@example.com".to_owned(), "role:viewer".to_owned()];
    let secret = Resource::Secret { name: "s", owners: &owners, shared_with: Some(&names) };
    let may = |who: &str, role| authorize(&Principal::without_key(email(who), role), Action::UseSecret, secret).is_ok();
    assert!(may("friend@example.com", Role::Developer) && may("owner@example.com", Role::Developer));
    assert!(may("o@example.com", Role::Operator) && may("a@example.com", Role::Admin));
    assert!(!may("other@example.com", Role::Developer));
    assert!(!may("other@example.com", Role::Viewer), "sharing gives no role more than it has");
}

#[test]
fn a_runner_runs_what_is_shared_with_it_and_others_do_not() {
    let email = |text: &str| Email::parse(text).unwrap();
    let owners = [email("owner@example.com")];
    let may = |who: &str, role, shared_with: Option<&[String]>, action| {
        let playbook = Resource::Playbook { name: "p", owners: &owners, shared_with };
        authorize(&Principal::without_key(email(who), role), action, playbook).is_ok()
    };
    let by_name = ["r@example.com".to_owned()];
    let by_role = ["role:runner".to_owned()];
    for action in [Action::ReadPlaybook, Action::RunPlaybook] {
        assert!(!may("r@example.com", Role::Runner, None, action));
        assert!(!may("r@example.com", Role::Runner, Some(&[]), action));
        assert!(may("r@example.com", Role::Runner, Some(&by_name), action));
        assert!(may("r@example.com", Role::Runner, Some(&by_role), action));
        assert!(!may("s@example.com", Role::Runner, Some(&by_name), action));
        assert!(!may("d@example.com", Role::Developer, Some(&by_role), action));
        assert!(may("o@example.com", Role::Operator, Some(&by_role), action));
        assert!(!may("v@example.com", Role::Viewer, Some(&["role:viewer".to_owned()]), action));
    }
    assert!(!may("r@example.com", Role::Runner, Some(&by_role), Action::UpdatePlaybook));
}

#[test]
fn those_who_are_named_and_admins_approve_and_never_the_one_who_asked() {
    let email = |text: &str| Email::parse(text).unwrap();
    let asker = email("asker@example.com");
    let owners = [asker.clone(), email("friend@example.com")];
    let names = ["role:operator".to_owned(), "ana@example.com".to_owned()];
    let may = |who: &str, role, approvers: Option<&[String]>| {
        let resource = Resource::ExecutionFrom {
            id: "x",
            owners: &owners,
            source: "playbook:p@1",
            approvers,
            requester: Some(&asker),
        };
        let principal = Principal::without_key(email(who), role);
        let [may, may_deny] = [Action::ApproveExecution, Action::DenyExecution]
            .map(|action| authorize(&principal, action, resource).is_ok());
        assert_eq!(may, may_deny, "{who}");
        may
    };
    assert!(may("ana@example.com", Role::Runner, Some(&names)) && may("o@example.com", Role::Operator, Some(&names)));
    assert!(may("a@example.com", Role::Admin, Some(&names)) && may("a@example.com", Role::Admin, Some(&[])));
    assert!(!may("d@example.com", Role::Developer, Some(&names)));
    // Neither the one who asked, of whatever role, nor an owner who is not named.
    for role in Role::VARIANTS {
        assert!(!may("asker@example.com", *role, Some(&names)), "{role}");
    }
    assert!(!may("friend@example.com", Role::Developer, Some(&names)));
    assert!(!may("a@example.com", Role::Admin, None), "it needs no approval");
}

#[test]
fn a_key_that_is_limited_to_playbooks_runs_those_and_follows_their_executions() {
    let me = Email::parse("me@example.com").unwrap();
    let scope = Some(KeyScope { actions: None, playbooks: Some(vec!["p".to_owned()]) });
    let key = Principal { scope, ..Principal::without_key(me.clone(), Role::Admin) };
    let may = |action, resource| authorize(&key, action, resource).is_ok();
    let (owners, playbook) =
        (std::slice::from_ref(&me), |name| Resource::Playbook { name, owners: &[], shared_with: None });
    assert!(may(Action::ListPlaybooks, Resource::Account) && may(Action::RunPlaybook, playbook("p")));
    assert!(!may(Action::RunPlaybook, playbook("q")) && !may(Action::UpdatePlaybook, playbook("p")));
    assert!(!may(Action::Run, Resource::Account) && !may(Action::ListSecrets, Resource::Account));
    for (source, is_its) in [("playbook:p@3", true), ("playbook:q@3", false), ("api", false)] {
        for action in [Action::ReadStatus, Action::ReadLogs, Action::KillExecution] {
            assert_eq!(
                may(action, Resource::ExecutionFrom { id: "x", owners, source, approvers: None, requester: None }),
                is_its,
                "{source}"
            );
        }
    }
    assert!(!may(Action::ReadLogs, Resource::Execution { id: "x", owners }));
    assert!(may(Action::ListExecutions, Resource::ExecutionsOf { user: &me, playbook: Some("p") }));
    assert!(!may(Action::ListExecutions, Resource::ExecutionsOf { user: &me, playbook: None }));
    assert_eq!(permissions(&key), ["playbooks:list", "playbooks:read", "playbooks:run"]);
}

#[test]
fn a_shared_schedule_is_seen_and_run_by_those_it_is_shared_with_and_changed_by_its_owners_and_operators() {
    let email = |text: &str| Email::parse(text).unwrap();
    let owners = [email("owner@example.com")];
    let names = ["friend@example.com".to_owned(), "role:viewer".to_owned()];
    let schedule = Resource::Schedule { name: "s", owners: &owners, shared_with: Some(&names) };
    let may = |who: &str, role, action| authorize(&Principal::without_key(email(who), role), action, schedule).is_ok();
    for action in [Action::ReadSchedule, Action::RunSchedule] {
        assert!(may("friend@example.com", Role::Developer, action), "{action:?}");
        assert!(may("o@example.com", Role::Operator, action), "{action:?}");
        assert!(!may("other@example.com", Role::Developer, action), "{action:?}");
        assert!(!may("v@example.com", Role::Viewer, action), "sharing gives no role more than it has: {action:?}");
    }
    assert!(may("owner@example.com", Role::Developer, Action::DeleteSchedule));
    assert!(!may("friend@example.com", Role::Developer, Action::UpdateSchedule));
}

#[test]
fn a_limited_key_permits_its_actions_only_and_makes_no_keys() {
    let me = Email::parse("me@example.com").unwrap();
    let actions = Some(vec!["executions:list".to_owned(), "keys:create".to_owned()]);
    let scope = Some(KeyScope { actions, playbooks: None });
    let principal = Principal { scope, ..Principal::without_key(me.clone(), Role::Admin) };
    assert!(authorize(&principal, Action::ListExecutions, Resource::Account).is_ok());
    assert!(authorize(&principal, Action::Run, Resource::Account).is_err());
    assert!(authorize(&principal, Action::CreateKey, Resource::Keys { of: &me }).is_err());
    assert_eq!(permissions(&principal), ["executions:list"]);
}
