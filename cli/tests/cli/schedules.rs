//! Tests of schedules.

use crate::prelude::*;

#[test]
fn a_schedule_is_created_shown_paused_resumed_run_and_deleted() {
    let system = System::start();
    let created = system.prints(&[
        "schedules",
        "create",
        "backup",
        "--cron",
        "30 2 * * 1-5",
        "--timezone",
        "Europe/Berlin",
        "-e",
        "STAGE=test",
        "--",
        "sh",
        "-c",
        "echo at its time",
    ]);
    assert!(created.starts_with("backup runs next in ") && created.contains(" 02:30:00 CE"), "{created}");
    let listed = system.prints(&["schedules", "list"]);
    assert!(listed.contains("30 2 * * 1-5 Europe/Berlin") && listed.contains("sh -c 'echo at its time'"), "{listed}");
    let shown = system.prints(&["schedules", "show", "backup"]);
    assert!(shown.contains("STAGE=test") && shown.contains("runs as      admin@runvoy.local"), "{shown}");
    let next = system.prints(&["schedules", "next", "backup", "-n", "3"]);
    assert_eq!(next.lines().count(), 4, "{next}");
    assert!(next.contains("02:30:00 CE"), "{next}");
    assert_eq!(system.prints(&["schedules", "pause", "backup"]), "backup is paused\n");
    assert!(system.prints(&["schedules", "ls"]).contains("paused"));
    assert!(system.prints(&["schedules", "resume", "backup"]).starts_with("backup runs next in "));
    assert_eq!(system.prints(&["schedules", "run", "backup"]), "at its time\n");
    system.prints(&["schedules", "rm", "backup"]);
    assert_eq!(system.run(&["schedules", "show", "backup"]).status.code(), Some(125));
}

#[test]
fn what_cannot_be_a_schedule_is_said_before_or_by_the_server() {
    let system = System::start();
    let refused = |arguments: &[&str]| {
        let output = system.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        text(&output.stderr)
    };
    let both = refused(&["schedules", "create", "x", "--cron", "0 0 13 * 5", "true"]);
    assert!(both.contains("either") && both.contains("two schedules"), "{both}");
    assert!(refused(&["schedules", "create", "x", "true"]).contains("--cron"));
    assert!(
        refused(&["schedules", "create", "x", "--rate", "5 minutes", "--at", "2030-01-01T00:00", "true"])
            .contains("--at")
    );
    let with_options = ["schedules", "create", "x", "--rate", "5 minutes", "--playbook", "p", "--lock", "l"];
    assert!(refused(&with_options).contains("a published playbook fixes"));
    let follows = ["schedules", "create", "x", "--rate", "5 minutes", "--after", "@last", "true"];
    assert!(refused(&follows).contains("waits for no execution"));
    let secret = refused(&["schedules", "create", "x", "--rate", "5 minutes", "-e", "API_TOKEN=hush", "true"]);
    assert!(secret.contains("secret") && !secret.contains("hush"), "{secret}");
}
