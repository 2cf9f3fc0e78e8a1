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
    assert_eq!(list.lines().count(), 7, "{list}");
    assert!(!list.contains("cannot be used"), "{list}");
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
