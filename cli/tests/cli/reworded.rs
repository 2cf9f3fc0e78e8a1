//! Runs commands that the API refuses, once as it answers and once with every sentence of the answer replaced. The program decides by
//! code and field, so that nothing else differs.

use std::net::{TcpListener, TcpStream};

use crate::prelude::*;

const PROBLEM: &str = "The problem in other words";
const HINT: &str = "another hint";

/// Passes requests on to a port, and lets `alter` change the JSON of each answer. Returns the port that takes the requests.
pub(crate) fn altering_proxy(to: u16, alter: impl Fn(&mut Value) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let alter = alter.clone();
            std::thread::spawn(move || {
                let request = message(&mut client);
                let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                server.write_all(&request).unwrap();
                let answer = text(&message(&mut server));
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                let mut body = body.to_owned();
                if let Ok(mut json) = serde_json::from_str(&body) {
                    alter(&mut json);
                    body = json.to_string();
                }
                let kept = head.lines().filter(|line| {
                    let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
                    !["content-length", "connection", "transfer-encoding"].contains(&name.as_str())
                });
                let head: String = kept.map(|line| format!("{line}\r\n")).collect();
                let length = body.len();
                let _ = write!(client, "{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
            });
        }
    });
    port
}

/// Replaces the sentences of each refusal, and notes what it replaced.
fn rewording_proxy(to: u16) -> (u16, std::sync::mpsc::Receiver<(String, Option<String>)>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let reword = move |answer: &mut Value| {
        let Some(refusal) = answer.as_object_mut() else { return };
        let Some(error) = refusal.get("error").and_then(Value::as_str).map(str::to_owned) else { return };
        let hint = refusal.get("hint").and_then(Value::as_str).map(str::to_owned);
        refusal["error"] = json!(PROBLEM);
        refusal["details"] = json!(PROBLEM);
        if hint.is_some() {
            refusal["hint"] = json!(HINT);
        }
        sender.send((error, hint)).unwrap();
    };
    (altering_proxy(to, reword), receiver)
}

/// A request or an answer, head and body.
fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
    }
    let head = text(&bytes).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    bytes.extend(body);
    bytes
}

/// The link of a new user.
fn claim_of(system: &System, email: &str) -> String {
    system.prints(&["users", "create", email, "--role", "viewer"]).trim().to_owned()
}

/// Words of the API in which no hint speaks to someone who types commands.
const API_WORDS: [&str; 9] =
    ["/api/v1", "GET ", "POST ", "PUT ", "DELETE ", "on_conflict", "key_name", "git_repo", "max_queue"];

