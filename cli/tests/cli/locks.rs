//! Tests of runs that wait for a lock.

use crate::prelude::*;

/// Reads what the program says until it says this.
fn read_until(own: &mut impl BufRead, wanted: &str) -> String {
    let mut said = String::new();
    while !said.contains(wanted) {
        assert!(own.read_line(&mut said).unwrap() > 0, "{said}");
    }
    said
}

#[test]
fn a_run_waits_in_line_for_a_lock_and_is_followed_when_it_starts() {
    let system = System::start();
    let gate = system.home.path().join("gate");
    let command = format!("until [ -e {} ]; do sleep 0.02; done", gate.display());
    let holder = system.prints(&["run", "--detach", "--lock", "tf-prod", &command]).trim().to_owned();
    let refused = system.run(&["run", "--lock", "tf-prod", "true"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(125), "{said}");
    assert!(said.contains(&holder) && said.contains("--queue") && !said.contains("on_conflict"), "{said}");
    for options in
        [&["run", "--after", &holder, "--if", "nope", "true"][..], &["notifications", "create", "n", "--on", "nope"]]
    {
        let said = text(&system.run(options).stderr);
        assert!(said.contains("succeeded") && !said.contains("variant"), "{said}");
    }

    let mut child = system.command(&["run", "--lock", "tf-prod", "--queue", "echo mine"]).spawn().unwrap();
    let mut own = BufReader::new(child.stderr.take().unwrap());
    read_until(&mut own, "queued for lock tf-prod, place 1 in line");
    let mut leaves = system.command(&["run", "--lock", "tf-prod", "--queue", "echo never"]).spawn().unwrap();
    let mut its_own = BufReader::new(leaves.stderr.take().unwrap());
    read_until(&mut its_own, "place 2 in line");

    let list = system.prints(&["locks", "list"]);
    assert!(list.contains("tf-prod"), "{list}");
    let shown = system.prints(&["locks", "show", "tf-prod"]);
    assert!(shown.starts_with("tf-prod: 1 of 1 slots held, 2 waiting") && shown.contains(&holder), "{shown}");

    signal(&leaves, "-INT");
    let mut rest = String::new();
    its_own.read_to_string(&mut rest).unwrap();
    let left = end_of(leaves);
    assert_eq!((left.status.code(), text(&left.stdout).as_str()), (Some(130), ""), "{rest}");
    assert_eq!(system.json(&["locks", "show", "tf-prod", "-o", "json"])["waiting"], 1);

    std::fs::write(&gate, "").unwrap();
    let mut rest = String::new();
    own.read_to_string(&mut rest).unwrap();
    let output = end_of(child);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "mine\n"), "{rest}");
    let none = system.run(&["locks", "set", "tf-prod", "--slots", "0"]);
    assert!(text(&none.stderr).contains("0 is not in 1..=1000"), "{}", text(&none.stderr));
    let set = system.prints(&["locks", "set", "tf-prod", "--slots", "2", "--pause"]);
    assert!(set.starts_with("tf-prod: 0 of 2 slots held, 0 waiting, paused"), "{set}");
    assert_eq!(system.prints(&["locks", "delete", "--yes", "tf-prod"]).trim(), "Lock deleted successfully");
    let gone = system.run(&["locks", "show", "tf-prod"]);
    assert_eq!(gone.status.code(), Some(125), "{}", text(&gone.stderr));
}
