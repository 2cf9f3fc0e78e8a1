//! Tests of playbooks' files that are wrong: each is refused with its line, and with words for those who have written it.

use crate::prelude::*;

/// A file that is wrong, and what is said of it.
struct Wrong {
    file: Vec<u8>,
    says: &'static str,
}

fn wrong(file: impl Into<Vec<u8>>, says: &'static str) -> Wrong {
    Wrong { file: file.into(), says }
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_line_in_words_of_its_writer() {
    let home = tempfile::tempdir().unwrap();
    let with_parameter = |rest: &str| format!("commands: ['true']\nparameters:\n- name: A\n  {rest}\n");
    let nest = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &('b'..'k')
            .map(|at| format!("{at}: &{at} [{}]\n", format!("*{},", (at as u8 - 1) as char).repeat(9)))
            .collect::<String>();
    for Wrong { file, says } in [
        wrong("", "the file is empty: a playbook has at least commands"),
        wrong("# nothing yet\n\n", "the file is empty"),
        wrong("---\n", "the file is empty"),
        wrong("- echo a\n- echo b\n", "line 1: a playbook must be fields such as `commands:`, and not a list"),
        wrong("echo hello\n", "line 1: a playbook must be fields such as `commands:`, and not \"echo hello\""),
        wrong("commands:\n\t- echo a\n", "line 2: a tab at the beginning"),
        wrong("commands:\n- if true; then\n\techo a\n\tb: c\n", "line 3: a tab at the beginning"),
        wrong("commands: [echo a\n", "line 2: a list that begins with `[` is not closed"),
        wrong("commands:\n- echo a: b: c\n", "line 2: a colon where none can be"),
        wrong("commands:\n- \"echo a\n", "a quote is not closed"),
        wrong("commands: [@x]\n", "line 1: a character with which no text begins"),
        wrong("description: x\n", "line 1: a playbook needs commands"),
        wrong(
            "commands: echo a\n",
            "line 1: commands must be a list of commands, each in a line that begins with `- `, and not \"echo a\"",
        ),
        wrong("commands:\n", "line 1: commands has no command"),
        wrong("description: x\ncommands:\n- echo a\n- {b: c}\n", "line 4: commands[1] must be a text, and not fields"),
        wrong("commands: []\n", "line 1: commands has no command"),
        wrong("commands: ['true']\ncommands: ['false']\n", "commands is given twice"),
        wrong("commands: ['true']\nenv: {A: 1, A: 2}\n", "A is given twice"),
        wrong(
            "commands: ['true']\nenv: [A=1]\n",
            "line 2: env must be names with values, such as `NAME: value`, and not a list",
        ),
        wrong("commands: ['true']\nenv:\n  A: [1]\n", "line 3: env.A must be a text, and not a list"),
        wrong(
            "commands: ['true']\ntimeout: soon\n",
            "line 2: timeout must be seconds, or a duration such as 90s, 10m, 1h30m or 1d, and not \"soon\"",
        ),
        wrong("commands: ['true']\ncpu: lots\n", "line 2: cpu must be a whole number, and not \"lots\""),
        wrong("commands: ['true']\nspot: maybe\n", "line 2: spot must be true or false, and not \"maybe\""),
        wrong(
            "commands: ['true']\nsecrets: token\n",
            "line 2: secrets must be a list of names, such as [one, two], and not \"token\"",
        ),
        wrong(
            "commands: ['true']\non_conflict: wait\n",
            "line 2: on_conflict must be one of refuse, queue, and not \"wait\"",
        ),
        wrong("commands: ['true']\nretry: 3\n", "line 2: retry must be fields such as `attempts:`, and not 3"),
        wrong("commands: ['true']\nretry: {on: [exit]}\n", "line 2: retry needs attempts"),
        wrong(
            "commands: ['true']\nparameters: {A: x}\n",
            "line 2: parameters must be a list, of which each entry has a name, and not fields",
        ),
        wrong(
            "commands: ['true']\nparameters: [A]\n",
            "line 2: parameters[0] must be fields such as `name:`, and not \"A\"",
        ),
        wrong("commands: ['true']\nparameters:\n- type: string\n", "line 3: parameters[0] needs name"),
        wrong(
            with_parameter("type: strin"),
            "line 4: parameters[0].type must be one of string, text, number, boolean, choice, choices, date, and not \"strin\"",
        ),
        wrong(with_parameter("required: perhaps"), "line 4: parameters[0].required must be true or false"),
        wrong(with_parameter("pattern: '('"), "line 4: pattern is no regular expression"),
        wrong(with_parameter("allowed: [a, a]"), "line 4: an allowed value is there twice"),
        wrong(with_parameter("default: x\n  type: number"), "line 4: A must be a number"),
        wrong(
            "commands: ['true']\nparameters:\n- name: A\n- name: 1x\n",
            "line 4: the parameter \"1x\" cannot be a variable",
        ),
        wrong("commands: ['true']\nparameters:\n- name: A\n- name: A\n", "line 4: two parameters have the name A"),
        wrong("commands: ['true']\nenv: *nowhere\n", "line 2: an alias `*` of an anchor that the file does not have"),
        wrong(
            "commands: ['true']\n---\ncommands: ['false']\n",
            "a file has one playbook, and this one has several documents",
        ),
        wrong(nest, "anchors repeat too much of the file"),
        wrong(b"\x7fELF\x02\x01\x01\0\xff\xfe".to_vec(), "line 1: this is not text in UTF-8"),
        wrong("commands: [\"a\0b\"]\n", "line 1: this is not YAML"),
        wrong("#".repeat(200_000), "a playbook's file has at most 131072 bytes"),
    ] {
        let path = home.path().join("p.yaml");
        std::fs::write(&path, &file).unwrap();
        let refused = end_of(bare(home.path(), &["playbook", "show", "p.yaml"]).spawn().unwrap());
        let said = text(&refused.stderr);
        let shown = String::from_utf8_lossy(&file).chars().take(200).collect::<String>();
        assert_eq!(refused.status.code(), Some(125), "{shown}: {said}");
        assert!(
            said.contains(&format!("p.yaml: {says}")) || said.contains("p.yaml") && said.contains(says),
            "{shown}: {said}"
        );
        for jargon in
            ["struct ", "expected ", "sequence", "mapping", "unit value", "enum", "invalid type", "EOF", "variant"]
        {
            assert!(!said.contains(jargon), "{shown}: {said}");
        }
    }
}

#[test]
fn the_api_refuses_a_file_that_is_wrong_in_the_same_words() {
    let system = System::start();
    let file = system.home.path().join("p.yaml");
    std::fs::write(&file, "commands: ['true']\ntimeout: [1]\n").unwrap();
    let here = system.run(&["playbook", "publish", "p.yaml"]);
    let words = "line 2: timeout must be seconds, or a duration such as 90s, 10m, 1h30m or 1d, and not a list";
    assert!(text(&here.stderr).contains(words), "{}", text(&here.stderr));
    let body = json!({"file": std::fs::read_to_string(&file).unwrap()}).to_string();
    let answer = Command::new("curl")
        .args([
            "-s",
            "-X",
            "POST",
            "-H",
            &format!("x-api-key: {}", system.key),
            "-H",
            "content-type: application/json",
            "-d",
            &body,
        ])
        .arg(format!("{}/api/v1/playbooks", system.endpoint))
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert!(answer.to_string().contains(words), "{answer}");
    assert_eq!(answer["field"], "file", "{answer}");
}
