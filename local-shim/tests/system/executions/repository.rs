//! Tests of `POST /run` with `git_repo`: the clone, its ref, its secret, and the folder in which the command runs.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use crate::client::System;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_bounds_the_clone_and_the_command_together() {
    let system = System::start().await;
    // A server that takes connections and never answers.
    let server = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let repo = format!("http://127.0.0.1:{}/repo", server.local_addr().unwrap().port());
    let started = std::time::Instant::now();
    let (id, status) = system.admin.run_to_end(json!({"command": "true", "git_repo": repo, "timeout": 1})).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(124)));
    assert_eq!(status["reason"], "timed out after 1 s, while the repository was being cloned");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let log = system.admin.log(&id).await.join("\n");
    assert!(log.contains("the time limit of 1 seconds passed while the repository was being cloned"), "{log}");
    system.shim.shut_down().await;
}

/// A repository with one file on a branch, and with a tag.
pub(super) fn repository(directory: &std::path::Path) -> String {
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .current_dir(directory)
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        String::from_utf8(status.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    std::fs::create_dir(directory.join("scripts")).unwrap();
    std::fs::write(directory.join("scripts/which.txt"), "first\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "one"]);
    git(&["tag", "v1"]);
    std::fs::write(directory.join("scripts/which.txt"), "second\n").unwrap();
    git(&["commit", "--quiet", "-am", "two"]);
    git(&["rev-parse", "HEAD~1"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_sees_its_git_repository_at_the_ref_it_names() {
    let system = System::start().await;
    let directory = tempfile::tempdir().unwrap();
    let first = repository(directory.path());
    let url = format!("file://{}", directory.path().display());
    for (git_ref, expected) in [
        (Some("main"), "second"),
        (Some("v1"), "first"),
        (Some(&first[..]), "first"),
        (Some(&first[..8]), "first"),
        (None, "second"),
    ] {
        let (id, status) = system
            .admin
            .run_to_end(json!({"command": "cat which.txt", "git_repo": url, "git_ref": git_ref, "git_path": "scripts"}))
            .await;
        let log = system.admin.log(&id).await;
        assert_eq!(status["status"], "SUCCEEDED", "{git_ref:?} {log:#?}");
        assert!(log.iter().any(|line| line == expected), "{git_ref:?} {log:#?}");
        assert!(log[0].starts_with("### runvoy sidecar: cloning "), "{log:#?}");
    }
    system.shim.shut_down().await;
}

/// A server that asks for credentials, and what it is sent as `Authorization`.
fn private_server() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/private.git", listener.local_addr().unwrap());
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = sent.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let header = request.iter().find_map(|line| line.strip_prefix("Authorization: "));
            seen.lock().unwrap().extend(header.map(str::to_owned));
            let _ = stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    (url, sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_repository_is_cloned_with_a_secret_that_no_line_shows() {
    let system = System::start().await;
    let (url, sent) = private_server();
    let (id, status) = system.admin.run_to_end(json!({"command": "true", "git_repo": url})).await;
    assert_eq!(status["status"], "FAILED");
    let log = system.admin.log(&id).await.join("\n");
    assert!(log.contains("asks for credentials") && log.contains("GITHUB_TOKEN"), "{log}");
    assert!(sent.lock().unwrap().is_empty());

    let secret = json!({"name": "token", "key_name": "GITHUB_TOKEN", "value": "s3cr3t-t0ken"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let body = json!({"command": "true", "git_repo": url, "secrets": ["token"]});
    let (id, status) = system.admin.run_to_end(body).await;
    assert_eq!(status["status"], "FAILED", "the server refuses every token");
    let log = system.admin.log(&id).await.join("\n");
    assert!(!log.contains("s3cr3t-t0ken"), "{log}");
    // x-access-token:s3cr3t-t0ken
    let basic = "Basic eC1hY2Nlc3MtdG9rZW46czNjcjN0LXQwa2Vu";
    assert!(sent.lock().unwrap().iter().any(|header| header == basic), "{:?}", sent.lock().unwrap());

    // git forgets the credentials that were refused, and says of the second try that it has none.
    let with_password = url.replace("http://", "http://me:s3cr3t-pw@");
    let (_, status) = system.admin.run_to_end(json!({"command": "true", "git_repo": with_password})).await;
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("fatal: Authentication failed") && !reason.contains("s3cr3t-pw"), "{reason}");

    for url in ["git@github.com:owner/private.git", "ssh://git@github.com/owner/private.git"] {
        let refused = system.admin.post("/run", &json!({"command": "true", "git_repo": url})).await;
        assert_eq!(refused.status, 400, "{url}");
        assert!(refused.text.contains("https://"), "{}", refused.text);
    }
    system.shim.shut_down().await;
}

/// Each process of a machine shows its arguments to all users.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_in_a_url_reach_the_server_and_are_in_no_programs_arguments() {
    // user:pa55/w0rd, and a token in the place of the user
    reach_the_server_only("user:pa55%2Fw0rd", "Basic dXNlcjpwYTU1L3cwcmQ=").await;
    reach_the_server_only("pa55t0ken", "Basic cGE1NXQwa2VuOg==").await;
}

async fn reach_the_server_only(credentials: &str, header_that_is_sent: &str) {
    let system = System::start().await;
    let (url, sent) = private_server();
    let url = url.replacen("http://", &format!("http://{credentials}@"), 1);
    let shown = Arc::new(Mutex::new(Vec::new()));
    let (found, is_over) = (shown.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let over = is_over.clone();
    let looking = std::thread::spawn(move || {
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
                if arguments.contains("pa55") {
                    found.lock().unwrap().push(arguments);
                }
            }
        }
    });
    let (id, status) = system.admin.run_to_end(json!({"command": "true", "git_repo": url})).await;
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    looking.join().unwrap();
    assert_eq!(status["status"], "FAILED", "the server refuses every password");
    assert!(sent.lock().unwrap().iter().any(|header| header == header_that_is_sent), "{:?}", sent.lock().unwrap());
    assert!(shown.lock().unwrap().is_empty(), "{:?}", shown.lock().unwrap());
    assert!(!system.admin.log(&id).await.join("\n").contains("pa55"));
    system.shim.shut_down().await;
}
