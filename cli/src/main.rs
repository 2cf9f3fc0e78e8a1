//! Runs a command in the cloud, shows its lines as they come, and ends with its exit code.
//!
//! The program knows runvoy's API only. [`arguments`] are what users type, [`commands`] what each of them does, [`api`] sends requests,
//! [`follow`] brings the lines of an execution, [`client_end`] decides what becomes of an execution when the program ends before it.

#[macro_use]
mod say;
mod api;
mod arguments;
mod backoff;
mod client_end;
mod commands;
mod completion;
mod config;
mod env_file;
mod escape;
mod exit_code;
mod failure;
mod follow;
mod hidden_line;
mod output;
mod playbook;
mod signals;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::Arguments;

fn main() -> ExitCode {
    // A shell that completes a command line calls this program with the variable COMPLETE, and this ends it.
    clap_complete::CompleteEnv::with_factory(Arguments::command).complete();
    let typed = arguments::prepared(std::env::args_os());
    let arguments = match Arguments::try_parse_from(&typed) {
        Ok(arguments) => arguments.with_exactness(&typed),
        Err(message) => {
            // `--help` is a message too. Its reader may leave before the end.
            let is_lost = message.print().is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
            if is_lost {
                say!("runvoy: standard output cannot be written");
            }
            return if message.use_stderr() || is_lost {
                ExitCode::from(exit_code::FAILURE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say!("runvoy: the operating system gives no event queue: {error}");
            return ExitCode::from(exit_code::FAILURE);
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
