//! Describes what users type to look at executions.

use clap::Args;
use jiff::Timestamp;

use super::{
    confirmation::Confirmation,
    run::{RunOptions, WatchOptions},
    values::{count, moment, pattern},
};
use crate::completion;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy logs ID                print the lines so far
  runvoy logs -f ID             go on until the end, with its exit code
  runvoy logs @last --tail 20 --timestamps
  runvoy logs ID --since 10m --grep 'error|failed'

ID is an execution's id, the beginning of one that no other has, or @last for
the last that you started.")]
pub(crate) struct Logs {
    /// The execution's id, its beginning, or @last
    #[arg(default_value = "@last", add = completion::executions())]
    pub(crate) id: String,

    /// Go on until the execution ends, and exit with its exit code
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Begin each line with its time
    #[arg(short, long)]
    pub(crate) timestamps: bool,

    #[command(flatten)]
    pub(crate) lines: Lines,
}

/// The choice of lines.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Lines {
    /// Only the last lines of those so far
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = count)]
    pub(crate) tail: Option<usize>,

    /// Only lines since then: a duration such as 10m, or a time such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,

    /// Only lines that match this regular expression
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) grep: Option<regex_lite::Regex>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy status ID
  runvoy status --wait ID && echo done")]
pub(crate) struct Status {
    /// The execution's id, its beginning, or @last
    #[arg(default_value = "@last", add = completion::executions())]
    pub(crate) id: String,

    /// Wait until the execution ends, and exit with its exit code
    #[arg(short, long)]
    pub(crate) wait: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy list --status RUNNING,STARTING
  runvoy list --mine --since 1d --watch
  runvoy kill $(runvoy list -q --mine --status RUNNING --limit 0)
  runvoy list --limit 0 -o json | jq -r '.[].execution_id'")]
pub(crate) struct List {
    /// How many; 0 for all
    #[arg(short, long, default_value_t = 10, value_name = "N", allow_negative_numbers = true, value_parser = count)]
    pub(crate) limit: usize,

    /// Only executions with one of these statuses, separated by commas
    #[arg(short, long, add = completion::statuses())]
    pub(crate) status: Option<String>,

    /// Only executions that you started
    #[arg(short, long, conflicts_with = "user")]
    pub(crate) mine: bool,

    /// Only executions that this user started
    #[arg(short, long, value_name = "EMAIL", add = completion::users())]
    pub(crate) user: Option<String>,

    /// Only executions in this image: its id, or its name
    #[arg(short, long, add = completion::image_ids())]
    pub(crate) image: Option<String>,

    /// Only executions since then: a duration such as 2h, or a time such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,

    /// Print nothing but ids
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Show the list anew every two seconds
    #[arg(short, long, conflicts_with = "quiet")]
    pub(crate) watch: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Kill {
    /// Ids of executions, their beginnings, or @last
    #[arg(required = true, add = completion::executions())]
    pub(crate) ids: Vec<String>,
}

/// An execution that a command is about.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The execution's id, its beginning, or @last
    #[arg(default_value = "@last", add = completion::executions())]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy rerun                         your last execution, once more
  runvoy rerun ID -e STAGE=production  with another value of a variable
  runvoy rerun --edit                  change the command in an editor first

Values of variables whose names say that they are secrets are not kept: give
them by -e NAME=VALUE, or from this environment by -e NAME.")]
pub(crate) struct Rerun {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Change the command in $VISUAL or $EDITOR before it runs
    #[arg(long)]
    pub(crate) edit: bool,

    #[command(flatten)]
    pub(crate) options: RunOptions,

    #[command(flatten)]
    pub(crate) watch: WatchOptions,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy approve                          what waits for you
  runvoy approve ID --comment 'ticket 7'  show what would run, and ask")]
pub(crate) struct Approve {
    /// The execution; without it, those that wait for you are listed
    pub(crate) id: Option<String>,

    /// A reason, for the audit and for the one who asked
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,

    #[command(flatten)]
    pub(crate) confirmation: Confirmation,
}

#[derive(Args, Debug)]
pub(crate) struct Deny {
    /// The execution
    pub(crate) id: String,

    /// A reason, which the one who asked sees
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}
