//! Starts the local system from its command line: reads flags and settings, prints the welcome, and ends on a signal.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use local_shim::{
    ADMIN_KEY, RunnerChoice, Settings, Shim, VARIABLES_FILE,
    aws::ecs::runner::{Kind, orphans},
    settings,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// A request is written and read several times on its way from HTTP to SQLite. With the system's allocator, up to a third of the work
/// is memory management.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// runvoy on a laptop: the API on port 8080, the event processor on 8081, and the AWS that they need, in one process.
///
/// It needs no AWS account, no Docker and no network. Without Docker, commands run on this machine with your own rights.
/// Ctrl+C stops everything; a second Ctrl+C stops it at once.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Settings of the functions, from the environment or from a file .env in this directory:
  RUNVOY_REQUEST_TIMEOUT       how long a request may take: 30s, 1m30s, seconds, or 0 for no limit [default: 30s]
  RUNVOY_MAX_RUNNING           executions that may have a task at the same time, or 0 for no limit [default: 0]
  RUNVOY_CORS_ALLOWED_ORIGINS  origins whose pages may call the API, separated by commas, or *
  RUNVOY_WEB_URL               the web app that log_url leads to [default: this program]
  AWS_ENDPOINT_URL             another AWS to use in place of the built-in one
  DOCKER_HOST                  the socket of Docker or Podman, unix://… [default: the usual places]

Examples:
  local-shim                          everything, with its state in .runvoy-local
  local-shim --ephemeral --chaos 7    no state, and events that arrive late, twice and in another order
  local-shim --aws-port off           without an endpoint for cargo lambda, sam local and the AWS CLI"
)]
struct Arguments {
    /// Keep nothing: the state is in memory and ends with the process.
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,

    /// The folder for executions, logs, users and the admin's key.
    #[arg(long, value_name = "DIR", default_value = ".runvoy-local")]
    data_dir: PathBuf,

    /// The way in which commands run.
    #[arg(long, value_enum, default_value_t)]
    runner: RunnerChoice,

    /// The port of the API.
    #[arg(long, value_name = "PORT", env = settings::ORCHESTRATOR_PORT, default_value = "8080")]
    port: String,

    /// The port of the event processor.
    #[arg(long, value_name = "PORT", env = settings::EVENT_PROCESSOR_PORT, default_value = "8081")]
    event_port: String,

    /// The port of the emulated AWS, for the AWS CLI, other SDKs, cargo lambda and sam local: a port, an address such as
    /// 172.17.0.1:8082 for containers, or `off`. Without this flag, 8082 if it is free.
    #[arg(long, value_name = "PORT", env = settings::AWS_PORT)]
    aws_port: Option<String>,

    /// What is logged: error, warn, info, debug, trace, or tracing filter directives.
    #[arg(long, value_name = "LEVEL", env = "RUNVOY_LOG_LEVEL", default_value = "info")]
    log_level: String,

    /// Be as difficult as AWS may be: deliver events late, twice and in another order, to functions that fail; limit calls to the
    /// quotas of a new account; show late what was written. The same seed disturbs events in the same way.
    #[arg(long, value_name = "SEED", num_args = 0..=1)]
    chaos: Option<Option<u64>>,

