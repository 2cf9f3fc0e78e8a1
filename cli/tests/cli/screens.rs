//! Tests of what users see: texts, tables, colours, help.

use crate::{prelude::*, reworded::altering_proxy};

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
        &["images", "register", "tool:1", "--cpu", "512", "--memory", "1024"][..],
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
        (r"\d+ m?s(ago)?\b", "[seconds] s"),
    ]}, { insta::assert_snapshot!(printed) });
}

#[test]
fn a_few_images_are_named_to_someone_who_names_one_that_is_not_registered() {
    let system = System::start();
    for number in 0..12 {
        system.prints(&["images", "register", &format!("team/tool:{number}")]);
    }
    let said = |image: &str| text(&system.run(&["run", "-i", image, "true"]).stderr);
    let similar = said("tool:99");
    assert!(similar.contains("team/tool:0") && !similar.contains("ubuntu"), "{similar}");
    assert!(
        similar.contains("and others: runvoy images list") && similar.matches("team/tool").count() == 10,
        "{similar}"
    );
    let any = said("nope:1");
    assert!(any.contains("registered images: ubuntu:22.04") && any.contains("and others"), "{any}");
}

#[test]
fn a_list_tells_why_executions_wait_or_have_failed() {
    let system = System::start();
    system.run(&["run", "--timeout", "1s", "sleep 9"]);
    system.run(&["run", "exit 3"]);
    let list = system.prints(&["list"]);
    assert!(list.contains("WHY") && list.contains("timed out after 1 s"), "{list}");
    // The exit code stands beside the status.
    assert!(list.contains("FAILED 3") && !list.contains("exit code"), "{list}");
    let id = list.lines().nth(1).unwrap().split_whitespace().nth(2).unwrap().to_owned();
    let wide = on_terminal(system.command(&["list"]), 200, None).1;
    assert!(wide.contains("timed out after 1 s") && wide.contains(&id), "{wide}");
    // The beginning of an id leaves room for the reason, and names the execution.
    let narrow = on_terminal(system.command(&["list"]), 80, None).1;
    assert!(narrow.contains("timed out after 1 s") && narrow.contains("sleep 9"), "{narrow}");
    assert!(narrow.contains(&id[..12]) && !narrow.contains(&id), "{narrow}");
    assert!(system.prints(&["describe", &id[..12]]).contains(&id));
    // A reason that is too long is cut, and not left out.
    system.run(&["run", "--git-repo", "file:///nowhere/at/all", "true"]);
    let narrow = on_terminal(system.command(&["list"]), 80, None).1;
    assert!(narrow.contains("WHY") && narrow.contains("the repository could"), "{narrow}");
    let wide = on_terminal(system.command(&["list"]), 200, None).1;
    assert!(wide.contains("could not be cloned: fatal: '/nowhere/at/all'"), "{wide}");
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
fn what_matters_most_is_shown_at_eighty_columns() {
    let system = System::start();
    system.prints(&["users", "create", "somebody-with-a-long-name@subdomain.example.com", "--role", "developer"]);
    system.prints(&["users", "revoke", "somebody-with-a-long-name@subdomain.example.com"]);
    system.prints(&["users", "create", "newcomer@example.com", "--role", "viewer"]);
    system.prints(&["keys", "create", "ci", "--expires", "30d"]);
    let command = format!("echo {}", "word ".repeat(40));
    system.prints(&["run", "-e", "STAGE=test", "-e", "API_TOKEN=hush", &command]);
    let id = system.prints(&["list", "-q"]);
    let beginning = format!("execution:{}", &id[..12]);
    for (arguments, words) in [
        (&["users", "list"][..], &["STATE", "revoked", "has no key"][..]),
        (&["images", "list"], &["DEFAULT", "yes", "ID"]),
        (&["keys", "list"], &["EXPIRES", "in 30 d"]),
        (&["users", "show", "Admin@runvoy.local"], &["admin", "active", "claimed", "in 30 d"]),
        (&["users", "show", "newcomer@example.com"], &["viewer", "has no key"]),
        (&["audit"], &["ACTOR", "ACTION", "RESOURCE", "users:revoke", &beginning]),
        (&["describe"], &["STAGE=test", "API_TOKEN", "word word"]),
        (&["status", "@last"], &["word word"]),
        (&["whoami"], &["executions"]),
        (&["doctor"], &["connection"]),
    ] {
        let (code, seen) = on_terminal(system.command(arguments), 80, None);
        assert_eq!(code, Some(0), "{seen}");
        let plain = console::strip_ansi_codes(&seen).into_owned();
        assert!(words.iter().all(|word| plain.contains(word)), "{arguments:?}: {plain}");
        let too_long = |line: &&str| line.trim_end().chars().count() > 80 && !line.contains("http");
        assert_eq!(plain.lines().find(too_long), None, "{arguments:?}");
    }
    // An outcome is shown where one differs.
    assert_eq!(system.run(&["users", "create", "a@example.com", "--role", "viewer"]).status.code(), Some(0));
    let key = system.prints(&["keys", "create", "narrow", "--action", "executions:list"]);
    let refused = system.command(&["users", "list"]).env("RUNVOY_API_KEY", key.trim()).output().unwrap();
    assert_eq!(refused.status.code(), Some(125));
    let (_, seen) = on_terminal(system.command(&["audit"]), 80, None);
    assert!(seen.contains("OUTCOME") && seen.contains("refused"), "{seen}");
    // Programs get whole ids and times.
    assert!(system.prints(&["audit"]).contains(id.trim()));
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

#[test]
fn texts_of_others_cannot_steer_a_terminal_and_log_lines_keep_their_colours() {
    let system = System::start();
    let evil = "printf '\\033[31mred\\033[0m\\033]0;title\\007\\033[2J\\n' # \u{1b}]52;c;aGk=\u{7}\u{202e}";
    let (code, seen) = on_terminal(system.command(&["run", evil]), 200, None);
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("\u{1b}[31mred\u{1b}[0m\r\n"), "{seen:?}");
    for arguments in [&["list"][..], &["status", "@last"], &["describe"], &["list", "-o", "json"]] {
        let (_, shown) = on_terminal(system.command(arguments), 200, None);
        assert!(shown.contains("52;c;aGk="), "{shown:?}");
        for sequence in ["\u{1b}]", "\u{1b}[2J", "\u{7}", "\u{202e}"] {
            assert!(!shown.contains(sequence), "{arguments:?}: {shown:?}");
            assert!(!seen.contains(sequence), "{seen:?}");
        }
    }
    // A description stays on its row.
    system.prints(&["secrets", "create", "evil", "EVIL", "v", "--description", "one\ntwo\tthree"]);
    let list = system.prints(&["secrets", "list"]);
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains("one two three"), "{list}");
    // An earlier server kept control characters in descriptions, too.
    let port = system.shim.as_ref().unwrap().orchestrator.port();
    let proxy = altering_proxy(port, |answer| answer["secrets"][0]["description"] = json!("one\u{1b}[2J\u{202e}"));
    let mut command = system.command(&["secrets", "list"]);
    let output = command.env("RUNVOY_ENDPOINT", format!("http://localhost:{proxy}")).output().unwrap();
    assert!(text(&output.stdout).contains("one\\x1b[2J<U+202E>"), "{}", text(&output.stdout));
    // A program that reads the lines gets them as they are.
    let plain = system.prints(&["run", evil]);
    assert_eq!(plain, "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}\u{1b}[2J\n");
}

