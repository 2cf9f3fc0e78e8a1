//! Describes what users type to run commands at times of a clock.

use clap::{Args, Subcommand};

use super::{
    confirmation::Confirmation,
    run::{Run, RunOptions, WatchOptions},
    values::parameter,
};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum Schedules {
    /// List schedules
    #[command(visible_alias = "ls")]
    List {
        /// Only schedules with this in their names
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Show a schedule, and what became of its last times
    #[command(alias = "describe")]
    Show {
        #[arg(add = completion::schedules())]
        name: String,
    },
    /// Run a command at times of a clock, at a rate, or once
    #[command(override_usage = "\
runvoy schedules create [OPTIONS] --cron <EXPRESSION> <NAME> [COMMAND]...
       runvoy schedules create [OPTIONS] --rate <PERIOD> <NAME> [COMMAND]...
       runvoy schedules create [OPTIONS] --at <TIME> <NAME> [COMMAND]...")]
    #[command(after_help = "\
Examples:
  runvoy schedules create backup --cron '30 2 * * *' --timezone Europe/Berlin -- ./backup.sh
  runvoy schedules create poll --rate '5 minutes' 'curl -fsS https://example.com/poll'
  runvoy schedules create launch --at 2030-01-31T09:00 --timezone UTC 'make launch'
  runvoy schedules create report --cron '0 8 * * MON#1' --on-missed run_once -f report.sh

A cron expression has the five fields of crontab, or the six of AWS, with L, W
and # as AWS has them: 0 18 L * * is the last day of each month, 0 18 * * FRIL
its last Friday. When clocks go forward, a time that does not exist is skipped;
when they go back, a time that comes twice runs once. Runs have your rights.")]
    Create(Box<Create>),
    /// Print the next times of a schedule
    Next {
        #[arg(add = completion::schedules())]
        name: String,
        /// How many, up to 500
        #[arg(short = 'n', long, default_value_t = 5)]
        count: usize,
    },
    /// Let a schedule rest until it is resumed
    Pause {
        #[arg(add = completion::schedules())]
        name: String,
    },
    /// Let a paused schedule go on
    Resume {
        #[arg(add = completion::schedules())]
        name: String,
    },
    /// Run a schedule's command now, and watch it
    Run {
        #[arg(add = completion::schedules())]
        name: String,
        #[command(flatten)]
        watch: WatchOptions,
    },
    /// Delete a schedule
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(add = completion::schedules())]
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) times: Times,

    /// The time zone of the clock, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<String>,

    /// What becomes of times that could not start for ten minutes: skip, or run_once for the last of them
    #[arg(long, value_name = "ACTION", value_parser = ["skip", "run_once"])]
    pub(crate) on_missed: Option<String>,

    /// Create it paused
    #[arg(long)]
    pub(crate) paused: bool,

    /// A published playbook to run, NAME or NAME@VERSION, in place of a command
    #[arg(long, value_name = "PLAYBOOK", conflicts_with_all = ["command", "file"], add = completion::published_playbooks())]
    pub(crate) playbook: Option<String>,

    /// The value of a parameter of the playbook; may be repeated
    #[arg(short = 'P', long = "parameter", value_name = "NAME=VALUE", value_parser = parameter, requires = "playbook", conflicts_with_all = ["command", "file"])]
    pub(crate) parameters: Vec<(String, String)>,

    /// The command
    #[arg(required_unless_present_any = ["file", "playbook"], conflicts_with = "file", trailing_var_arg = true)]
    pub(crate) command: Vec<String>,

    /// The command came after `--`.
    #[arg(skip)]
    pub(crate) is_exact: bool,

    /// Run this script
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<std::path::PathBuf>,

    #[command(flatten)]
    pub(crate) options: RunOptions,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Times {
    /// Times of the clock, as crontab or AWS writes them
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) cron: Option<String>,

    /// A period, such as '5 minutes', which begins now
    #[arg(long, value_name = "PERIOD")]
    pub(crate) rate: Option<String>,

    /// One time, such as 2030-01-31T09:00
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

impl Create {
    /// The part that is as in `runvoy run`.
    pub(crate) fn run(&mut self) -> Run {
        Run {
            command: std::mem::take(&mut self.command),
            is_exact: self.is_exact,
            file: self.file.take(),
            options: std::mem::take(&mut self.options),
            watch: WatchOptions::default(),
        }
    }
}
