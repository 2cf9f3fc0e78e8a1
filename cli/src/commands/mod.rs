//! Does what each command is for.

mod account;
mod approvals;
mod audit;
mod confirmation;
mod context;
mod doctor;
mod executions;
mod ids;
mod images;
mod keys;
mod line_filter;
mod list;
mod locks;
mod logs;
mod notifications;
mod parameters;
mod playbooks;
mod published;
mod rerun;
mod run;
mod schedules;
mod secrets;
mod shell;
mod trace;
mod users;
mod watch;

use clap::CommandFactory;
use runvoy_api_types::{Health, Reconciled};
use serde_json::Value;

use crate::{
    arguments::{self, Arguments, Command, HealthAction},
    failure::{Failure, Result},
    output::{self, Columns, cell},
};

use context::Context;

/// Runs a command, and returns the exit code.
pub(crate) async fn run(arguments: Arguments) -> Result<u8> {
    let Arguments { command, global } = arguments;
    output::set_colors(global.color);
    let command = match command {
        Command::Version => return account::version(&global).await.map(|()| 0),
        Command::Completions { shell } => return completions(shell).map(|()| 0),
        Command::Man { folder } => return write_manual(&folder).map(|()| 0),
        Command::Configure(configure) => return account::configure(global, configure).await.map(|()| 0),
        Command::Config(configuration) => return account::config(&global, configuration).map(|()| 0),
        Command::Claim(claim) => return account::claim(global, claim).await.map(|()| 0),
        Command::Playbook(playbook) => return playbooks::run(global, playbook).await,
        Command::Run(run) => return run::run(global, run).await,
        Command::Rerun(rerun) => return rerun::rerun(global, rerun).await,
        Command::Doctor => return doctor::doctor(&global).await.map(|()| 0),
        command => command,
    };
    let context = Context::load(global)?;
    match command {
        Command::Logs(logs) => return logs::logs(&context, logs).await,
        Command::Status(status) => return executions::status(&context, status).await,
        Command::Kill(kill) => return executions::kill(&context, kill).await,
        Command::Schedules(schedules) => return schedules::schedules(context, schedules).await,
        Command::List(list) => list::list(&context, list).await?,
        Command::Approve(approve) => approvals::approve(&context, approve).await?,
        Command::Deny(deny) => approvals::deny(&context, deny).await?,
        Command::Describe(which) => executions::describe(&context, which).await?,
        Command::Open(which) => executions::open(&context, which).await?,
        Command::Keys(keys) => keys::run(&context, keys).await?,
        Command::Locks(locks) => locks::run(&context, locks).await?,
        Command::Audit(audit) => audit::audit(&context, audit).await?,
        Command::Images(images) => images::run(&context, images).await?,
        Command::Secrets(secrets) => secrets::run(&context, secrets).await?,
        Command::Notifications(notifications) => notifications::run(&context, notifications).await?,
        Command::Users(users) => users::run(&context, users).await?,
        Command::Whoami => account::whoami(&context).await?,
        Command::Health(health) => self::health(&context, health).await?,
        Command::Trace { request_id } => trace::trace(&context, &request_id).await?,
        // The others need no API, or load the configuration themselves.
        _ => {}
    }
    Ok(0)
}

async fn health(context: &Context, health: arguments::Health) -> Result<()> {
    match health.action {
        None => {
            let answer = context.api.get("/health").await?;
            context.show(&answer, |Health { status, version, provider, region }| {
                let text = format!("{}: {status}, version {version}, {provider} {region}", context.config.endpoint);
                output::print(&cell(text))
            })
        }
        Some(HealthAction::Reconcile) => {
            let answer = context.api.post("/health/reconcile", &Value::Null).await?;
            context.show(&answer, |Reconciled { report, .. }| {
                let mut columns = Columns::new(&["SEVERITY", "KIND", "ID", "ACTION", "WHAT"]);
                for issue in &report.issues {
                    columns.row([
                        cell(issue.severity),
                        cell(&issue.resource_type),
                        cell(&issue.resource_id),
                        cell(&issue.action),
                        cell(&issue.message),
                    ]);
                }
                columns.print("nothing differs")?;
                say!("{} repaired, {} to look after", report.reconciled_count, report.error_count);
                Ok(())
            })
        }
    }
}

/// Prints the script by which a shell asks this program for completions.
fn completions(shell: clap_complete::Shell) -> Result<()> {
    let name = shell.to_string();
    let shells = clap_complete::env::Shells::builtins();
    let completer =
        shells.completer(&name).ok_or_else(|| Failure::new(format!("completions for {name} are not known")))?;
    let mut script = Vec::new();
    completer.write_registration("COMPLETE", "runvoy", "runvoy", "runvoy", &mut script)?;
    output::print(&String::from_utf8_lossy(&script))
}

/// Writes a page for each command, such as `runvoy-run.1`.
fn write_manual(folder: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
        .map_err(|error| Failure::new(format!("the pages cannot be written to {}: {error}", folder.display())))?;
    say!("The pages are in {}.", folder.display());
    Ok(())
}