#[test]
fn no_command_depends_on_the_words_of_a_refusal() {
    let system = System::start();
    system.prints(&["secrets", "create", "taken", "TAKEN", "value"]);
    system.prints(&["secrets", "create", "same", "TAKEN", "value"]);
    // Someone who has a key cannot be created again.
    system.prints(&["claim", &claim_of(&system, "taken@example.com")]);
    std::fs::remove_dir_all(system.home.path().join(".runvoy")).unwrap();
    claim_of(&system, "gone@example.com");
    system.prints(&["users", "revoke", "--yes", "gone@example.com"]);
    system.prints(&["locks", "set", "paused", "--pause"]);
    system.prints(&["schedules", "create", "taken", "--cron", "0 4 * * *", "true"]);
    system.prints(&["notifications", "create", "taken", "--webhook", "http://127.0.0.1:9/"]);
    let long = "x".repeat(9000);
    let (proxy, replaced) = rewording_proxy(system.shim.as_ref().unwrap().orchestrator.port());
    let unknown = "0123456789abcdef0123456789abcdef";
    let commands: &[&[&str]] = &[
        &["run", "-i", "unregistered:1", "true"],
        &["run", "--secret", "unknown", "true"],
        &["run", "--timeout", "30d", "true"],
        &["run", "-e", "RUNVOY_X=1", "true"],
        &["status", unknown],
        &["describe", unknown],
        &["logs", unknown],
        &["kill", unknown],
        &["list", "--status", "NONE"],
        &["images", "show", "unknown:1"],
        &["images", "unregister", "unknown:1"],
        &["images", "register", "no image"],
        &["images", "register", "a:1", "--cpu", "1"],
        &["secrets", "get", "unknown"],
        &["secrets", "create", "taken", "TAKEN", "value"],
        &["secrets", "create", "other", "1X", "value"],
        &["secrets", "create", "other", "PATH", "value"],
        &["secrets", "update", "unknown", "--value", "x"],
        &["secrets", "delete", "--yes", "unknown"],
        &["users", "create", "nobody", "--role", "viewer"],
        &["users", "create", "b@example.com", "--role", "king"],
        &["users", "role", "unknown@example.com", "viewer"],
        &["users", "revoke", "--yes", "unknown@example.com"],
        &["users", "renew", "unknown@example.com"],
        &["keys", "delete", "--yes", "unknown"],
        &["claim", "unknown"],
        &["users", "create", "taken@example.com", "--role", "viewer"],
        &["users", "create", "gone@example.com", "--role", "viewer"],
        &["users", "claim", "gone@example.com"],
        &["users", "show", "unknown@example.com"],
        &["run", "--secret", "taken", "--secret", "same", "true"],
        &["run", "--cpu", "256", "--memory", "99999", "true"],
        &["run", "--git-repo", "git@example.com:a/b.git", "true"],
        &["run", "--lock", "paused", "true"],
        &["run", "--after", unknown, "true"],
        &["run", "--queue", "--lock", "paused", "-e", "DB_PASSWORD=x", "true"],
        &["run", &long],
        &["locks", "show", "unknown"],
        &["schedules", "create", "taken", "--cron", "0 4 * * *", "true"],
        &["schedules", "create", "other", "--cron", "0 4 * * *", "-e", "DB_PASSWORD=x", "true"],
        &["schedules", "create", "other", "--cron", "0 4 * * *", "--playbook", "unknown"],
        &["schedules", "show", "unknown"],
        &["notifications", "create", "taken", "--webhook", "http://127.0.0.1:9/"],
        &["notifications", "show", "unknown"],
        &["playbook", "share", "unknown", "role:runner"],
        &["keys", "create", "\u{202e}"],
        &["keys", "create", "ci", "--action", "none"],
        &["approve", unknown],
        &["audit", "--outcome", "none"],
        &["trace", "none"],
    ];
    let mut refused = 0;
    for key in [system.key.as_str(), "not-a-key", ""] {
        let ask = |endpoint: &str, arguments: &[&str]| {
            let mut command = system.command(arguments);
            command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", key).output().unwrap()
        };
        for arguments in commands {
            let proxied = ask(&format!("http://localhost:{proxy}"), arguments);
            let words: Vec<(String, Option<String>)> = replaced.try_iter().collect();
            let direct = ask(&system.endpoint, arguments);
            let mut expected = text(&direct.stderr).replace(&system.endpoint, "ENDPOINT");
            let mut shown = text(&proxied.stderr).replace(&format!("http://localhost:{proxy}"), "ENDPOINT");
            let own = words.iter().fold(expected.clone(), |own, (problem, _)| own.replace(problem.as_str(), PROBLEM));
            assert_eq!(API_WORDS.iter().find(|word| own.contains(**word)), None, "{arguments:?}: {own}");
            for (problem, hint) in &words {
                // The program's own hint may have the same words.
                if let Some(hint) = hint {
                    expected = expected.replace(hint.as_str(), HINT);
                    shown = shown.replace(hint.as_str(), HINT);
                }
                expected = expected.replace(problem.as_str(), PROBLEM);
            }
            assert_eq!(shown, expected, "{arguments:?}, refused with {words:?}");
            assert_eq!(proxied.status.code(), direct.status.code(), "{arguments:?}");
            assert_eq!(text(&proxied.stdout), text(&direct.stdout), "{arguments:?}");
            refused += usize::from(!words.is_empty());
        }
    }
    assert!(refused > 2 * commands.len(), "only {refused} commands were refused by the API");
}
