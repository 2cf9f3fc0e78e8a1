//! The program itself, against a local system.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use local_shim::{Settings, Shim};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A local system, and a home folder without a configuration.
struct System {
    runtime: Runtime,
    shim: Option<Shim>,
    home: TempDir,
    endpoint: String,
    key: String,
}

impl System {
    fn start() -> Self {
        Self::start_with(Settings::ephemeral())
    }

    fn start_with(settings: Settings) -> Self {
        let runtime = local_shim::runtime().unwrap();
        let shim = runtime.block_on(Shim::start(settings)).unwrap();
        Self {
            endpoint: format!("http://localhost:{}", shim.orchestrator.port()),
            key: shim.admin_key.expose().to_owned(),
            shim: Some(shim),
            runtime,
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(self.home.path(), arguments);
        command.env("RUNVOY_ENDPOINT", &self.endpoint).env("RUNVOY_API_KEY", &self.key);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command prints that succeeds.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(arguments)).unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(shim) = self.shim.take() {
            self.runtime.block_on(shim.shut_down());
        }
    }
}

/// The program with nothing of this process's environment.
fn bare(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runvoy"));
    command.args(arguments).env_clear().env("HOME", home).current_dir(home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn numbers(to: u32) -> String {
    (1..=to).map(|number| format!("{number}\n")).collect()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits for the end of a program, and kills one that does not end.
fn end_of(mut child: Child) -> Output {
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end: {}", text(&child.wait_with_output().unwrap().stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_run_prints_the_lines_of_the_command_and_ends_with_its_exit_code() {
    let system = System::start();
    let output = system.run(&["run", "echo out; echo err >&2; exit 3"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), "out\nerr\n"));
    let own = text(&output.stderr);
    assert!(own.contains("### runvoy runner: command ended, exit code => 3"), "{own}");
    assert!(own.contains("FAILED, exit code 3"), "{own}");

    for (arguments, expected) in [
        (&["run", "echo", "a   b", "$HOME"][..], "a b /"),
        (&["run", "echo 'a   b'"], "a   b"),
        (&["run", "--", "printf", "<%s>", "a   b", "it's", "$HOME", ""], "<a   b><it's><$HOME><>"),
        (&["run", "-e", "STAGE=a=b", "echo $STAGE"], "a=b"),
        (&["run", "-i", "ubuntu:22.04", "--timeout", "1m", "-p", "", "echo ok"], "ok"),
    ] {
        let printed = system.prints(arguments);
        assert!(printed.starts_with(expected), "{arguments:?}: {printed}");
    }
    assert_eq!(system.run(&["run", "--timeout", "1s", "sleep 60"]).status.code(), Some(124));
    let variable = system
        .command(&["run", "echo $MINE $OTHER", "-e", "OTHER=given"])
        .env("RUNVOY_USER_MINE", "mine")
        .env("RUNVOY_USER_OTHER", "lost")
        .output()
        .unwrap();
    assert_eq!(text(&variable.stdout), "mine given\n");

    std::fs::write(system.home.path().join("script.sh"), "echo of a file\nexit 4\n").unwrap();
    let output = system.run(&["run", "-f", "script.sh"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(4), "of a file\n"));
    let mut child = system.command(&["run", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo of standard input\n").unwrap();
    assert_eq!(text(&end_of(child).stdout), "of standard input\n");
}

#[test]
fn an_execution_is_started_found_watched_and_stopped() {
    let system = System::start();
    let id = system.prints(&["run", "--detach", "echo first; sleep 600"]);
    let id = id.strip_suffix('\n').unwrap();
    assert_eq!(id.len(), 32, "nothing but the id: {id:?}");
    let list = system.prints(&["list"]);
    assert!(list.lines().nth(1).unwrap().contains(id), "{list}");
    assert_eq!(system.prints(&["list", "--status", "failed"]), "");
    let mut following = system.command(&["logs", "-f", id]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(following.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "first\n");
    assert_eq!(system.prints(&["logs", id]), "first\n");
    let stamped = system.prints(&["logs", "--timestamps", id]);
    assert!(stamped.starts_with("20") && stamped.ends_with("Z first\n"), "{stamped}");
    assert!(system.run(&["kill", id]).status.success());
    assert_eq!(end_of(following).status.code(), Some(130));
    assert_eq!(system.run(&["status", "--wait", id]).status.code(), Some(130));
    let status = system.json(&["status", id, "-o", "json"]);
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("STOPPED"), &json!(130)));
    assert!(system.run(&["kill", id]).status.success(), "to stop it again changes nothing");
    assert_eq!(system.run(&["kill", "0123456789abcdef0123456789abcdef"]).status.code(), Some(125));
}

#[test]
fn ctrl_c_stops_the_execution_and_waits_for_its_last_lines() {
    let system = System::start();
    for name in ["-INT", "-TERM", "-HUP"] {
        let mut child =
            system.command(&["run", "trap 'echo bye; exit' TERM; echo up; sleep 600 & wait"]).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        signal(&child, name);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "bye\n", "{name}");
        assert_eq!(end_of(child).status.code(), Some(130), "{name}");
    }
    let list = system.json(&["list", "-o", "json"]);
    assert!(list.as_array().unwrap().iter().all(|execution| execution["status"] == "STOPPED"), "{list}");

    let mut child = system.command(&["run", "--on-interrupt", "detach", "echo up; sleep 600"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    signal(&child, "-INT");
    let output = end_of(child);
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stderr).contains("runvoy logs -f"), "{}", text(&output.stderr));
    assert_eq!(system.json(&["list", "-o", "json", "--limit", "1"])[0]["status"], "RUNNING");
}

#[test]
fn a_second_ctrl_c_leaves_at_once_and_says_how_to_come_back() {
    let system = System::start();
    let mut child = system.command(&["run", "trap '' TERM; echo up; sleep 5; sleep 5"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    signal(&child, "-INT");
    let mut own = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("stopping the execution") {
        assert!(own.read_line(&mut said).unwrap() > 0, "{said}");
    }
    signal(&child, "-INT");
    let interrupted = Instant::now();
    own.read_to_string(&mut said).unwrap();
    assert_eq!(end_of(child).status.code(), Some(130));
    assert!(interrupted.elapsed() < Duration::from_secs(3), "{:?}", interrupted.elapsed());
    assert!(said.contains("runvoy logs -f") || said.contains("runvoy kill"), "{said}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let system = System::start();
    let mut child = system.command(&["run", "yes | head -n 200000"]).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    drop(out);
    let output = end_of(child);
    assert_eq!(output.status.code(), Some(141));
    assert!(
        !text(&output.stderr).contains("panicked") && !text(&output.stderr).contains("cannot"),
        "{}",
        text(&output.stderr)
    );
}

/// Passes connections on to a port, and cuts each after this long.
fn cutting_proxy(to: u16, cut_after: Duration) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let cuts = Arc::new(AtomicU64::new(0));
    let counted = cuts.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server.try_clone().unwrap(), client.try_clone().unwrap()),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
            let counted = counted.clone();
            std::thread::spawn(move || {
                std::thread::sleep(cut_after);
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
                counted.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    (port, cuts)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn every_line_comes_once_and_in_order_over_a_connection_that_is_cut_again_and_again() {
    let port = free_port();
    let (proxy, cuts) = cutting_proxy(port, Duration::from_millis(200));
    let overrides = [("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), format!("http://localhost:{proxy}/ws"))].into();
    let system = System::start_with(Settings { orchestrator_port: port, overrides, ..Settings::ephemeral() });
    let output =
        system.run(&["run", "for i in $(seq 60); do seq $((i * 500 - 499)) $((i * 500)); sleep 0.03; done; exit 5"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(text(&output.stdout) == numbers(30_000), "{}", text(&output.stderr));
    assert!(cuts.load(Ordering::Relaxed) > 3, "the connection was cut {cuts:?} times");
    assert!(text(&output.stderr).contains("connecting again"), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_dies_and_comes_back_in_the_middle_loses_no_line() {
    let port = free_port();
    let data = tempfile::tempdir().unwrap();
    let settings =
        || Settings { orchestrator_port: port, data_dir: Some(data.path().to_owned()), ..Settings::ephemeral() };
    let mut system = System::start_with(settings());
    let mut child = system.command(&["run", "seq 100000; sleep 600"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    for _ in 0..1000 {
        out.read_line(&mut printed).unwrap();
    }
    // The first program is not read any further, and so is in the middle of the log when the other has all of it.
    let id = system.json(&["list", "-o", "json"])[0]["execution_id"].as_str().unwrap().to_owned();
    let mut other = system.command(&["logs", "-f", &id]).spawn().unwrap();
    let all = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok).any(|line| line == "100000");
    assert!(all);
    other.kill().unwrap();
    other.wait().unwrap();
    // Dropped, the system stops at once, and closes no execution.
    drop(system.shim.take());
    let runtime = std::mem::replace(&mut system.runtime, local_shim::runtime().unwrap());
    runtime.shutdown_timeout(Duration::from_secs(5));
    system.shim = Some(system.runtime.block_on(Shim::start(settings())).unwrap());
    out.read_to_string(&mut printed).unwrap();
    let output = end_of(child);
    assert!(printed == numbers(100_000), "{} lines: {}", printed.lines().count(), text(&output.stderr));
    // The system killed the command (137), or the next start found its task gone (1).
    assert!(matches!(output.status.code(), Some(1 | 137)), "{}", text(&output.stderr));
}

/// A server that gives these answers to one request each, and the heads of those requests.
fn canned(answers: Vec<(u16, String)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next())
                .map_or(0, |length| length.parse().unwrap());
            stream.read_exact(&mut vec![0; length]).unwrap();
            seen.lock().unwrap().push(head);
            if status > 0 {
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (endpoint, heads)
}

#[test]
fn a_run_is_sent_again_as_the_same_run() {
    let started =
        json!({"execution_id": "abc", "log_url": "", "image_id": "", "websocket_url": "", "status": "STARTING"});
    // 0 closes the connection without an answer.
    let answers = [503, 429, 0, 502, 504].map(|status| (status, "{}".to_owned()));
    let answers = answers.into_iter().chain([(202, started.to_string())]).collect();
    let (endpoint, heads) = canned(answers);
    let home = tempfile::tempdir().unwrap();
    let output = bare(home.path(), &["run", "-d", "true"])
        .env("RUNVOY_ENDPOINT", endpoint)
        .env("RUNVOY_API_KEY", "k")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "abc\n", "{}", text(&output.stderr));
    let keys: Vec<String> = heads
        .lock()
        .unwrap()
        .iter()
        .map(|head| head.lines().find(|line| line.starts_with("idempotency-key: ")).unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 6);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_failure_of_its_own_has_a_code_of_its_own_and_says_what_to_do() {
    let system = System::start();
    let home = system.home.path();
    let closed = format!("http://localhost:{}", free_port());
    let list = |variables: &[(&str, &str)]| {
        let mut command = bare(home, &["list"]);
        command.envs(variables.iter().copied());
        command
    };
    let (endpoint, key) = (("RUNVOY_ENDPOINT", system.endpoint.as_str()), ("RUNVOY_API_KEY", system.key.as_str()));
    let cases: [(Command, &[&str]); 6] = [
        (list(&[]), &["no endpoint is configured", "runvoy configure"]),
        (list(&[endpoint]), &["no API key", "RUNVOY_API_KEY"]),
        (list(&[endpoint, ("RUNVOY_API_KEY", "wrong-wrong-wrong-wrong-wrong")]), &["runvoy configure"]),
        (list(&[("RUNVOY_ENDPOINT", "ftp://x"), key]), &["ftp://x", "https://"]),
        (list(&[("RUNVOY_ENDPOINT", &closed), key]), &[&closed, "just run-local"]),
        (system.command(&["run", "-i", "missing:1", "true"]), &["missing:1", "registered images: ubuntu:22.04"]),
    ];
    for (mut command, words) in cases {
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(output.stdout.is_empty() && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_configuration_is_written_for_its_owner_only_and_keeps_what_else_it_has() {
    let system = System::start();
    let home = system.home.path();
    std::fs::create_dir(home.join(".runvoy")).unwrap();
    let file = home.join(".runvoy/config.yaml");
    std::fs::write(&file, "# mine\nweb_url: https://web.example.com\n").unwrap();
    let configured = bare(home, &["configure", "--endpoint", &format!("{}/", system.endpoint)])
        .env("RUNVOY_API_KEY", &system.key)
        .output()
        .unwrap();
    assert!(text(&configured.stderr).contains("admin@runvoy.local, admin"), "{}", text(&configured.stderr));
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(
        written.starts_with("# mine\nweb_url: https://web.example.com\n") && written.contains(&system.key),
        "{written}"
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let who = bare(home, &["whoami"]).output().unwrap();
    assert!(text(&who.stdout).starts_with("admin@runvoy.local, admin at "), "{}", text(&who.stderr));

    let link = system.prints(&["users", "create", "new@example.com", "--role", "viewer"]);
    let claimed = bare(home, &["claim", link.trim()]).output().unwrap();
    assert!(text(&claimed.stderr).contains("new@example.com"), "{}", text(&claimed.stderr));
    let who = bare(home, &["whoami"]).output().unwrap();
    assert!(text(&who.stdout).starts_with("new@example.com, viewer at "), "{}", text(&who.stderr));
    let refused = bare(home, &["claim", link.trim()]).output().unwrap();
    assert_eq!(refused.status.code(), Some(125));
}

#[test]
fn a_local_system_of_this_folder_or_one_above_needs_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: Some(folder.path().join(".runvoy-local")), ..Settings::ephemeral() };
    let _system = System::start_with(settings);
    let below = folder.path().join("some/where");
    std::fs::create_dir_all(&below).unwrap();
    let output = bare(folder.path(), &["run", "echo hello"]).current_dir(&below).output().unwrap();
    assert_eq!(text(&output.stdout), "hello\n", "{}", text(&output.stderr));
}

#[test]
fn images_secrets_and_users_are_managed() {
    let system = System::start();
    system.prints(&["images", "register", "tool:1", "--cpu", "512", "--memory", "1024", "--set-default"]);
    let images = system.json(&["images", "list", "-o", "json"]);
    let tool = images["images"].as_array().unwrap().iter().find(|image| image["image"] == "tool:1").unwrap().clone();
    assert_eq!((&tool["cpu"], &tool["is_default"]), (&json!(512), &json!(true)));
    assert!(system.prints(&["images", "show", "tool:1"]).contains("is_default"));
    system.prints(&["images", "unregister", tool["image_id"].as_str().unwrap()]);

    system.prints(&["secrets", "create", "db", "DATABASE_URL", "of the argument"]);
    assert_eq!(system.prints(&["secrets", "get", "db"]), "of the argument\n");
    std::fs::write(system.home.path().join("value"), "of a file\n").unwrap();
    system.prints(&["secrets", "update", "db", "--value-file", "value", "--description", "d"]);
    assert_eq!(system.prints(&["run", "-i", "ubuntu:22.04", "--secret", "db", "echo $DATABASE_URL"]), "of a file\n");
    assert!(system.prints(&["secrets", "list"]).contains("DATABASE_URL"));
    let asked = system.run(&["secrets", "create", "other", "OTHER"]);
    assert!(text(&asked.stderr).contains("--value-file"), "{}", text(&asked.stderr));
    system.prints(&["secrets", "delete", "db"]);
    assert_eq!(system.run(&["secrets", "get", "db"]).status.code(), Some(125));

    system.prints(&["users", "create", "a@example.com", "--role", "developer"]);
    system.prints(&["users", "revoke", "a@example.com"]);
    assert!(
        system
            .prints(&["users", "list"])
            .lines()
            .any(|line| line.contains("a@example.com") && line.contains("revoked"))
    );
    assert!(system.prints(&["health"]).contains("ok"));
    assert_eq!(system.json(&["health", "reconcile", "-o", "json"])["status"], "ok");
    system.prints(&["trace", "unknown"]);
}

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
    assert!(
        text(&wrong.stderr).contains("`command`") && text(&wrong.stderr).contains("line 2"),
        "{}",
        text(&wrong.stderr)
    );
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

/// A pseudo-terminal: the program's side, and the side that a person sees and types on.
fn terminal(columns: u16) -> (std::fs::File, std::fs::File) {
    use rustix::{pty, termios};
    let person = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&person).unwrap();
    pty::unlockpt(&person).unwrap();
    let name = pty::ptsname(&person, Vec::new()).unwrap();
    let program = std::fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let size = termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    termios::tcsetwinsize(&program, size).unwrap();
    (program, std::fs::File::from(person))
}

/// Runs a command on a terminal, types a line when it asks for one, and returns its exit code and what is seen.
fn on_terminal(mut command: Command, columns: u16, answer: Option<(&str, &str)>) -> (Option<i32>, String) {
    let (program, mut person) = terminal(columns);
    command.env("TERM", "xterm-256color");
    command.stdin(program.try_clone().unwrap()).stdout(program.try_clone().unwrap()).stderr(program);
    let child = command.spawn().unwrap();
    // The command holds copies of the program's side, which would keep the reader from its end.
    drop(command);
    let mut screen = person.try_clone().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reader = std::thread::spawn({
        let seen = seen.clone();
        move || {
            let mut buffer = [0; 4096];
            // Linux reports the end of the other side as an error.
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                seen.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        }
    });
    let seen = || String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
    if let Some((question, line)) = answer {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !(seen().contains(question) && is_hidden(&person)) {
            assert!(Instant::now() < deadline, "it does not ask: {:?}", seen());
            std::thread::sleep(Duration::from_millis(5));
        }
        person.write_all(line.as_bytes()).unwrap();
    }
    let code = end_of(child).status.code();
    reader.join().unwrap();
    (code, seen())
}

/// Whether a terminal does not show what is typed.
fn is_hidden(terminal: &std::fs::File) -> bool {
    let modes = rustix::termios::tcgetattr(terminal).unwrap().local_modes;
    !modes.contains(rustix::termios::LocalModes::ECHO)
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

#[test]
fn programs_read_each_line_as_json() {
    let system = System::start();
    let output = system.run(&["run", "-o", "json", "echo \"a b\"; exit 2"]);
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "a b" && line["event_id"].is_string()), "{lines:?}");
    let last = lines.last().unwrap();
    assert_eq!((&last["status"], &last["exit_code"]), (&json!("FAILED"), &json!(2)));
    for _ in 0..12 {
        system.prints(&["run", "-d", "true"]);
    }
    assert_eq!(system.json(&["list", "--limit", "0", "-o", "json"]).as_array().unwrap().len(), 13);
    let dry = system.json(&["run", "--dry-run", "-e", "A=1", "true"]);
    assert_eq!(dry, json!({"command": "true", "env": {"A": "1"}}));
}
