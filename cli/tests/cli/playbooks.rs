//! Tests of playbooks.

use crate::prelude::*;

#[test]
fn a_playbook_runs_with_its_parameters() {
    let system = System::start();
    let folder = system.home.path().join(".runvoy");
    std::fs::create_dir(&folder).unwrap();
    let playbook = "description: says hello\nenv:\n  STAGE: 1\nparameters:\n  - name: WHO\n    allowed: [world, moon]\n  - name: HOW\n    default: hello\ncommands:\n  - echo \"$HOW $WHO $STAGE\"\n  - false\n  - echo never\n";
    std::fs::write(folder.join("greet.yml"), playbook).unwrap();
    assert!(system.prints(&["playbook", "list"]).contains("says hello"));
    let run = |arguments: &[&str]| system.run(&[&["playbook", "run", "greet"], arguments].concat());
    let output = run(&["-P", "WHO=world", "-e", "STAGE=2"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), "hello world 2\n"));
    for (arguments, word) in [(&[][..], "WHO"), (&["-P", "WHO=$(id)"], "moon"), (&["-P", "WHAT=x"], "HOW")] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        assert!(text(&output.stderr).contains(word), "{arguments:?}: {}", text(&output.stderr));
    }
    let curl = system.prints(&["playbook", "show", "greet", "-P", "WHO=moon", "--curl"]);
    assert!(curl.starts_with("curl -X POST") && !curl.contains(&system.key), "{curl}");
    std::fs::write(folder.join("wrong.yml"), "description: x\ncommand: [a]\n").unwrap();
    let wrong = system.run(&["playbook", "show", "wrong"]);
    let said = text(&wrong.stderr);
    assert!(said.contains("unknown, and ignored: command") && said.contains("commands"), "{said}");
}

#[test]
fn the_example_playbooks_can_be_used() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/playbooks");
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(examples.canonicalize().unwrap(), home.path().join(".runvoy")).unwrap();
    let list = text(&bare(home.path(), &["playbook", "list"]).output().unwrap().stdout);
    assert_eq!(list.lines().count(), 1 + examples.read_dir().unwrap().count(), "{list}");
    assert!(!list.contains("cannot be used"), "{list}");
    let elsewhere = tempfile::tempdir().unwrap();
    let file = examples.join("hello.yml");
    let by_path = bare(elsewhere.path(), &["playbook", "run", file.to_str().unwrap(), "--dry-run"]).output().unwrap();
    assert!(text(&by_path.stdout).contains("hello, $NAME"), "{}", text(&by_path.stderr));
}

/// A system with one playbook, `p`.
fn with_playbook(playbook: &str) -> System {
    let system = System::start();
    let folder = system.home.path().join(".runvoy");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("p.yaml"), playbook).unwrap();
    system
}

