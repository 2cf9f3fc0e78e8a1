//! What users type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Run commands in containers on AWS, and watch them.
///
/// Lines of commands go to standard output, and everything else to standard error. The exit code is the command's own; 125 is a failure
/// of runvoy itself, and 130 an interrupted run.
#[derive(Debug, Parser)]
#[command(
    name = "runvoy",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  runvoy run 'make migrate'               run a command, watch it, end with its exit code
  runvoy run --detach 'sleep 600'         start a command and print its id
  runvoy logs -f ID                       watch an execution
  runvoy list --status RUNNING            what is running

Configuration: RUNVOY_ENDPOINT and RUNVOY_API_KEY, or ~/.runvoy/config.yaml, which `runvoy configure` writes, or a local
system's folder .runvoy-local here or above."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t, help_heading = "Global options")]
    pub(crate) output: Format,

    /// When to use colours; NO_COLOR is honoured too
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Global options")]
    pub(crate) color: Color,

    /// Show each request on standard error
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,

    /// The same as --verbose
    #[arg(long, global = true, hide = true)]
    pub(crate) debug: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences
    #[default]
    Text,
    /// The API's JSON
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command and watch it
    Run(Run),
    /// Print the lines of an execution
    Logs(Logs),
    /// Show how an execution is going
    Status(Status),
    /// List executions, newest first
    List(List),
    /// Stop executions
    Kill(Kill),
    /// Run commands that are described in files of a repository
    #[command(subcommand, alias = "playbooks")]
    Playbook(Playbook),
    /// Manage the images that commands may run in
    #[command(subcommand, alias = "image")]
    Images(Images),
    /// Manage secrets
    #[command(subcommand, alias = "secret")]
    Secrets(Secrets),
    /// Manage users
    #[command(subcommand, alias = "user")]
    Users(Users),
    /// Get the API key that an admin has made for you, and keep it in the configuration
    Claim(Claim),
    /// Set the endpoint and the API key
    Configure(Configure),
    /// Show who you are and what you may do
    Whoami,
    /// Show whether the API answers
    Health(Health),
    /// Show what one request did
    Trace {
        /// The header `X-Request-Id` of the request's answer
        request_id: String,
    },
    /// Print a script that completes commands in a shell
    #[command(after_help = "Example: runvoy completions bash >~/.local/share/bash-completion/completions/runvoy")]
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_help = "Example: runvoy man ~/.local/share/man/man1")]
    Man { folder: PathBuf },
    /// Print the version
    Version,
}

/// What a run may have besides its command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RunOptions {
    /// The image: a registered name or id [default: the default image]
    #[arg(short, long)]
    pub(crate) image: Option<String>,

    /// A variable of the command; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) env: Vec<(String, String)>,

    /// A secret that the command gets in its variable; may be repeated
    #[arg(long = "secret", value_name = "NAME")]
    pub(crate) secrets: Vec<String>,

    /// How long the command may take, such as 90s, 10m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<u64>,

    /// A git repository that is cloned before the command starts
    #[arg(short = 'g', long, value_name = "URL")]
    pub(crate) git_repo: Option<String>,

    /// The branch, tag or commit of the repository
    #[arg(short = 'r', long, value_name = "REF")]
    pub(crate) git_ref: Option<String>,

    /// The folder of the repository in which the command runs
    #[arg(short = 'p', long, value_name = "PATH")]
    pub(crate) git_path: Option<String>,
}

