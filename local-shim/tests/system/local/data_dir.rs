//! The folder of the state: one of an earlier program opens, and one that this program must not use is refused.

use std::{
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::program::{Program, command, fails, log_of};

/// Unpacks the folder that a program has left which wrote no version. It has four runs, two users, three images and a secret.
fn earlier(directory: &Path) -> PathBuf {
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/fixtures/data-dir-of-version-1.tar.gz");
    // The time of the archive's files is not kept, because a retention goes by it.
    let unpacked = Command::new("tar").arg("-xzmf").arg(archive).arg("-C").arg(directory).status().unwrap();
    assert!(unpacked.success());
    let data = directory.join(".runvoy-local");
    std::fs::rename(directory.join("of-an-earlier-program"), &data).unwrap();
    data
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_an_earlier_program_opens_with_all_that_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let data = earlier(directory.path());
    for start in ["the first", "the second"] {
        let program = Program::start(directory.path());
        let caller = &program.caller;
        let executions = caller.get("/executions?limit=0").await.json();
        let commands: Vec<_> = executions.as_array().unwrap().iter().map(|one| one["command"].clone()).collect();
        assert!(commands.contains(&json!("exit 3")), "{start}: {commands:?}");
        for number in 1..=3 {
            let line = format!("line one of {number}");
            let of_line = |one: &&serde_json::Value| one["command"].as_str().unwrap().contains(&line);
            let execution = executions.as_array().unwrap().iter().find(of_line).unwrap();
            let log = caller.log(execution["execution_id"].as_str().unwrap()).await;
            assert!(log.contains(&line), "{start}: {log:?}");
        }
        let users = caller.get("/users").await.text;
        assert!(users.contains("dev@example.com"), "{start}: {users}");
        assert_eq!(caller.get("/secrets/api-token").await.json()["secret"]["value"], "kept-from-before", "{start}");
        let run = json!({"command": "echo \"now $API_TOKEN\"", "image": "alpine:3.22", "secrets": ["api-token"]});
        let (id, _) = caller.run_to_end(run).await;
        assert!(caller.log(&id).await.contains(&"now kept-from-before".to_owned()), "{start}");
        // Streams that have ended are no files any more.
        let tasks = data.join("logs/runvoy_runvoy-local_tasks");
        let deadline = Instant::now() + Duration::from_mins(2);
        while std::fs::read_dir(&tasks).unwrap().count() > 0 {
            assert!(Instant::now() < deadline, "{start}: streams that have ended are still files");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        program.signal("-INT");
        assert_eq!(program.wait().0, Some(0));
        assert_eq!(std::fs::read_to_string(data.join("version")).unwrap().trim(), "2", "{start}");
    }
}

#[test]
fn a_folder_of_a_newer_program_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let data = earlier(directory.path());
    for (version, wanted) in [("999\n", "newer"), ("", "not a version"), ("one", "not a version")] {
        std::fs::write(data.join("version"), version).unwrap();
        let before = std::fs::read(data.join("dynamodb.sqlite")).unwrap();
        let said = fails(&mut command(directory.path()));
        assert!(said.contains(wanted) && said.contains("--data-dir"), "{version:?}: {said}");
        assert_eq!(std::fs::read_to_string(data.join("version")).unwrap(), version);
        assert!(std::fs::read(data.join("dynamodb.sqlite")).unwrap() == before, "the database is untouched");
    }
}

#[test]
fn a_first_start_takes_no_key_that_it_did_not_make() {
    let other = tempfile::tempdir().unwrap();
    let key = std::fs::read_to_string(earlier(other.path()).join("admin-key")).unwrap();
    for mode in [0o700, 0o755] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join(".runvoy-local");
        std::fs::DirBuilder::new().mode(0o700).create(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::write(data.join("admin-key"), &key).unwrap();
        let said = fails(&mut command(directory.path()));
        let wanted = if mode == 0o700 { "before its first start" } else { "chmod 700" };
        assert!(said.contains(wanted) && said.contains("--data-dir"), "{mode:o}: {said}");
        assert!(!said.contains(key.trim()), "{said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_of_another_user_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = earlier(directory.path());
    if std::os::unix::fs::chown(&data, Some(12_345), None).is_err() {
        println!("SKIPPED: only root can give a folder to another user");
        return;
    }
    let said = fails(&mut command(directory.path()));
    assert!(said.contains("belongs to another user") && said.contains("12345"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_names_what_the_file_env_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let env =
        "RUNVOY_CORS_ALLOWED_ORIGINS=https://app.example.com\nRUNVOY_LOGLEVEL=debug\nRUNVOY_REQUEST_TIMEOUT=29s\n";
    std::fs::write(directory.path().join(".env"), env).unwrap();
    let mut command = command(directory.path());
    command.env("RUNVOY_REQUEST_TIMEOUT", "28s");
    let program = Program::run(directory.path(), command);
    let named = program.welcome.lines().find(|line| line.contains(".env")).unwrap_or_default();
    assert!(named.contains("RUNVOY_CORS_ALLOWED_ORIGINS") && !named.contains("REQUEST_TIMEOUT"), "{named:?}");
    let log = log_of(directory.path());
    assert!(log.contains("https://app.example.com"), "opened CORS is said: {log}");
    assert!(log.contains("RUNVOY_LOGLEVEL is not a setting") && log.contains("RUNVOY_LOG_LEVEL"), "{log}");
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_says_where_the_first_one_answers() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let origin = program.caller.api.strip_suffix("/api/v1").unwrap();
    let port = origin.rsplit(':').next().unwrap();
    let said = fails(command(directory.path()).env("RUNVOY_DEV_SERVER_PORT", port));
    assert!(said.contains("runvoy already runs") && said.contains(origin), "{said}");
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[test]
fn a_bad_port_is_named_as_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    for flag in ["--port", "--event-port"] {
        let said = fails(command(directory.path()).args([flag, "abc"]));
        assert!(said.contains(flag) && said.contains("abc") && said.contains("wants a port"), "{said}");
    }
    let said = fails(command(directory.path()).env("RUNVOY_DEV_SERVER_PORT", "abc"));
    assert!(said.contains("RUNVOY_DEV_SERVER_PORT") && !said.contains("--port"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_may_be_named_by_its_arn() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(directory.path());
    command.env("RUNVOY_ECS_CLUSTER", "arn:aws:ecs:us-east-1:000000000000:cluster/mine");
    let program = Program::run(directory.path(), command);
    let (_, status) = program.caller.run_to_end(json!({"command": "echo works"})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}
