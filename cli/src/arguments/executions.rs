//! Describes what users type to look at executions.

use clap::Args;

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
