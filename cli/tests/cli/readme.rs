//! Follows the tour of the README, line by line, from the README's own text, against a fresh local system.
//!
//! Indented blocks are what people type. In a block with prompts (`$ `), the lines below a command are what it prints, with other ids,
//! times and ports. In a block without, each line is a command that succeeds.

use crate::prelude::*;

/// The sections whose blocks are followed.
const SECTIONS: [&str; 9] = [
    "## A tour",
    "### Playbooks for others",
    "### Being told",
    "### curl",
    "### Locks",
    "### One after the other",
    "### Retries",
    "### Schedules",
    "## The event processor",
];
/// The port of the README's receiver of webhooks.
const RECEIVER: &str = "127.0.0.1:9000";
/// The line that begins and ends a text within a command.
const HERE: &str = "END";

/// A command, and what the README says that it prints.
#[derive(Debug, Default)]
struct Step {
    command: String,
    prints: Vec<String>,
}

/// The commands of a section, up to the next heading.
fn steps(readme: &str, section: &str) -> Vec<Step> {
    let body = readme.split(&format!("\n{section}\n")).nth(1).unwrap_or_else(|| panic!("no section {section:?}"));
    let lines = body.lines().take_while(|line| !line.starts_with('#'));
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    for line in lines {
        match line.strip_prefix("    ") {
            Some(line) => blocks.last_mut().unwrap().push(line),
            None if !blocks.last().unwrap().is_empty() => blocks.push(Vec::new()),
            None => {}
        }
    }
    let mut steps: Vec<Step> = Vec::new();
    for block in blocks.into_iter().filter(|block| is_typed(block)) {
        let has_prompts = block.iter().any(|line| line.starts_with("$ "));
        let mut goes_on = false;
        let mut is_text = false;
        for line in block {
            if is_text {
                let step = steps.last_mut().unwrap();
                step.command.push('\n');
                step.command.push_str(line);
                is_text = line != HERE;
                continue;
            }
            is_text = line.ends_with(&format!("<<'{HERE}'"));
            let typed = if has_prompts { line.strip_prefix("$ ") } else { Some(line) };
            match (goes_on, typed) {
                (true, _) => {
                    let step = steps.last_mut().unwrap();
                    step.command.push('\n');
                    step.command.push_str(line);
                }
                (false, Some(command)) => steps.push(Step { command: command.to_owned(), prints: Vec::new() }),
                (false, None) => steps.last_mut().unwrap().prints.push(line.to_owned()),
            }
            goes_on = (goes_on || typed.is_some()) && line.ends_with('\\');
        }
    }
    steps
}

/// Tells that a block is a session, and not the output of a program alone.
fn is_typed(block: &[&str]) -> bool {
    block
        .first()
        .is_some_and(|line| line.starts_with("$ ") || line.starts_with("runvoy ") || line.starts_with("printf "))
}

