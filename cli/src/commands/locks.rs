//! Does `runvoy locks`: lists, shows, changes and deletes locks.

use runvoy_api_types::{LockInFull, LockUse, SetLock};

use super::context::Context;
use crate::{
    api::segment,
    arguments::Locks,
    escape,
    failure::{Failure, Result},
    output::{self, Columns, ago, cell},
};

pub(crate) async fn run(context: &Context, command: Locks) -> Result<()> {
    match command {
        Locks::List => {
            context
                .list("/locks", "locks", |locks: &[LockInFull]| {
                    let mut columns =
                        Columns::leaving_out(&["NAME", "SLOTS", "HELD", "WAITING", "PAUSED"], &["PAUSED"]);
                    for LockInFull { lock, .. } in locks {
                        columns.row([
                            cell(&lock.name),
                            cell(lock.slots),
                            cell(lock.held),
                            cell(lock.waiting),
                            if lock.paused { "paused" } else { "" }.to_owned(),
                        ]);
                    }
                    columns.print("there are no locks")
                })
                .await
        }
        Locks::Show { name } => {
            let answer = context.api.get(&format!("/locks/{}", segment(&name))).await?;
            context.show(&answer, print)
        }
        Locks::Set { name, slots, pause, resume, max_queue } => {
            if slots.is_none() && !pause && !resume && max_queue.is_none() {
                return Err(
                    Failure::new("nothing is to be changed").remedy("give --slots, --max-queue, --pause or --resume")
                );
            }
            let paused = if pause { Some(true) } else { resume.then_some(false) };
            let change = SetLock { slots, paused, max_queue };
            let answer = context.api.put(&format!("/locks/{}", segment(&name)), &change).await?;
            context.show(&answer, print)
        }
        Locks::Delete { name, confirmation } => {
            confirmation.ask(&format!("Delete the lock {}?", escape::text(&name)))?;
            let answer = context.api.delete(&format!("/locks/{}", segment(&name))).await?;
            context.done(&answer)
        }
    }
}

fn print(LockInFull { lock, holders, queue }: LockInFull) -> Result<()> {
    let paused = if lock.paused { ", paused" } else { "" };
    let name = escape::text(&lock.name);
    output::print(&format!("{name}: {} of {} slots held, {} waiting{paused}", lock.held, lock.slots, lock.waiting))?;
    let mut columns = Columns::new(&["", "EXECUTION", "BY", "SINCE"]);
    let row = |columns: &mut Columns, what: String, one: LockUse| {
        columns.row([what, one.execution_id.to_string(), one.created_by.to_string(), ago(one.since)]);
    };
    for holder in holders {
        row(&mut columns, "holds it".to_owned(), holder);
    }
    for (at, waiting) in queue.into_iter().enumerate() {
        row(&mut columns, format!("{}.", at + 1), waiting);
    }
    columns.print("no execution holds it or waits for it")
}
