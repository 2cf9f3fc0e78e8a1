use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use local_shim::{RunnerChoice, Settings, Shim, tasks::Kind};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// runvoy on a laptop: the API on port 8080, the event processor on 8081, and all of the AWS that they need in one process.
///
/// No AWS account, no Docker and no network are needed: without Docker, commands run on this machine with your own rights.
/// Ctrl+C stops everything; a second Ctrl+C does so at once.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Environment (also from a file .env in the current directory):
  RUNVOY_DEV_SERVER_PORT       port of the API [default: 8080]
  RUNVOY_EVENT_PROCESSOR_PORT  port of the event processor [default: 8081]
  RUNVOY_LOG_LEVEL             error, warn, info, debug, trace, or tracing filter directives [default: info]
  RUNVOY_REQUEST_TIMEOUT       how long a request may take: 30s, 1m, or seconds [default: 30s]
  RUNVOY_CORS_ALLOWED_ORIGINS  origins whose pages may call the API, separated by commas
  RUNVOY_WEB_URL               where log_url points [default: http://localhost:5173]
  AWS_ENDPOINT_URL             an AWS to talk to instead of the built-in one
  DOCKER_HOST                  socket of Docker or Podman, unix://… [default: the usual places]"
)]
struct Arguments {
    /// Keep nothing: all state is in memory and ends with the process.
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,

    /// Where executions, logs, users and the admin's key are kept.
    #[arg(long, value_name = "DIR", default_value = ".runvoy-local")]
    data_dir: PathBuf,

    /// In what commands run.
    #[arg(long, value_enum, default_value_t)]
    runner: RunnerChoice,

    /// Open the emulated AWS on this port too, for the AWS CLI, other SDKs, cargo lambda, sam local.
    #[arg(long, value_name = "PORT")]
    aws_port: Option<u16>,

    /// Deliver events late, twice, in another order, to functions that fail: as AWS may. The same seed, the same disturbances.
    #[arg(long, value_name = "SEED", num_args = 0..=1)]
    chaos: Option<Option<u64>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-shim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match dotenvy::dotenv() {
        Ok(_) => {}
        Err(error) if error.not_found() => {}
        Err(error) => return Err(error).context("the file .env cannot be read"),
    }
    let level = std::env::var("RUNVOY_LOG_LEVEL").unwrap_or_default();
    init_logs(&level)?;
    let data_dir = if arguments.ephemeral { None } else { Some(arguments.data_dir) };
    let chaos = arguments.chaos.map(|seed| seed.unwrap_or_else(|| u64::from(std::process::id())));
    let settings = Settings {
        chaos,
        aws_port: arguments.aws_port,
        runner: arguments.runner,
        ..Settings::new(std::env::vars(), data_dir.clone())?
    };
    local_shim::runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shim = Shim::start(settings).await?;
        welcome(&shim, data_dir.as_deref());
        if let Some(seed) = chaos {
            println!("Chaos with seed {seed}: events come late, twice, in another order, and fail; --chaos {seed} does it again");
        }
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping; once more to stop at once");
        tokio::select! {
            () = shim.shut_down() => Ok(()),
            _ = interrupt.recv() => Err(anyhow!("stopped at once; the next start closes the executions that were running")),
            _ = terminate.recv() => Err(anyhow!("stopped at once; the next start closes the executions that were running")),
        }
    })
}

/// For a person on a terminal, as JSON otherwise.
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

/// What a newcomer needs, on standard output.
fn welcome(shim: &Shim, data_dir: Option<&std::path::Path>) {
    let (api, events) = (shim.orchestrator.port(), shim.event_processor.port());
    println!("runvoy is ready after {} ms", shim.started_in.as_millis());
    println!("  API              http://localhost:{api}/api/v1");
    println!("  Event processor  http://localhost:{events}");
    if let Some(endpoint) = shim.aws_endpoint {
        println!("  AWS endpoint     http://localhost:{}   (any access key; region us-east-1)", endpoint.port());
        if let Some(directory) = data_dir.filter(|_| !shim.elsewhere.is_empty()) {
            println!(
                "  For functions    {}   (what they need to run elsewhere)",
                directory.join("functions.env").display()
            );
        }
    }
    let key = match data_dir {
        Some(directory) => {
            let file = directory.join("admin-key");
            if shim.is_first_start {
                println!("  Admin API key    {}   (kept in {})", shim.admin_key.expose(), file.display());
            } else {
                println!("  Admin API key    in {}", file.display());
            }
            format!("$(cat {})", file.display())
        }
        None => {
            println!("  Admin API key    {}   (nothing is kept)", shim.admin_key.expose());
            shim.admin_key.expose().to_owned()
        }
    };
    match &shim.runner {
        Kind::Process(_) => println!("  Runner           process: commands run on this machine, with your own rights"),
        Kind::Docker(docker) => println!("  Runner           docker: commands run in their images ({})", docker.engine),
    }
    println!();
    println!("Try:");
    println!(
        "  curl -X POST http://localhost:{api}/api/v1/run -H \"X-API-Key: {key}\" -d '{{\"command\": \"echo hello\"}}'"
    );
}