/// A text without what differs from run to run, and with one blank between its words.
fn shape(text: &str) -> String {
    let patterns = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        ("[0-9a-f]{32}", "ID"),
        (r"token=[A-Za-z0-9_-]+", "token=TOKEN"),
        (r"whsec_[A-Za-z0-9_-]+", "whsec_KEY"),
        (r#"claim/[^"]+"#, "claim/TOKEN"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"localhost:\d+", "localhost:PORT"),
        (r"-[0-9a-f]{8}\b", "-HASH"),
        (r"after \d+ m?s", "after N s"),
        (r"in \d+ \w+( \d+ \w+)?, at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+", "in N, at TIME"),
        (r#"(\}|,)\s+""#, "$1\""),
        (r"\s+", " "),
    ];
    patterns.iter().fold(text.trim().to_owned(), |text, (pattern, with)| {
        regex_lite::Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned()
    })
}

/// The README's receiver of webhooks, in a terminal of its own.
struct Receiver {
    child: std::process::Child,
    printed: std::path::PathBuf,
}

impl Receiver {
    /// Starts the program of a command that reads it from a text within.
    fn start(command: &str, address: &str, folder: &Path) -> Self {
        let printed = folder.join("receiver.log");
        let script = command.split_once('\n').unwrap().1.trim_end_matches(HERE);
        let program = folder.join("receiver.py");
        std::fs::write(&program, script.replace("9000", address.rsplit(':').next().unwrap())).unwrap();
        let log = std::fs::File::create(&printed).unwrap();
        let child = Command::new("python3")
            .args(["-u".as_ref(), program.as_os_str()])
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        let receiver = Self { child: child.unwrap(), printed };
        wait_until(|| std::net::TcpStream::connect(address).is_ok(), "the receiver listens");
        receiver
    }

    fn has_printed(&self, words: &str) -> bool {
        std::fs::read_to_string(&self.printed).unwrap().contains(words)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(mut is_true: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_true() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A shell that remembers variables and exit codes from one command to the next.
struct Shell {
    child: std::process::Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        Self { output: BufReader::new(child.stdout.take().unwrap()), child }
    }

    /// What a command prints on both streams, and its exit code.
    fn run(&mut self, command: &str) -> (String, i32) {
        const MARK: &str = "--- ended with ";
        let input = self.child.stdin.as_mut().unwrap();
        // The next command sees the exit code of this one.
        writeln!(input, "{{ {command}\n}} </dev/null\n__code=$?; printf '\\n{MARK}%s\\n' $__code; (exit $__code)")
            .unwrap();
        input.flush().unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the shell is gone: {command}: {printed}");
            match line.strip_prefix(MARK) {
                Some(code) => return (printed, code.trim().parse().unwrap()),
                None => printed.push_str(&line),
            }
        }
    }
}

#[test]
fn every_line_of_the_tour_does_what_the_readme_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let here = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port()];
    let settings = Settings {
        orchestrator_port: ports[0],
        event_processor_port: ports[1],
        data_dir: Some(here.path().join(".runvoy-local")),
        ..Settings::ephemeral()
    };
    let system = System::start_with(settings);
    std::os::unix::fs::symlink(root.join("examples"), here.path().join("examples")).unwrap();
    // Without a terminal, curl would say how far it is.
    std::fs::write(system.home.path().join(".curlrc"), "silent\n").unwrap();
    let programs = here.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_runvoy"), programs.join("runvoy")).unwrap();
    let mut command = Command::new("sh");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    command.env_clear().env("PATH", path).env("HOME", system.home.path()).env("EDITOR", "true");
    command.current_dir(here.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = Shell::start(command);
    shell.run("exec 2>&1");
    let mut ids: Vec<(String, String)> = Vec::new();
    let id = regex_lite::Regex::new("[0-9a-f]{32}").unwrap();
    let has_python = Command::new("python3").arg("--version").output().is_ok_and(|python| python.status.success());
    let receivers = format!("127.0.0.1:{}", free_port());
    let mut receiver = None;
    for section in SECTIONS {
        let steps = steps(&readme, section);
        assert!(!steps.is_empty(), "{section}");
        if section == "### Being told" && !has_python {
            eprintln!("{section} is not followed, because there is no python3");
            continue;
        }
        for Step { command, prints } in steps {
            if command.starts_with("python3 ") {
                receiver = Some(Receiver::start(&command, &receivers, here.path()));
                continue;
            }
            let mut typed = command.replace("cargo run -p runvoy --", "runvoy").replace(RECEIVER, &receivers);
            for (port, is) in [("8080", ports[0]), ("8081", ports[1])] {
                typed = typed.replace(&format!("localhost:{port}"), &format!("localhost:{is}"));
            }
            for (readmes, actual) in &ids {
                typed = typed.replace(readmes, actual);
            }
            if typed.contains("/status") || typed.contains("/logs") {
                // A reader takes longer to type this than the command takes to end.
                let last = shell.run("runvoy status --wait @last -o json").0;
                assert!(last.contains("\"exit_code\":0"), "{last}");
            }
            if let Some(name) = typed.strip_prefix("runvoy locks delete ").and_then(|rest| rest.split(' ').next()) {
                // A run's lock is free when its task has ended, a moment after its command.
                let show = format!("runvoy locks show {name}");
                wait_until(|| shell.run(&show).0.contains(": 0 of"), "nobody holds the lock");
            }
            let (printed, code) = shell.run(&typed);
            let is_failure = prints.iter().any(|line| line.contains("FAILED")) || command.contains("run 'exit ");
            assert_eq!(code != 0, is_failure, "{command}: exit code {code}: {printed}");
            if prints.is_empty() {
                continue;
            }
            let said = prints.join("\n");
            assert_eq!(shape(&printed), shape(&said), "{command}");
            let (said, printed) = (id.find_iter(&said), id.find_iter(&printed));
            ids.extend(said.zip(printed).map(|(said, is)| (said.as_str().to_owned(), is.as_str().to_owned())));
        }
    }
    if let Some(receiver) = receiver {
        wait_until(|| receiver.has_printed(r#""type":"failed""#), "the receiver is told of a failure");
        assert!(receiver.has_printed(r#""type":"test""#));
    }
    drop(shell.child.stdin.take());
    shell.child.wait().unwrap();
}
