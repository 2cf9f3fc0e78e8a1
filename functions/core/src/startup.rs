//! Starts the functions' programs, and ends them with what to do when a setting is missing.

use std::{fmt::Display, process::ExitCode, time::Duration};

use tokio::net::TcpStream;

use crate::{App, config::Origin};

/// The time that an AWS outside AWS may take to accept a connection.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(2);
/// The remedy for a setting that is missing.
const ADVICE: &str =
    "Start `just run-local` first and take the variables from .runvoy-local/functions.env, or deploy with SAM";

/// Sets up logs and settings as a Lambda function has them. `None` after a line on standard error that says what is missing.
pub async fn start() -> Option<App> {
    let started = async {
        crate::telemetry::init_lambda()?;
        check_endpoint().await?;
        App::from_environment().await.map_err(|error| error.to_string())
    };
    match started.await {
        Ok(app) => Some(app),
        Err(problem) => {
            eprintln!("runvoy cannot start: {problem}. {ADVICE}");
            None
        }
    }
}

/// Checks that the AWS at `AWS_ENDPOINT_URL` answers, if that is set, as it is for a function that runs outside AWS.
async fn check_endpoint() -> Result<(), String> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap_or_default();
    if endpoint.is_empty() {
        return Ok(());
    }
    let origin = Origin::of_url(&endpoint)
        .ok_or_else(|| format!("AWS_ENDPOINT_URL is {endpoint:?}: it wants an http:// or https:// URL"))?;
    let connected = tokio::time::timeout(ENDPOINT_TIMEOUT, TcpStream::connect((origin.host(), origin.port()))).await;
    match connected {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("no AWS answers at {endpoint}: {error}")),
        Err(_) => Err(format!("no AWS answers at {endpoint} within {} seconds", ENDPOINT_TIMEOUT.as_secs())),
    }
}

/// The exit code for how the Lambda runtime ended, after a line on standard error if it failed.
pub fn end<E: Display>(ended: Result<(), E>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runvoy ends: the Lambda runtime failed: {error}");
            ExitCode::FAILURE
        }
    }
}