#[test]
fn the_value_of_a_secret_cannot_steer_a_terminal_and_a_program_gets_it_as_it_is() {
    let system = System::start();
    let value = "one\u{1b}]52;c;aGk=\u{7}\r\n\u{1b}[2J\u{1b}]0;title\u{1b}\\two\tthree\u{9b}5A";
    system.prints(&["secrets", "create", "evil", "EVIL", value]);
    assert_eq!(system.prints(&["secrets", "get", "evil"]), format!("{value}\n"));
    for verb in ["get", "show"] {
        let (code, seen) = on_terminal(system.command(&["secrets", verb, "evil"]), 80, None);
        assert_eq!((code, seen.as_str()), (Some(0), "one\r\ntwo\tthree\r\n"), "{verb}");
    }
}

#[test]
fn a_dumb_terminal_gets_no_colours() {
    let system = System::start();
    let (program, mut person) = terminal(80);
    let mut command = system.command(&["run", "echo hello"]);
    command.env("TERM", "dumb").stdin(program.try_clone().unwrap());
    command.stdout(program.try_clone().unwrap()).stderr(program);
    let child = command.spawn().unwrap();
    drop(command);
    let mut seen = Vec::new();
    // Linux reports the end of the other side as an error.
    let _ = person.read_to_end(&mut seen);
    assert!(end_of(child).status.success());
    let seen = text(&seen);
    assert!(seen.contains("hello") && !seen.contains('\u{1b}'), "{seen:?}");
}