    /// Keep each event that a function receives as a file of this folder, for `sam local invoke -e`, `cargo lambda invoke
    /// --data-file` and examples/replay.sh. Keys, tokens and values of secrets are left out.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

/// The setting that lets web pages call the API.
const CORS: &str = "RUNVOY_CORS_ALLOWED_ORIGINS";

fn main() -> ExitCode {
    // A wrong .env is reported after the arguments are read, so that it does not keep --help from its answer.
    let dotenv = local_shim::dotenv::load(Path::new("."));
    let arguments = Arguments::parse();
    match dotenv.and_then(|from_file| run(arguments, &from_file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-shim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the system until a signal ends it. `from_file` has the names of the variables that the file .env has set.
fn run(arguments: Arguments, from_file: &[String]) -> Result<()> {
    for (flag, variable, value) in [
        ("--port", settings::ORCHESTRATOR_PORT, &arguments.port),
        ("--event-port", settings::EVENT_PROCESSOR_PORT, &arguments.event_port),
    ] {
        // The parsed arguments do not tell whether a value comes from the flag or from its variable.
        let is_flag = std::env::var(variable).ok().as_ref() != Some(value);
        if is_flag && value.trim().parse::<u16>().is_err() {
            bail!("{flag} is {value:?}: it wants a port, 0 to 65535");
        }
    }
    init_logs(&arguments.log_level)?;
    raise_file_limit();
    if let Err(error) = orphans::adopt() {
        tracing::debug!(%error, "processes that leave their command are found by their environment only");
    }
    let data_dir = if arguments.ephemeral { None } else { Some(arguments.data_dir) };
    let chaos = arguments.chaos.map(|seed| seed.unwrap_or_else(|| u64::from(std::process::id())));
    let given = [
        (settings::ORCHESTRATOR_PORT, Some(arguments.port)),
        (settings::EVENT_PROCESSOR_PORT, Some(arguments.event_port)),
        (settings::AWS_PORT, arguments.aws_port),
        ("RUNVOY_LOG_LEVEL", Some(arguments.log_level)),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    // A variable that is not UTF-8 is not one of runvoy's.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings = Settings {
        chaos,
        record: arguments.record,
        runner: arguments.runner,
        ..Settings::new(environment.chain(given), data_dir.clone())?
    };
    let runtime = local_shim::runtime()?;
    let ended = runtime.block_on(async {
        let mut stop = StopSignals::listen()?;
        let shim = Shim::start(settings).await?;
        if from_file.iter().any(|name| name == CORS) {
            let origins = std::env::var(CORS).unwrap_or_default();
            tracing::warn!(origins, "the file .env lets web pages of these origins call the API ({CORS})");
        }
        // A closed standard output is no reason to stop.
        let _ = std::io::stdout().write_all(welcome(&shim, data_dir.as_deref(), chaos, from_file).as_bytes());
        stop.received().await;
        tracing::info!("stopping; press Ctrl+C once more to stop at once");
        tokio::select! {
            () = shim.shut_down() => Ok(()),
            // Dropping the system kills its commands.
            () = stop.received() => Err(anyhow!("stopped at once; the next start closes the executions that were running")),
        }
    });
    // Databases are closed with the last task that has them, which writes what is in their journals into them. A call that waits longer,
    // for a disk or for a program that has locked a database, is left alone: the next start reads the journal.
    runtime.shutdown_timeout(std::time::Duration::from_secs(3));
    ended
}

/// The signals that end the program. Listening to them also gives the commands their default disposition, which they would not have
/// if this program were started with one of them ignored.
struct StopSignals {
    signals: Vec<Signal>,
    hangup: Signal,
    /// Tells whether the program was started under `nohup` and is to go on when its terminal is closed.
    ignores_hangup: bool,
}

impl StopSignals {
    fn listen() -> Result<Self> {
        let ignores_hangup = is_ignored(1);
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
        let signals = kinds.into_iter().map(signal).collect::<std::io::Result<_>>()?;
        Ok(Self { signals, hangup: signal(SignalKind::hangup())?, ignores_hangup })
    }

    async fn received(&mut self) {
        std::future::poll_fn(|context| {
            let stopped = self.signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            let hung_up = self.hangup.poll_recv(context).is_ready();
            if stopped || hung_up && !self.ignores_hangup {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }
}

/// Tells whether this process was started with a signal ignored. `false` where there is no /proc.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Raises the soft limit of open files to the hard one, because each running command needs a few.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Sets up the log on standard error, as text on a terminal and as JSON otherwise, and the logs of the functions.
fn init_logs(level: &str) -> Result<()> {
    let filter = runvoy_core::telemetry::filter(level).map_err(|error| anyhow!(error))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() {
        lines.compact().with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    };
    tracing_subscriber::registry().with(lines).with(local_shim::lambda::function_log::layer()).with(filter).init();
    Ok(())
}

/// Says in one text all that a newcomer needs to know, and each setting that the file .env has changed.
fn welcome(shim: &Shim, data_dir: Option<&Path>, chaos: Option<u64>, from_file: &[String]) -> String {
    let (api, events) = (shim.orchestrator.port(), shim.event_processor.port());
    let mut text = format!("runvoy is ready after {} ms\n", shim.started_in.as_millis());
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<16} {value}");
    };
    line("Console", &format!("http://localhost:{api}"));
    line("API", &format!("http://localhost:{api}/api/v1"));
    line("Documentation", &format!("http://localhost:{api}/docs"));
    line("Event processor", &format!("http://localhost:{events}"));
    let variables = data_dir.map(|directory| directory.join(VARIABLES_FILE));
    if let Some(endpoint) = shim.aws_endpoint {
        line("AWS endpoint", &format!("http://localhost:{}", endpoint.port()));
        if let Some(file) = variables.filter(|_| !shim.function_environment.is_empty()) {
            line("", &format!("to use it: set -a; . {}; set +a", quoted(&file)));
        }
    }
    let key = match data_dir {
        Some(directory) => {
            let file = directory.join(ADMIN_KEY);
            if shim.is_first_start {
                line("Admin API key", &format!("{}   (kept in {})", shim.admin_key.expose(), file.display()));
            } else {
                line("Admin API key", &format!("in {}", file.display()));
            }
            format!("$(cat {})", quoted(&file))
        }
        None => {
            line("Admin API key", &format!("{}   (kept in memory only)", shim.admin_key.expose()));
            line(
                "Command line",
                &format!("export RUNVOY_ENDPOINT=http://localhost:{api} RUNVOY_API_KEY={}", shim.admin_key.expose()),
            );
            shim.admin_key.expose().to_owned()
        }
    };
    if !from_file.is_empty() {
        line("Set by .env", &from_file.join(", "));
    }
    match &shim.runner {
        Kind::Process(_) => line("Runner", "process: commands run on this machine, with your own rights"),
        Kind::Docker(docker) => line("Runner", &format!("docker: commands run in their images ({})", docker.engine)),
    }
    line("It needs", "no AWS account, no Docker, no network");
    if let Some(seed) = chaos {
        line(
            "Chaos",
            &format!("seed {seed}: events arrive late, twice, in another order, and fail; --chaos {seed} repeats it"),
        );
    }
    let _ = write!(
        text,
        "\nTry:\n  curl -X POST http://localhost:{api}/api/v1/run -H \"X-API-Key: {key}\" -d '{{\"command\": \"echo hello\"}}'\n"
    );
    text
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@+".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
