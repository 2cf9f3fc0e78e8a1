//! Limits the executions that have a task at the same time, by a lock that each of them takes last.
//!
//! No request can name the lock, and no list shows it. An execution gives it back whenever it has no task for a while, so that one that
//! waits does not keep others from running.

use super::{
    items::{self, Head},
    order::RUNNING,
};
use crate::{
    App, Error, Result,
    table::{self, number},
};

/// The slots that the lock has where there is no limit any more, for executions that still hold it or wait for it.
const UNLIMITED: u32 = u32::MAX;

fn slots(app: &App) -> u32 {
    app.config.max_running.unwrap_or(UNLIMITED)
}

/// The number of slots that a lock gets with its first use.
pub(crate) fn first_slots(app: &App, name: &str, asked: Option<u32>) -> u32 {
    if name == RUNNING { slots(app) } else { asked.unwrap_or(1) }
}

/// The counts of a lock. If it is the one that limits running executions, it gets as many slots as the setting says first.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn head(app: &App, name: &str) -> Result<Option<Head>> {
    let head = items::head(app, name).await?;
    match head {
        Some(head) if name == RUNNING && head.slots != slots(app) => {
            follow_setting(app).await?;
            items::head(app, name).await
        }
        head => Ok(head),
    }
}

/// Gives the lock as many slots as the setting says.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn follow_setting(app: &App) -> Result<()> {
    let slots = slots(app);
    let change = items::change(app, RUNNING)
        .set("slots", number(slots))
        .with_value(":slots", number(slots))
        .only_if_expression("slots <> :slots");
    // A refusal means that the lock has these slots already.
    table::transact(app, vec![change.write()?]).await.map(drop)
}

/// The words that say what an execution in a lock's line waits for.
pub(crate) fn waits_for(name: &str) -> String {
    if name == RUNNING {
        "a place among the executions that may run at the same time".to_owned()
    } else {
        format!("lock {name}")
    }
}

/// The refusal of a run that does not wait, when as many executions run as may.
pub(crate) fn is_reached(app: &App) -> Error {
    let problem = match app.config.max_running.unwrap_or_default() {
        1 => "an execution runs, or is about to, and only one may at the same time".to_owned(),
        most => format!("{most} executions run, or are about to, as many as may at the same time"),
    };
    Error::running_limit(problem).with_hint("wait for a place with \"on_conflict\": \"queue\", or try again later")
}