#[test]
fn each_command_of_a_playbook_runs_as_it_is_written() {
    let commands = [
        "cat <<END\n  of a document\nEND\n",
        "echo one # a comment",
        "sleep 0.1 &",
        "wait; echo two",
        "if true; then\n  echo three\nfi",
        "(false; echo never)",
        "echo never",
    ];
    let system = with_playbook(&json!({"commands": commands}).to_string());
    let output = system.run(&["playbook", "run", "p"]);
    assert_eq!(text(&output.stdout), "  of a document\none\ntwo\nthree\n", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_scalar_of_a_playbook_is_its_text() {
    let system = with_playbook(
        "env:\n  A: 1.10\n  B: 0x1F\n  C: 12345678901234567890123\n  D: null\n  E: yes\n  F: 1e3\n  G:\nparameters:\n  - name: V\n    allowed: [1.10, 2.0]\ncommands: [true]\n",
    );
    let shown = system.json(&["playbook", "show", "p", "-P", "V=1.10", "-o", "json"]);
    let env = json!({"A": "1.10", "B": "0x1F", "C": "12345678901234567890123", "D": "null", "E": "yes", "F": "1e3", "G": "", "V": "1.10"});
    assert_eq!(shown["env"], env);
    let refused = system.run(&["playbook", "show", "p", "-P", "V=1.1"]);
    assert!(text(&refused.stderr).contains("1.10, 2.0"), "{}", text(&refused.stderr));
    let without = system.run(&["playbook", "show", "p"]);
    assert!(without.status.success() && text(&without.stdout).contains("1.10, 2.0"), "{}", text(&without.stderr));
}

#[test]
fn a_playbook_warns_of_keys_that_mean_nothing_and_yaml_comes_before_yml() {
    let system =
        with_playbook("description: first\ntimout: 5\nparameters: [{name: A, defualt: b}]\ncommands: [true]\n");
    std::fs::write(system.home.path().join(".runvoy/p.yml"), "description: second\ncommands: [false]\n").unwrap();
    let output = system.run(&["playbook", "show", "p"]);
    assert!(text(&output.stdout).contains("first"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("timout, parameters[].defualt"), "{}", text(&output.stderr));
    let list = system.json(&["playbook", "list", "-o", "json"]);
    assert_eq!(list["playbooks"][0]["description"], "first");
}

#[test]
fn a_variable_of_the_user_comes_before_the_playbooks_and_after_an_option() {
    let system = with_playbook(
        "env: {A: playbook, B: playbook, C: playbook}\nparameters: [{name: P, allowed: [x, y], default: x}]\ncommands: ['echo $A $B $C $P']\n",
    );
    let run = |user_p: &str| {
        let mut command = system.command(&["playbook", "run", "p", "-e", "C=option"]);
        command.env("RUNVOY_USER_B", "user").env("RUNVOY_USER_C", "user").env("RUNVOY_USER_P", user_p);
        command.output().unwrap()
    };
    assert_eq!(text(&run("y").stdout), "playbook user option y\n");
    assert_eq!(run("z").status.code(), Some(125));
}

#[test]
fn a_missing_parameter_is_asked_for_on_a_terminal() {
    let system = with_playbook("parameters: [{name: WHO, description: a planet}]\ncommands: ['echo hello $WHO']\n");
    let (code, seen) = answers_on_terminal(system.command(&["playbook", "run", "p"]), 80, "WHO: ", "mars\n");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("a planet") && seen.contains("hello mars"), "{seen}");
}

const RESTART: &str = "description: restarts a service\nparameters:\n- {name: SERVICE, type: choice, allowed: [web, worker], description: which one}\n- {name: ZONES, type: choices, allowed: [eu, us], default: eu}\n- {name: NOTE, type: text, required: false}\ncommands:\n- 'echo \"$SERVICE in \"$ZONES\": $NOTE\"'\n";

/// A system with the file `restart.yml`, which is not where playbooks are looked for.
fn with_file() -> (System, String) {
    let system = System::start();
    let file = system.home.path().join("restart.yml");
    std::fs::write(&file, RESTART).unwrap();
    (system, file.to_str().unwrap().to_owned())
}

#[test]
fn a_published_playbook_is_run_by_its_name_until_there_is_a_file_of_that_name() {
    let (system, file) = with_file();
    assert_eq!(system.prints(&["playbook", "publish", &file]), "restart@1\n");
    assert_eq!(system.prints(&["playbook", "publish", &file]), "restart@1\n", "the same again is the same version");
    let list = system.prints(&["playbook", "list"]);
    assert!(list.contains("restart") && list.contains("version 1 by admin@runvoy.local"), "{list}");
    std::fs::write(system.home.path().join("note.txt"), "a 'note'\nof $(two) lines\n").unwrap();
    let run = |arguments: &[&str]| system.run(&[&["playbook", "run", "restart"], arguments].concat());
    let output = run(&["-P", "SERVICE=web", "-P", "ZONES=us", "-P", "ZONES=eu", "-P", "NOTE=@note.txt"]);
    assert_eq!(text(&output.stdout), "web in us eu: a 'note'\nof $(two) lines\n", "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("published playbook restart, version 1"), "{}", text(&output.stderr));
    for (arguments, word) in [
        (&[][..], "SERVICE"),
        (&["-P", "SERVICE=db"], "worker"),
        (&["-P", "X=1"], "ZONES"),
        (&["-P", "SERVICE=web", "-i", "x"], "fixes its image"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        assert!(text(&output.stderr).contains(word), "{arguments:?}: {}", text(&output.stderr));
    }
    let shown = system.prints(&["playbook", "show", "restart"]);
    assert!(shown.contains("published by admin@runvoy.local") && shown.contains("[web, worker]"), "{shown}");
    assert!(shown.contains("owners: admin@runvoy.local") && shown.contains("NOTE              (optional)"), "{shown}");

    let stale = system.run(&["playbook", "publish", &file, "--if-version", "7"]);
    assert!(!stale.status.success() && text(&stale.stderr).contains("version 1"), "{}", text(&stale.stderr));
    std::fs::write(&file, RESTART.replace("echo", "echo changed")).unwrap();
    assert_eq!(system.prints(&["playbook", "publish", &file]), "restart@2\n");
    assert_eq!(system.prints(&["playbook", "versions", "restart"]).lines().count(), 3);
    let old = system.run(&["playbook", "run", "restart@1", "-P", "SERVICE=web"]);
    assert_eq!(text(&old.stdout), "web in eu: \n");
    let shared = system.prints(&["playbook", "share", "restart", "role:runner"]);
    assert_eq!(shared, "restart is shared with role:runner\n");

    let folder = system.home.path().join(".runvoy");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("restart.yml"), "commands: [echo from a file]\n").unwrap();
    let of_file = run(&[]);
    assert_eq!(text(&of_file.stdout), "from a file\n");
    assert!(text(&of_file.stderr).contains("restart.yml (a file)"), "{}", text(&of_file.stderr));
    assert_eq!(text(&run(&["--published", "-P", "SERVICE=web"]).stdout), "changed web in eu: \n");
    assert!(system.prints(&["playbook", "delete", "restart", "--yes"]).contains("deleted"));
    assert!(!run(&["--published"]).status.success());
}

#[test]
fn a_publication_tells_what_became_of_the_schedules_of_the_playbook() {
    let system = System::start();
    let file = system.home.path().join("tidy.yml");
    let write = |times: &str| {
        let text = format!(
            "schedules:\n- {{cron: {times}, parameters: {{V: 1.10}}}}\nparameters:\n- name: V\ncommands: [echo got $V]\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    let file = file.display().to_string();
    let publish = || {
        let output = system.run(&["playbook", "publish", &file]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    write("0 4 * * *");
    let (said, told) = publish();
    assert_eq!(said, "tidy@1\n");
    assert!(told.contains("schedule tidy created, runs next in "), "{told}");
    let values = &system.json(&["schedules", "show", "tidy", "-o", "json"])["schedule"]["playbook"]["parameters"];
    assert_eq!(values["V"], "1.10", "a value is the text that the file has");
    write("0 5 * * *");
    assert!(publish().1.contains("schedule tidy changed"));
    let of_file = system.run(&["playbook", "run", &file, "-P", "V=2"]);
    assert!(text(&of_file.stderr).contains("are those of the published playbook only"), "{}", text(&of_file.stderr));
    let deleted = system.run(&["playbook", "delete", "--yes", "tidy"]);
    assert!(text(&deleted.stderr).contains("schedule tidy deleted"), "{}", text(&deleted.stderr));
}

#[test]
fn a_file_with_an_unknown_key_or_a_wrong_value_is_not_published() {
    let (system, file) = with_file();
    for (text_of_file, word) in [
        (RESTART.replace("description: restarts", "descripton: restarts"), "descripton"),
        (RESTART.replace("[web, worker]", "[]"), "parameters[0].allowed"),
        (RESTART.replace("SERVICE,", "LD_PRELOAD,"), "reserved"),
    ] {
        std::fs::write(&file, text_of_file).unwrap();
        let refused = system.run(&["playbook", "publish", &file]);
        assert!(!refused.status.success() && text(&refused.stderr).contains(word), "{word}: {}", text(&refused.stderr));
    }
    assert!(system.prints(&["playbook", "list"]).is_empty());
}

#[test]
fn a_missing_value_of_a_published_playbook_is_asked_for_until_it_fits() {
    let (system, file) = with_file();
    system.prints(&["playbook", "publish", &file]);
    let (code, seen) =
        answers_on_terminal(system.command(&["playbook", "run", "restart"]), 80, "SERVICE: ", "mail\nworker\n");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("web, worker") && seen.contains("worker in eu"), "{seen}");
}

#[test]
fn names_of_published_playbooks_and_their_parameters_are_completed() {
    let (system, file) = with_file();
    system.prints(&["playbook", "publish", &file]);
    let completed = |words: &[&str]| {
        let mut command = system.command(&[&["--", "runvoy"], words].concat());
        command
            .env("COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9");
        command.env("_CLAP_COMPLETE_SPACE", "true").env("_CLAP_IFS", "\n");
        text(&command.output().unwrap().stdout)
    };
    assert!(completed(&["playbook", "run", "re"]).contains("restart"));
    assert!(completed(&["playbook", "delete", ""]).contains("restart"));
    let parameters = completed(&["playbook", "run", "restart", "-P", ""]);
    assert!(parameters.contains("SERVICE=web") && parameters.contains("NOTE="), "{parameters}");
}

#[test]
fn a_run_that_waits_is_shown_and_approved_or_denied() {
    let (system, file) = with_file();
    std::fs::write(&file, format!("approvals: {{by: ['role:operator'], expires: 2h}}\n{RESTART}")).unwrap();
    system.prints(&["playbook", "publish", &file]);
    assert_eq!(system.prints(&["approve"]), "");
    // The one who asks is another user than the one who decides.
    system.prints(&["users", "create", "dev@example.com", "--role", "developer", "-o", "json"]);
    let asked = |service: &str| {
        let created = system.json(&["users", "claim", "dev@example.com", "-o", "json"]);
        let claimed = bare(
            system.home.path(),
            &["claim", created["claim_token"].as_str().unwrap(), "--endpoint", &system.endpoint],
        )
        .output()
        .unwrap();
        assert!(claimed.status.success(), "{}", text(&claimed.stderr));
        let started =
            bare(system.home.path(), &["playbook", "run", "restart", "-d", "-P", &format!("SERVICE={service}")])
                .output()
                .unwrap();
        assert!(started.status.success(), "{}", text(&started.stderr));
        text(&started.stdout).trim().to_owned()
    };
    let id = asked("web");
    assert!(system.prints(&["approve"]).contains(&id));
    let approved = system.run(&["approve", &id, "--comment", "ticket 7"]);
    assert!(approved.status.success(), "{}", text(&approved.stderr));
    let said = text(&approved.stderr);
    assert!(said.contains("dev@example.com") && said.contains("SERVICE=web") && said.contains("echo"), "{said}");
    assert!(text(&approved.stdout).contains("Approved"));
    assert!(system.prints(&["describe", &id]).contains("approved by  admin@runvoy.local: ticket 7"));
    assert!(system.prints(&["logs", "-f", &id]).contains("web in eu"));
    assert!(!system.run(&["approve", &id]).status.success());

    // The same once more is a run of the playbook, which waits again.
    let again = system.prints(&["rerun", &id, "-d"]).trim().to_owned();
    let shown = system.json(&["show", &again, "-o", "json"]);
    assert_eq!((&shown["status"], &shown["source"]), (&json!("WAITING"), &json!("playbook:restart@1")));
    assert_eq!(shown["request"]["env"]["SERVICE"], "web");
    for option in ["--edit", "-eA=1"] {
        let refused = system.run(&["rerun", &id, option]);
        assert!(!refused.status.success() && text(&refused.stderr).contains("playbook"), "{}", text(&refused.stderr));
    }
}

#[test]
fn no_text_of_others_looks_like_a_line_of_runvoys_own() {
    let system = System::start();
    let file = system.home.path().join("forged.yaml");
    let forged = "FORGED=1";
    let playbook = json!({"description": format!("harmless\n{forged}"), "commands": ["true"], "approvals": {"by": ["role:operator"]},
        "parameters": [{"name": "NOTE", "type": "text", "description": format!("a note\n{forged}")}]});
    std::fs::write(&file, playbook.to_string()).unwrap();
    system.prints(&["playbook", "publish", file.to_str().unwrap()]);
    let value = format!("NOTE=first\n{forged}");
    let id = system.prints(&["playbook", "run", "forged", "-d", "-P", &value]);
    let asked = text(&system.run(&["approve", id.trim()]).stderr);
    assert!(asked.contains("NOTE=first\n    FORGED=1\n"), "{asked}");
    for shown in [asked, system.prints(&["playbook", "show", "forged"]), system.prints(&["describe", id.trim()])] {
        assert!(shown.contains(forged) && !shown.lines().any(|line| line.starts_with(forged)), "{shown}");
    }
}

#[test]
fn a_file_says_the_size_the_limits_and_the_lock_of_its_runs_and_options_win() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("p.yaml");
    std::fs::write(
        &file,
        "cpu: 1024\nmemory: 2048\ndisk: 50\nspot: true\ndeadline: 2h\nlock: tf\nslots: 2\non_conflict: queue\ncommands: [make]\n",
    )
    .unwrap();
    let body = |arguments: &[&str]| {
        let words = [&["playbook", "run", file.to_str().unwrap(), "--dry-run"], arguments].concat();
        let output = bare(home.path(), &words).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_str::<serde_json::Value>(&text(&output.stdout)).unwrap()
    };
    let said = body(&[]);
    for (field, expected) in [
        ("cpu", serde_json::json!(1024)),
        ("memory", serde_json::json!(2048)),
        ("disk", serde_json::json!(50)),
        ("spot", serde_json::json!(true)),
        ("deadline", serde_json::json!(7200)),
        ("lock", serde_json::json!(["tf"])),
        ("slots", serde_json::json!(2)),
        ("on_conflict", serde_json::json!("queue")),
    ] {
        assert_eq!(said[field], expected, "{field}: {said}");
    }
    let said = body(&["--cpu", "512", "--lock", "mine", "--deadline", "5m"]);
    assert_eq!((&said["cpu"], &said["deadline"]), (&serde_json::json!(512), &serde_json::json!(300)), "{said}");
    assert_eq!(said["lock"], serde_json::json!(["mine"]));
    assert!(said["slots"].is_null(), "slots are those of the file's lock: {said}");
}
