//! Describes what users type to run something, by a command line or a playbook.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use runvoy_api_types::{
    Retry, RetryOn, RunIf,
    limits::{MAX_ATTEMPTS_OF_A_RUN, MAX_SLOTS},
};

use super::{
    confirmation::Confirmation,
    values::{duration, one_of, parameter, variable},
};
use crate::completion;

/// The parts of a run besides its command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RunOptions {
    /// The image: a registered name or id [default: the default image]
    #[arg(short, long, add = completion::images())]
    pub(crate) image: Option<String>,

    /// A variable of the command, or the name of one of this environment; may be repeated
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,

    /// A file of variables, as .env files are written; -e comes before it; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,

    /// Variables that the environment's `RUNVOY_USER_NAME` and `env` replace: those of a playbook.
    #[arg(skip)]
    pub(crate) base_env: Vec<(String, String)>,

    /// Secrets that the command gets in their variables, separated by commas; may be repeated
    #[arg(long = "secret", value_name = "NAME", value_delimiter = ',', add = completion::secrets())]
    pub(crate) secrets: Vec<String>,

    /// The time that the command may take, such as 90s, 10m, 1h30m or 1d; 0 for no limit
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<u64>,

    /// CPU units of this run, if not the image's: 1024 are one vCPU
    #[arg(long, value_name = "UNITS")]
    pub(crate) cpu: Option<u32>,

    /// MiB of memory of this run, if not the image's
    #[arg(long, value_name = "MIB")]
    pub(crate) memory: Option<u32>,

    /// GiB of disk, 21 to 200 [default: 20]
    #[arg(long, value_name = "GIB")]
    pub(crate) disk: Option<u32>,

    /// Run on Fargate Spot, which costs less and may be taken away
    #[arg(long)]
    pub(crate) spot: bool,

    /// A git repository that is cloned before the command starts
    #[arg(short = 'g', long, value_name = "URL")]
    pub(crate) git_repo: Option<String>,

    /// The branch, tag or commit of the repository
    #[arg(short = 'r', long, value_name = "REF")]
    pub(crate) git_ref: Option<String>,

    /// The folder of the repository in which the command runs
    #[arg(short = 'p', long, value_name = "PATH")]
    pub(crate) git_path: Option<String>,

    /// A lock that the run holds until it ends; may be repeated
    #[arg(long = "lock", value_name = "NAME", value_delimiter = ',')]
    pub(crate) locks: Vec<String>,

    /// The number of runs that may hold the lock at the same time
    #[arg(long, value_name = "NUMBER", requires = "locks", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS)))]
    pub(crate) slots: Option<u32>,

    /// Wait in line if the lock is held, or there is no capacity; Ctrl+C leaves the line
    #[arg(long)]
    pub(crate) queue: bool,

    /// An execution that must have ended before this one starts; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', add = completion::executions())]
    pub(crate) after: Vec<String>,

    /// How they must have ended: succeeded, or ended for any end [default: succeeded]
    #[arg(long = "if", value_name = "END", requires = "after", value_parser = one_of::<RunIf, _>(["succeeded", "ended"]), hide_possible_values = true)]
    pub(crate) run_if: Option<RunIf>,

    /// The time within which the run must have ended, waiting included, such as 2h; 0 for no limit
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) deadline: Option<u64>,

    /// The number of attempts, the first included; the run is QUEUED between two of them
    #[arg(long, value_name = "ATTEMPTS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ATTEMPTS_OF_A_RUN)))]
    pub(crate) retry: Option<u32>,

    /// The ends after which another attempt follows: exit, start, spot, capacity [default: all]
    #[arg(long, value_name = "END", value_delimiter = ',', requires = "retry", value_parser = one_of::<RetryOn, _>(["exit", "start", "spot", "capacity"]), hide_possible_values = true)]
    pub(crate) retry_on: Vec<RetryOn>,

    /// The pause before another attempt, such as 30s [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "retry")]
    pub(crate) retry_backoff: Option<u64>,
}

impl RunOptions {
    /// How often the run is attempted. What is not given is that of another run or of a playbook.
    pub(crate) fn with_retry_of(mut self, other: Option<&Retry>) -> Self {
        if let Some(other) = other {
            self.retry.get_or_insert(other.attempts);
            self.retry_backoff.get_or_insert(other.backoff.0);
            if self.retry_on.is_empty() {
                self.retry_on.clone_from(&other.on);
            }
        }
        self
    }
}

