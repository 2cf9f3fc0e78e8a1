//! Describes what users type.

mod confirmation;
mod executions;
mod manage;
mod notifications;
mod run;
mod schedules;
mod values;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

pub(crate) use crate::output::{Color, Format};
use crate::{completion, config::Config, failure::Result};

pub(crate) use confirmation::Confirmation;
pub(crate) use executions::{Approve, Deny, Kill, Lines, List, Logs, Rerun, Status, Which};
pub(crate) use manage::{
    Audit, Claim, Configuration, Configure, Health, HealthAction, Images, Keys, Locks, Secrets, Users, ValueSource,
};
pub(crate) use notifications::{ChannelOptions, CreateNotification, Notifications};
pub(crate) use run::{OnInterrupt, Playbook, PlaybookOptions, Run, RunOptions, WatchOptions};
pub(crate) use schedules::{Create, Schedules};

/// Run commands in containers on AWS, and watch them.
///
/// Lines of commands go to standard output, and everything else to standard error. The exit code is the command's own; 125 is a failure
/// of runvoy itself, and 130 an interrupted run.
#[derive(Debug, Parser)]
#[command(
    name = "runvoy",
    version,
    max_term_width = 80,
    after_help = "\
Examples:
  runvoy run 'make migrate'          run, watch, end with the exit code
  runvoy run --detach 'sleep 600'    start a command and print its id
  runvoy logs -f ID                  watch an execution
  runvoy list --mine --since 1d      what you ran since yesterday
  runvoy rerun --edit                change your last command, run it again

Configuration, in this order: --profile; RUNVOY_ENDPOINT and RUNVOY_API_KEY;
RUNVOY_PROFILE; a local system's folder .runvoy-local here or above;
~/.runvoy/config.yaml, which `runvoy configure` writes."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// How results are printed: text for people, or the API's json
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true,
        help_heading = "Global options"
    )]
    pub(crate) output: Format,

    /// Colours: auto (on a terminal, without NO_COLOR), always or never
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true,
        help_heading = "Global options"
    )]
    pub(crate) color: Color,

    /// The profile of the configuration
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options", add = completion::profiles())]
    pub(crate) profile: Option<String>,

    /// Send the API key over http:// to another machine
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) allow_http: bool,

    /// Show each request on standard error
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,

    /// The same as --verbose
    #[arg(long, global = true, hide = true)]
    pub(crate) debug: bool,
}

impl Global {
    /// The configuration that these options choose.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn config(&self) -> Result<Config> {
        Config::load(self.profile.as_deref(), self.allow_http)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command and watch it
    Run(Run),
    /// Print the lines of an execution
    Logs(Logs),
    /// Show how an execution is going
    Status(Status),
    /// Show all that the record of an execution knows
    #[command(alias = "show")]
    Describe(Which),
    /// List executions, newest first
    #[command(visible_aliases = ["ls", "ps"])]
    List(List),
    /// Stop executions
    #[command(visible_alias = "stop")]
    Kill(Kill),
    /// Let a run of a playbook start that waits for an approval, or list those that wait for yours
    Approve(Approve),
    /// Stop a run of a playbook that waits for an approval
    Deny(Deny),
    /// Run an execution's command once more
    Rerun(Rerun),
    /// Open the page of an execution in a browser
    Open(Which),
    /// Run commands that are described in files of a repository, or published for others
    #[command(subcommand, alias = "playbooks")]
    Playbook(Playbook),
    /// Manage the images that commands may run in
    #[command(subcommand, alias = "image")]
    Images(Images),
    /// Manage secrets
    #[command(subcommand, alias = "secret")]
    Secrets(Secrets),
    /// Be told of what becomes of executions
    #[command(subcommand, alias = "notification")]
    Notifications(Notifications),
    /// Run commands at times of a clock, at a rate, or once
    #[command(subcommand, alias = "schedule")]
    Schedules(Schedules),
    /// Manage users
    #[command(subcommand, alias = "user")]
    Users(Users),
    /// Manage API keys
    #[command(subcommand, alias = "key")]
    Keys(Keys),
    /// Show who holds locks and who waits, or change a lock
    #[command(subcommand, alias = "lock")]
    Locks(Locks),
    /// Show who did what, newest first
    Audit(Audit),
    /// Get the API key that an admin has made for you, and keep it in the configuration
    Claim(Claim),
    /// Set the endpoint and the API key
    Configure(Configure),
    /// List the profiles of the configuration, or choose one
    #[command(subcommand)]
    Config(Configuration),
    /// Show who you are and what you may do
    Whoami,
    /// Look for what keeps runvoy from its work: endpoint, key, clock, proxy, versions
    Doctor,
    /// Show whether the API answers
    Health(Health),
    /// Show what one request did
    Trace {
        /// The header `X-Request-Id` of the request's answer
        request_id: String,
    },
    /// Print a script that completes commands in a shell
    #[command(after_help = "\
Examples:
  runvoy completions bash >~/.local/share/bash-completion/completions/runvoy
  source <(runvoy completions zsh)

Ids, images, secrets, users, playbooks and profiles are completed too.")]
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_help = "Example: runvoy man ~/.local/share/man/man1")]
    Man { folder: PathBuf },
    /// Print the version, and the server's
    Version,
}