/// How a run is watched.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct WatchOptions {
    /// Start the command, print the execution's id, and end
    #[arg(short, long)]
    pub(crate) detach: bool,

    /// Print the request and send nothing
    #[arg(long, conflicts_with = "detach")]
    pub(crate) dry_run: bool,

    /// What Ctrl+C, SIGTERM and SIGHUP do to the execution
    #[arg(long, value_enum, default_value_t, value_name = "ACTION")]
    pub(crate) on_interrupt: OnInterrupt,

    /// Begin each line with its time
    #[arg(long)]
    pub(crate) timestamps: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnInterrupt {
    /// Stop it and wait for its end
    #[default]
    Stop,
    /// Leave it running
    Detach,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy run 'pg_dump \"$DATABASE_URL\" | wc -c' --secret database
  runvoy run -i alpine:3.22 -e STAGE=test --timeout 10m -g https://example.com/ops.git -p jobs -- ./job.sh --all
  runvoy run -f script.sh
  echo 'uname -a' | runvoy run -

One argument is a line for the shell. Several arguments are joined by blanks. After --, each argument is quoted, so that the command sees
exactly those. Variables named RUNVOY_USER_NAME are given to the command as NAME.

Ctrl+C stops the execution and waits for its last lines; a second Ctrl+C leaves at once.")]
pub(crate) struct Run {
    /// The command, or - for a script on standard input
    #[arg(required_unless_present_any = ["file", "exact"], conflicts_with = "file", allow_hyphen_values = false)]
    pub(crate) command: Vec<String>,

    /// The command's arguments, each as it stands
    #[arg(last = true, value_name = "ARGUMENT", conflicts_with = "file")]
    pub(crate) exact: Vec<String>,

    /// Run this script
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) options: RunOptions,

    #[command(flatten)]
    pub(crate) watch: WatchOptions,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy logs ID                print the lines so far
  runvoy logs -f ID             go on until the end, and exit with the command's exit code
  runvoy logs ID --timestamps")]
pub(crate) struct Logs {
    /// The execution's id
    pub(crate) id: String,

    /// Go on until the execution ends, and exit with its exit code
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Begin each line with its time
    #[arg(long)]
    pub(crate) timestamps: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy status ID
  runvoy status --wait ID && echo done")]
pub(crate) struct Status {
    /// The execution's id
    pub(crate) id: String,

    /// Wait until the execution ends, and exit with its exit code
    #[arg(short, long)]
    pub(crate) wait: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy list --status RUNNING,STARTING
  runvoy list --limit 0 -o json | jq -r '.[].execution_id'")]
pub(crate) struct List {
    /// How many; 0 for all
    #[arg(short, long, default_value_t = 10)]
    pub(crate) limit: u64,

    /// Only executions with one of these statuses, separated by commas
    #[arg(short, long)]
    pub(crate) status: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Kill {
    /// Ids of executions
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Playbook {
    /// List the playbooks of this folder, of those above it, and of ~/.runvoy
    List,
    /// Show what a playbook runs
    Show {
        name: String,
        /// Show the request as a curl command
        #[arg(long)]
        curl: bool,
        #[command(flatten)]
        options: PlaybookOptions,
    },
    /// Run a playbook
    #[command(after_help = "Example: runvoy playbook run restore -P database=orders -i postgres:17")]
    Run {
        name: String,
        #[command(flatten)]
        options: PlaybookOptions,
        #[command(flatten)]
        watch: WatchOptions,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlaybookOptions {
    /// The value of a parameter; may be repeated
    #[arg(short = 'P', long = "parameter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) parameters: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) run: RunOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Images {
    /// List images
    List,
    /// Show an image
    Show { image: String },
    /// Let commands run in an image
    #[command(
        after_help = "Example: runvoy images register public.ecr.aws/docker/library/alpine:3.22 --cpu 512 --memory 1024"
    )]
    Register {
        image: String,
        /// CPU units: 1024 are one vCPU
        #[arg(long)]
        cpu: Option<u32>,
        /// Memory in MB
        #[arg(long)]
        memory: Option<u32>,
        /// What the image is built for: Linux/ARM64, the default, or Linux/X86_64
        #[arg(long)]
        runtime_platform: Option<String>,
        /// Make it the default image
        #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
        set_default: Option<bool>,
        /// The role that commands have
        #[arg(long, value_name = "ROLE")]
        task_role: Option<String>,
        /// The role with which ECS pulls the image
        #[arg(long, value_name = "ROLE")]
        task_exec_role: Option<String>,
    },
    /// Remove an image
    #[command(alias = "delete")]
    Unregister { image_id: String },
}

/// Where the value of a secret comes from.
#[derive(Args, Debug)]
pub(crate) struct ValueSource {
    /// Read the value from this file, without its final line end
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// List secrets, without values
    List,
    /// Print the value of a secret
    #[command(alias = "show")]
    Get { name: String },
    /// Create a secret; asks for its value
    #[command(after_help = "\
Examples:
  runvoy secrets create database DATABASE_URL                         asks for the value
  runvoy secrets create database DATABASE_URL --value-file url.txt
  pass show database | runvoy secrets create database DATABASE_URL -")]
    Create {
        name: String,
        /// The variable that commands get the value in
        key_name: String,
        /// The value, or - for standard input. Other users of this machine can see the arguments of a program
        value: Option<String>,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        source: ValueSource,
    },
    /// Change a secret; what is not given stays as it is
    Update {
        name: String,
        #[arg(long)]
        key_name: Option<String>,
        /// The value, or - for standard input; without a value, asks for it
        #[arg(long, num_args = 0..=1, default_missing_value = "")]
        value: Option<String>,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        source: ValueSource,
    },
    /// Delete a secret
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// List users
    List,
    /// Create a user, and print the link by which they get their API key
    Create {
        email: String,
        /// admin, operator, developer or viewer
        #[arg(long)]
        role: String,
    },
    /// Take a user's access away
    Revoke { email: String },
}

#[derive(Args, Debug)]
pub(crate) struct Claim {
    /// The link that you got, or the token at its end
    pub(crate) token: String,
}

#[derive(Args, Debug)]
pub(crate) struct Configure {
    /// The URL of the API
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Health {
    #[command(subcommand)]
    pub(crate) action: Option<HealthAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HealthAction {
    /// Compare what is stored with AWS, repair what can be repaired, and report the rest
    Reconcile,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it wants NAME=VALUE".to_owned()),
    }
}

/// Seconds, from a duration such as `90`, `90s`, `10m` or `1h30m`.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let wrong = || "it wants a duration such as 90s, 10m or 1h30m".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    u64::try_from(span.as_secs()).ok().filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_agree_with_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_seconds() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400)] {
            assert_eq!(duration(text), Ok(seconds), "{text}");
        }
        for text in ["", "-5s", "0.2s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