/// The choices for a run that is watched.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct WatchOptions {
    /// Start the command, print the execution's id, and end
    #[arg(short, long)]
    pub(crate) detach: bool,

    /// Print the request and send nothing
    #[arg(long, conflicts_with = "detach")]
    pub(crate) dry_run: bool,

    /// What becomes of the execution when runvoy ends before it: at Ctrl+C, SIGTERM or SIGHUP, or when the reader of its output is gone
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
  runvoy run --secret database 'pg_dump \"$DATABASE_URL\" | wc -c'
  runvoy run -i alpine:3.22 -e STAGE=test --timeout 10m -- ./job.sh --all
  runvoy run -g https://example.com/ops.git -p jobs 'make migrate && ./job.sh'
  runvoy run --lock tf-prod --queue 'terraform apply'
  runvoy run --after @last --deadline 2h ./report.sh
  runvoy run --retry 3 --retry-on exit,start --retry-backoff 1m ./sync.sh
  runvoy run grep -v root /etc/passwd
  runvoy run -f script.sh
  echo 'uname -a' | runvoy run -

Options of runvoy come before the command: they end at the first word that is
none. One word, also after --, is a line for the shell. Several words are joined
by blanks, and the shell reads them. After --, each of several words is quoted,
so that the command sees exactly those. Variables named RUNVOY_USER_NAME are
given to the command as NAME.

The command's standard output and standard error come as one on standard output,
each line when it is complete: a prompt, or a progress bar that ends no line, is
not seen before. Standard input is not passed on.

Ctrl+C stops the execution and waits for its last lines; a second Ctrl+C leaves
at once.")]
pub(crate) struct Run {
    /// The command, or - for a script on standard input
    #[arg(
        required_unless_present = "file",
        conflicts_with = "file",
        trailing_var_arg = true,
        allow_hyphen_values = false
    )]
    pub(crate) command: Vec<String>,

    /// The command came after `--`.
    #[arg(skip)]
    pub(crate) is_exact: bool,

    /// Run this script
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) options: RunOptions,

    #[command(flatten)]
    pub(crate) watch: WatchOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Playbook {
    /// List the playbooks that are published, and those in files of this folder, of those above it, and of ~/.runvoy
    #[command(visible_alias = "ls")]
    List {
        /// Only published playbooks with this in their names
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Show what a playbook runs
    Show {
        /// The name of a file or of a published playbook; NAME@VERSION for an earlier version
        #[arg(add = completion::playbooks())]
        name: String,
        /// Show the request as a curl command
        #[arg(long)]
        curl: bool,
        /// Take the published playbook, although there is a file
        #[arg(long)]
        published: bool,
        #[command(flatten)]
        options: PlaybookOptions,
    },
    /// Run a playbook
    #[command(after_help = "\
Examples:
  runvoy playbook run restore -P database=orders -i postgres:17
  runvoy playbook run release -P notes=@CHANGELOG.md -P zones=eu -P zones=us

A file of this name comes before a published playbook, whose image, secrets and
variables are fixed. Missing values are asked for on a terminal.")]
    Run {
        /// The name of a file or of a published playbook; NAME@VERSION for an earlier version
        #[arg(add = completion::playbooks())]
        name: String,
        /// Run the published playbook, although there is a file
        #[arg(long)]
        published: bool,
        #[command(flatten)]
        options: PlaybookOptions,
        #[command(flatten)]
        watch: WatchOptions,
    },
    /// Publish a playbook's file, as the next version if it is published already
    #[command(after_help = "\
Examples:
  runvoy playbook publish .runvoy/restart.yml
  runvoy playbook share restart role:runner")]
    Publish {
        file: PathBuf,
        /// The name [default: the file's, without its ending]
        #[arg(long)]
        name: Option<String>,
        /// Publish only if this is the newest version; 0 if there is none
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
    /// List the versions of a published playbook, and who published each
    Versions {
        #[arg(add = completion::published_playbooks())]
        name: String,
    },
    /// Say who may see and run a published playbook
    #[command(after_help = "\
Examples:
  runvoy playbook share restart role:runner ana@example.com
  runvoy playbook share restart --everyone      all whose role allows it
  runvoy playbook share restart --nobody        owners, operators and admins only")]
    Share {
        #[arg(add = completion::published_playbooks())]
        name: String,
        /// E-mail addresses, and roles as role:runner
        #[arg(value_name = "WHO", required_unless_present_any = ["everyone", "nobody"])]
        with: Vec<String>,
        #[arg(long, conflicts_with_all = ["with", "nobody"])]
        everyone: bool,
        #[arg(long, conflicts_with = "with")]
        nobody: bool,
    },
    /// Delete a published playbook
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(add = completion::published_playbooks())]
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlaybookOptions {
    /// The value of a parameter, or @FILE for the file's text (@@ for one that begins with @); may be repeated
    #[arg(short = 'P', long = "parameter", value_name = "NAME=VALUE", value_parser = parameter, add = completion::parameters())]
    pub(crate) parameters: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) run: RunOptions,
}
