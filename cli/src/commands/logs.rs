//! Does `runvoy logs`: prints the lines of an execution.

use std::collections::VecDeque;

use super::{context::Context, ids, line_filter::LineFilter, watch};
use crate::{
    arguments::Logs,
    failure::Result,
    follow::{Event, Follower},
    output::{LinePrinter, is_own},
    say::Waiting,
};

pub(crate) async fn logs(context: &Context, logs: Logs) -> Result<u8> {
    let id = ids::execution_id(context, &logs.id).await?;
    let tail = logs.lines.tail;
    let filter = LineFilter::new(logs.lines);
    let follower = Follower::new(&context.api, &id, None);
    let mut follower = if logs.follow { follower } else { follower.giving_up() };
    let mut printer = LinePrinter::new(context.global.output, logs.timestamps);
    if logs.follow && tail.is_none() {
        return watch::watch(context, follower, printer, filter).await;
    }
    let waiting = Waiting::begin("reading the log");
    let mut last = VecDeque::new();
    let mut read = 0;
    let has_ended = loop {
        match follower.next_stored().await? {
            Some(Event::Lines(lines)) => {
                read += lines.len();
                waiting.now(format_args!("reading the log, {read} line{}", if read == 1 { "" } else { "s" }));
                let lines = filter.apply(lines);
                match tail {
                    None => waiting.aside(|| printer.print(&lines))?,
                    Some(tail) => {
                        // The lines that runvoy adds do not count. They are no output of the command.
                        last.extend(lines.into_iter().filter(|line| context.is_json() || !is_own(line)));
                        last.drain(..last.len().saturating_sub(tail));
                    }
                }
            }
            Some(Event::Status { .. }) => {}
            Some(Event::End) => break true,
            None => break false,
        }
    };
    drop(waiting);
    printer.print(last.make_contiguous())?;
    if logs.follow {
        if has_ended {
            follower.has_ended();
        }
        return watch::watch(context, follower, printer, filter).await;
    }
    if !has_ended {
        say!("runvoy: the execution goes on; follow it: runvoy logs -f {id}");
    }
    Ok(0)
}
