//! Tests of executions that are named by the beginning of an id.

use crate::prelude::*;

#[test]
fn a_beginning_of_an_id_is_looked_for_on_older_pages_if_newer_ones_have_none() {
    let system = System::start();
    let first = system.prints(&["run", "-d", "true"]).trim().to_owned();
    system.prints(&["status", "--wait", &first]);
    let second = system.prints(&["run", "-d", "true"]).trim().to_owned();
    system.prints(&["status", "--wait", &second]);
    let page = |id: &str| {
        json!([system
            .json(&["list", "-o", "json"])
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["execution_id"] == id)
            .unwrap()])
    };
    let more = "Link: </api/v1/executions?cursor=older>; rel=\"next\"\r\n";
    let newest = || (200, more.to_owned(), page(&second).to_string());
    let status = system.json(&["status", &first, "-o", "json"]).to_string();
    let (endpoint, heads) = canned_with_headers(vec![
        newest(),
        (200, String::new(), page(&first).to_string()),
        (200, String::new(), status),
        newest(),
        (200, String::new(), page(&first).to_string()),
    ]);
    let asked = |id: &str| {
        let mut command = bare(system.home.path(), &["status", id, "-o", "json"]);
        end_of(command.env("RUNVOY_ENDPOINT", &endpoint).env("RUNVOY_API_KEY", &system.key).spawn().unwrap())
    };
    let found = asked(&first[..12]);
    let said = text(&found.stderr);
    assert!(said.contains("none of the newest 1 executions") && said.contains("looking further back"), "{said}");
    assert!(text(&found.stdout).contains(&first), "{}", text(&found.stdout));
    assert!(heads.lock().unwrap()[1].contains("cursor=older"));
    let unknown = asked("0000");
    let said = text(&unknown.stderr);
    assert!(said.contains("none of the 2 executions has an id that begins with 0000"), "{said}");
}

#[test]
fn a_beginning_that_executions_of_two_pages_have_is_refused() {
    let system = System::start();
    let id = system.prints(&["run", "-d", "true"]).trim().to_owned();
    system.prints(&["status", "--wait", &id]);
    let newest = system.json(&["list", "-o", "json"]).as_array().unwrap()[0].clone();
    let mut older = newest.clone();
    older["execution_id"] = json!(format!("{}{}", &id[..12], "0".repeat(20)));
    let more = "Link: </api/v1/executions?cursor=older>; rel=\"next\"\r\n".to_owned();
    let (endpoint, _) = canned_with_headers(vec![
        (200, more, json!([newest]).to_string()),
        (200, String::new(), json!([older]).to_string()),
    ]);
    let mut command = bare(system.home.path(), &["kill", &id[..12]]);
    let ended = end_of(command.env("RUNVOY_ENDPOINT", &endpoint).env("RUNVOY_API_KEY", &system.key).spawn().unwrap());
    assert!(!ended.status.success());
    assert!(text(&ended.stderr).contains("2 executions have ids that begin with"), "{}", text(&ended.stderr));
}
