//! How the functions' programs start and end.

use std::{fmt::Display, process::ExitCode};

use crate::App;

/// Sets up logs and settings as a Lambda function has them. `None` after a line on standard error that says what is missing.
pub async fn start() -> Option<App> {
    if let Err(error) = crate::telemetry::init_lambda() {
        return refuse(&error);
    }
    match App::from_environment().await {
        Ok(app) => Some(app),
        Err(error) => refuse(&format!(
            "{error}. Outside AWS, start `just run-local` first and take the variables from .runvoy-local/functions.env; in AWS, \
             deploy with SAM"
        )),
    }
}

fn refuse(problem: &str) -> Option<App> {
    eprintln!("runvoy cannot start: {problem}");
    None
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
