//! The command line: runs a command, shows its lines as they come, and ends with its exit code.
//!
//! It knows runvoy's API only. [`arguments`] are what users type, [`commands`] what each of them does, [`api`] sends requests,
//! [`follow`] brings the lines of an execution.

mod api;
mod arguments;
mod commands;
mod config;
mod failure;
mod follow;
mod output;
mod playbook;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // `--help` is a message too. It has no reader if it cannot be written.
            let _ = message.print();
            return if message.use_stderr() { ExitCode::from(failure::EXIT_CODE) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("runvoy: the operating system gives no event queue: {error}");
            return ExitCode::from(failure::EXIT_CODE);
        }
    };
    let ended = runtime.block_on(commands::run(arguments));
    // A thread that waits for the terminal or a name server is not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(),
    }
}