#[test]
fn a_deletion_is_asked_for_on_a_terminal() {
    let system = System::start();
    system.prints(&["secrets", "create", "db", "DB", "v"]);
    let delete = || system.command(&["secrets", "rm", "db"]);
    let (code, seen) = answers_on_terminal(delete(), 80, "Delete the secret db? [y/N]: ", "\n");
    assert_eq!(code, Some(125), "{seen}");
    assert_eq!(system.prints(&["secrets", "get", "db"]), "v\n");
    let (code, seen) = answers_on_terminal(delete(), 80, "[y/N]: ", "y\n");
    assert_eq!(code, Some(0), "{seen}");
    system.prints(&["secrets", "create", "db", "DB", "v"]);
    let (code, seen) = on_terminal(system.command(&["secrets", "delete", "db", "--yes"]), 80, None);
    assert_eq!(code, Some(0), "{seen}");
}

#[test]
fn whoever_takes_away_their_own_access_is_told_so_first() {
    let system = System::start();
    system.prints(&["users", "create", "b@example.com", "--role", "viewer"]);
    for (email, question) in
        [("Admin@runvoy.local", "This is you: "), ("b@example.com", "Take away the access of b@example.com? [y/N]: ")]
    {
        let (code, seen) = answers_on_terminal(system.command(&["users", "revoke", email]), 80, question, "n\n");
        assert_eq!(code, Some(125), "{seen}");
        assert!(seen.contains("nothing is changed"), "{seen}");
    }
    let users = system.prints(&["users", "list"]);
    assert!(!users.contains("revoked"), "{users}");
}

#[test]
fn a_doctor_finds_what_is_wrong() {
    let system = System::start();
    let found = system.prints(&["doctor"]);
    for words in
        ["ok     endpoint", "ok     connection", "ok     versions", "ok     clock", "admin@runvoy.local, admin"]
    {
        assert!(found.contains(words), "{words}: {found}");
    }
    let wrong = system
        .command(&["doctor"])
        .env("RUNVOY_API_KEY", "wrong-wrong-wrong-wrong-wrong")
        .env("HTTPS_PROXY", "http://me:hush@proxy.example.com")
        .output()
        .unwrap();
    let said = text(&wrong.stdout);
    assert_eq!(wrong.status.code(), Some(125));
    assert!(said.contains("WRONG  key") && said.contains("proxy.example.com") && !said.contains("hush"), "{said}");
    let version = system.json(&["version", "-o", "json"]);
    assert_eq!(version["version"], version["server_version"]);
}

/// The completions that a shell shows for the last of these words.
fn completions(system: &System, words: &[&str]) -> Vec<String> {
    let mut command = system.command(&[&["--", "runvoy"], words].concat());
    let output = command.env("COMPLETE", "fish").output().unwrap();
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn a_shell_completes_what_the_api_and_this_machine_have() {
    let system = System::start();
    system.prints(&["secrets", "create", "database", "DB", "v"]);
    let id = system.prints(&["run", "-d", "true"]);
    std::fs::create_dir(system.home.path().join(".runvoy")).unwrap();
    std::fs::write(system.home.path().join(".runvoy/restore.yaml"), "commands: [true]").unwrap();
    for (words, expected) in [
        (&["logs", ""][..], id.trim()),
        (&["kill", &id[..5]], id.trim()),
        (&["secrets", "get", "da"], "database"),
        (&["run", "--secret", "other,d"], "other,database"),
        (&["run", "-i", "ubu"], "ubuntu:22.04"),
        (&["users", "revoke", ""], "admin@runvoy.local"),
        (&["list", "--status", "running,fa"], "RUNNING,FAILED"),
        (&["playbook", "run", ""], "restore"),
        (&["secr"], "secrets"),
    ] {
        let shown = completions(&system, words);
        assert!(shown.iter().any(|value| value == expected), "{words:?}: {shown:?}");
    }
    let mut nowhere = bare(system.home.path(), &["--", "runvoy", "logs", ""]);
    let output = nowhere.env("COMPLETE", "fish").output().unwrap();
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn help_fits_eighty_columns() {
    let home = tempfile::tempdir().unwrap();
    let help = |words: &[&str]| {
        let output = bare(home.path(), &[words, &["--help"]].concat()).output().unwrap();
        let help = text(&output.stdout);
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
        help
    };
    let commands_in = |help: &str| -> Vec<String> {
        let commands = help.split("Commands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
        let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    let commands = commands_in(&help(&[]));
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        for subcommand in commands_in(&help(&[&command])) {
            help(&[&command, &subcommand]);
        }
    }
}