/// The words that a user types, in a form that clap reads as they are meant: a token of a claim may begin with a dash.
pub(crate) fn prepared(typed: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut typed: Vec<OsString> = typed.collect();
    let is_token = |word: &OsString| {
        word.to_str().is_some_and(|word| {
            word.starts_with('-')
                && word.len() >= MIN_TOKEN
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                && !word.starts_with("--")
        })
    };
    let claim = typed.iter().position(|word| word == "claim");
    if let Some(claim) = claim
        && let Some(at) = typed.iter().skip(claim).position(is_token).map(|at| claim + at)
        && !typed[..at].iter().any(|word| word == "--")
    {
        let token = typed.remove(at);
        typed.extend(["--".into(), token]);
    }
    typed
}

/// Characters of the shortest text that is taken for a claim's token.
const MIN_TOKEN: usize = 20;

impl Arguments {
    /// Notes that the command of `run` or `schedules create` came after `--`, which clap does not tell. The command's words are the last ones.
    pub(crate) fn with_exactness(mut self, typed: &[OsString]) -> Self {
        let before = |command: &[String]| typed.get(..typed.len().saturating_sub(command.len())).unwrap_or_default();
        match &mut self.command {
            Command::Run(run) => {
                run.is_exact = !run.command.is_empty() && before(&run.command).last().is_some_and(|word| word == "--");
            }
            Command::Schedules(Schedules::Create(create)) => {
                // The name may come after it, too.
                create.is_exact = before(&create.command).iter().any(|word| word == "--");
            }
            _ => {}
        }
        self
    }
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
    fn a_schedules_command_after_two_hyphens_is_exact_wherever_its_name_is() {
        for (words, is_exact) in [
            (&["nightly", "--cron", "0 0 * * *", "--", "sh", "-c", "exit 3"][..], true),
            (&["--cron", "0 0 * * *", "nightly", "--", "sh", "-c", "exit 3"], true),
            (&["--cron", "0 0 * * *", "--", "nightly", "sh", "-c", "exit 3"], true),
            (&["--cron", "0 0 * * *", "nightly", "sh", "-c", "exit 3"], false),
        ] {
            let typed = prepared(["runvoy", "schedules", "create"].iter().chain(words).map(OsString::from));
            let parsed = Arguments::try_parse_from(&typed).unwrap().with_exactness(&typed);
            let Command::Schedules(Schedules::Create(create)) = parsed.command else { panic!("{words:?}") };
            assert_eq!(
                (create.command.as_slice(), create.is_exact),
                (&["sh", "-c", "exit 3"].map(String::from)[..], is_exact)
            );
        }
    }

    fn run_of(words: &[&str]) -> (Vec<String>, bool) {
        let typed = prepared(["runvoy", "run"].iter().chain(words).map(OsString::from));
        match Arguments::try_parse_from(&typed).unwrap().with_exactness(&typed).command {
            Command::Run(run) => (run.command, run.is_exact),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_of_run_end_at_the_first_word_that_is_none() {
        for (words, command, is_exact) in [
            (
                &["grep", "-v", "root", "-d", "-o", "x", "--", "y"][..],
                &["grep", "-v", "root", "-d", "-o", "x", "--", "y"][..],
                false,
            ),
            (&["-i", "a", "--", "grep", "-v"], &["grep", "-v"], true),
            (&["-e", "A=b", "env", "-i"], &["env", "-i"], false),
            (&["--", "a && b"], &["a && b"], true),
            (&["--", "--", "x"], &["--", "x"], true),
            (&["-"], &["-"], false),
            (&["x", "--help"], &["x", "--help"], false),
        ] {
            assert_eq!(run_of(words), (command.iter().map(|word| (*word).to_owned()).collect(), is_exact), "{words:?}");
        }
    }

    #[test]
    fn a_token_may_begin_with_a_dash() {
        for words in [
            &["runvoy", "claim", "-oabcdefghijklmnopqrstuv"][..],
            &["runvoy", "claim", "-oabcdefghijklmnopqrstuv", "--endpoint", "https://a"],
            &["runvoy", "-v", "claim", "-oabcdefghijklmnopqrstuv"],
        ] {
            let typed = prepared(words.iter().map(OsString::from));
            match Arguments::try_parse_from(&typed).unwrap().command {
                Command::Claim(claim) => assert_eq!(claim.token, "-oabcdefghijklmnopqrstuv"),
                other => panic!("{other:?}"),
            }
        }
    }
}
