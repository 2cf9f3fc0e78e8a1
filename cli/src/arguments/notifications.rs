//! Describes what users type to manage notifications.

use clap::{Args, Subcommand};

use super::{confirmation::Confirmation, values::duration};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum Notifications {
    /// List notifications
    #[command(visible_alias = "ls")]
    List {
        /// Only notifications with this in their names
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Show a notification
    Show {
        #[arg(add = completion::notifications())]
        name: String,
    },
    /// Be told of executions: by a webhook, in Slack or by mail
    #[command(override_usage = "\
runvoy notifications create [OPTIONS] --webhook <URL> <NAME>
       runvoy notifications create [OPTIONS] --slack <URL> <NAME>
       runvoy notifications create [OPTIONS] --email <ADDRESS> <NAME>")]
    #[command(after_help = "\
Examples:
  runvoy notifications create on-call --webhook https://example.com/hook
  runvoy notifications create team --slack - --on failed --playbook deploy
  runvoy notifications create me --email a@example.com --on failed,slow")]
    Create(CreateNotification),
    /// Send a message that says that it is a test, and show what came of it
    Test {
        #[arg(add = completion::notifications())]
        name: String,
    },
    /// List what was sent in the last 30 days, newest first
    Deliveries {
        #[arg(add = completion::notifications())]
        name: String,
        /// How many; 0 for all
        #[arg(short, long, default_value_t = 20)]
        limit: usize,
    },
    /// Send nothing until it is resumed
    Pause {
        #[arg(add = completion::notifications())]
        name: String,
    },
    /// Let a paused notification send again
    Resume {
        #[arg(add = completion::notifications())]
        name: String,
    },
    /// Give a webhook a new signing key, and print it once; the old one signs for another day
    Rotate {
        #[arg(add = completion::notifications())]
        name: String,
    },
    /// Delete a notification
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(add = completion::notifications())]
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Args, Debug)]
pub(crate) struct CreateNotification {
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) channel: ChannelOptions,

    /// When: failed, recovered, slow, not_started, waiting, succeeded; failed,recovered if not given
    #[arg(long, value_name = "EVENT", value_delimiter = ',', hide_possible_values = true,
        value_parser = ["failed", "recovered", "slow", "not_started", "waiting", "succeeded"])]
    pub(crate) on: Vec<String>,

    /// Only executions of this playbook
    #[arg(long, value_name = "NAME")]
    pub(crate) playbook: Option<String>,

    /// Only executions of this schedule
    #[arg(long, value_name = "NAME")]
    pub(crate) schedule: Option<String>,

    /// Only executions that this user started
    #[arg(long, value_name = "EMAIL")]
    pub(crate) user: Option<String>,

    /// Only executions in this image
    #[arg(long, value_name = "IMAGE", add = completion::images())]
    pub(crate) image: Option<String>,

    /// The time after which an execution is slow; twice the usual one if not given
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) slow_after: Option<u64>,
}

/// Where a notification goes.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ChannelOptions {
    /// POST to this URL, signed
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,

    /// The URL of Slack's incoming webhook, or - for standard input. Other users of this machine can see the arguments of a program
    #[arg(long, value_name = "URL")]
    pub(crate) slack: Option<String>,

    /// Mail this address, once it is confirmed
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
}
