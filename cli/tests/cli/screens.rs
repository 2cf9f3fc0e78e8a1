//! Tests of what users see: texts, tables, colours, help.

use crate::prelude::*;

#[test]
fn help_and_completions_need_nothing() {
    let home = tempfile::tempdir().unwrap();
    for arguments in
        [&["--help"][..], &["run", "--help"], &["version"], &["completions", "bash"], &["completions", "fish"]]
    {
        let output = bare(home.path(), arguments).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    }
    let mistaken = bare(home.path(), &["lsit"]).output().unwrap();
    assert!(text(&mistaken.stderr).contains("'list'"), "{}", text(&mistaken.stderr));
}

/// A line of a session: the command, what it prints, and what it says on standard error.
fn transcript(system: &System, arguments: &[&str]) -> String {
    let output = system.run(arguments);
    let words: Vec<String> = arguments
        .iter()
        .map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() })
        .collect();
    let said = text(&output.stderr).lines().map(|line| format!("2> {line}\n")).collect::<String>();
    let code =
        output.status.code().filter(|code| *code != 0).map(|code| format!("exit code {code}\n")).unwrap_or_default();
    format!("$ runvoy {}\n{}{said}{code}\n", words.join(" "), text(&output.stdout))
}

#[test]
fn each_command_prints_what_people_need_and_no_more() {
    let system = System::start();
    let session = [
        &["whoami"][..],
        &["images", "register", "tool:1", "--cpu", "512", "--memory", "1024"],
        &["images", "list"],
        &["images", "show", "tool:1"],
        &["secrets", "create", "db", "DATABASE_URL", "postgres://", "--description", "of the tests"],
        &["secrets", "update", "db", "--description", "another"],
        &["secrets", "list"],
        &["secrets", "get", "db"],
        &["run", "-i", "tool:1", "--secret", "db", "echo $DATABASE_URL; exit 3"],
        &["run", "--dry-run", "-e", "STAGE=test", "--timeout", "10m", "--", "echo", "two words"],
        &["list"],
        &["list", "--status", "RUNNING"],
        &["users", "create", "a@example.com", "--role", "viewer"],
        &["users", "list"],
        &["users", "revoke", "a@example.com"],
        &["secrets", "delete", "db"],
        &["secrets", "list"],
        &["playbook", "list"],
        &["health"],
        &["health", "reconcile"],
        &["status", "00000000000000000000000000000000"],
        &["logs", "00000000000000000000000000000000"],
        &["kill", "00000000000000000000000000000000"],
        &["run", "-i", "absent:1", "true"],
        &["run"],
        &["runn"],
    ];
    let printed: String = session.iter().map(|arguments| transcript(&system, arguments)).collect();
    insta::with_settings!({filters => vec![
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[request id]"),
        (r"  runvoy claim \S+", "  runvoy claim [token]"),
        ("0{32}", "[unknown id]"),
        ("[0-9a-f]{32}", "[execution id]"),
        (r"http://localhost:\d+/claim/[A-Za-z0-9_-]+", "[endpoint]/claim/[token]"),
        (r"http://localhost:\d+", "[endpoint]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
        (r"Linux/(ARM64|X86_64)", "[platform]"),
        (r"-[0-9a-f]{8}\b", "-[hash]"),
        (r" {2,}", "  "),
        (r"\d+ s(ago)?\b", "[seconds] s"),
    ]}, { insta::assert_snapshot!(printed) });
}

#[test]
fn a_terminal_gets_colours_a_spinner_and_tables_that_fit() {
    let system = System::start();
    let (code, seen) = on_terminal(system.command(&["run", "echo hello; exit 3"]), 80, None);
    assert_eq!(code, Some(3));
    assert!(seen.contains("hello\r\n") && seen.contains("\x1b["), "{seen:?}");
    let plain = system.run(&["run", "echo hello; exit 3"]);
    assert!(!text(&plain.stderr).contains('\x1b') && !text(&plain.stdout).contains('\x1b'));
    system.run(&["run", &format!("echo {}", "long ".repeat(60))]);
    for columns in [60, 100] {
        let mut list = system.command(&["list"]);
        list.env("NO_COLOR", "1");
        let (_, seen) = on_terminal(list, columns, None);
        assert!(!seen.contains('\x1b'), "{seen:?}");
        let widest = seen.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= usize::from(columns), "{widest} of {columns}: {seen}");
    }
    let (_, always) = on_terminal(system.command(&["list", "--color", "never"]), 80, None);
    assert!(!always.contains('\x1b'), "{always:?}");
}

#[test]
fn a_secret_is_typed_without_being_shown() {
    let system = System::start();
    let (code, seen) = on_terminal(
        system.command(&["secrets", "create", "db", "DATABASE_URL"]),
        80,
        Some(("Value of db: ", "typed-in-secret\n")),
    );
    assert_eq!(code, Some(0), "{seen}");
    assert_eq!(system.prints(&["secrets", "get", "db"]), "typed-in-secret\n");
    assert!(!seen.contains("typed-in-secret"), "{seen}");
}

#[test]
fn manual_pages_and_completions_are_written() {
    let home = tempfile::tempdir().unwrap();
    let written = bare(home.path(), &["man", "man1"]).output().unwrap();
    assert!(written.status.success(), "{}", text(&written.stderr));
    for page in ["runvoy.1", "runvoy-run.1", "runvoy-secrets-create.1"] {
        let page = std::fs::read_to_string(home.path().join("man1").join(page)).unwrap();
        assert!(page.contains(".SH NAME") && page.contains("runvoy"), "{page}");
    }
}
