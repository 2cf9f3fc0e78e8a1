//! Does `runvoy list`: lists executions.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use jiff::Timestamp;
use runvoy_api_types::{Execution, Me, plain_reason};
use serde_json::value::RawValue;

use super::context::Context;
use crate::{
    api::{WithStatus, not_ours, segment},
    arguments::List,
    failure::Result,
    output::{self, Columns, ago, cell, short, took},
};

/// Characters of a command in a list.
const COMMAND_WIDTH: usize = 80;
/// The most characters of the reason for which an execution waits, has failed or was stopped. On a terminal, it has a third of a row.
const WHY_WIDTH: usize = 72;
/// The least.
const MIN_WHY_WIDTH: usize = 24;
/// The pause between two looks with `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Executions in a page, where more may be needed than are shown.
const PAGE: usize = 100;

/// The executions that are wanted. The API filters, and this program once more, for an older API that ignores a filter.
struct Filter {
    path: String,
    limit: usize,
    user: Option<String>,
    image: Option<String>,
    since: Option<Timestamp>,
}

impl Filter {
    async fn new(context: &Context, list: &List) -> Result<Self> {
        let user = if list.mine {
            let me: Me = context.api.get("/me").await?.parse()?;
            Some(me.email.to_string())
        } else {
            list.user.clone()
        };
        let is_filtered = user.is_some() || list.image.is_some() || list.since.is_some();
        let limit = if is_filtered && list.limit > 0 { list.limit.max(PAGE) } else { list.limit };
        let mut path = format!("/executions?limit={limit}");
        let parameters = [
            ("status", list.status.as_ref().map(|status| status.to_ascii_uppercase())),
            ("user", user.clone()),
            ("image", list.image.clone()),
            ("since", list.since.map(|since| since.to_string())),
        ];
        for (name, value) in parameters {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", segment(&value)));
            }
        }
        Ok(Self { path, limit: list.limit, user, image: list.image.clone(), since: list.since })
    }

    fn is_older(&self, execution: &Execution) -> bool {
        self.since.is_some_and(|since| execution.started_at < since)
    }

    fn wants(&self, execution: &Execution) -> bool {
        let is_of = |wanted: &Option<String>, is: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(is);
        let image_id = execution.image_id.as_str();
        // An id is `name:tag-xxxxxxxx`.
        let name = image_id.rsplit_once('-').map_or(image_id, |(name, _)| name);
        is_of(&self.user, &|user| execution.created_by.as_str() == user)
            && is_of(&self.image, &|image| {
                image_id == image
                    || name == image
                    || image.ends_with(&format!("/{name}"))
                    || name.split(':').next() == Some(image)
            })
            && !self.is_older(execution)
    }

    /// Calls `take` with each wanted execution as the API sent it, newest first.
    async fn each(
        &self,
        context: &Context,
        mut take: impl FnMut(&RawValue, &WithStatus<Execution>) -> Result<()>,
    ) -> Result<()> {
        let mut path = self.path.clone();
        let mut taken = 0;
        loop {
            let answer = context.api.get(&path).await?;
            let page: Vec<&RawValue> = answer.parse()?;
            for raw in page {
                let execution: WithStatus<Execution> =
                    serde_json::from_str(raw.get()).map_err(|error| not_ours(&error))?;
                if self.is_older(&execution) {
                    return Ok(());
                }
                if self.wants(&execution) {
                    take(raw, &execution)?;
                    taken += 1;
                    if taken == self.limit {
                        return Ok(());
                    }
                }
            }
            match answer.next_page() {
                Some(next) => path = next,
                None => return Ok(()),
            }
        }
    }
}

pub(crate) async fn list(context: &Context, list: List) -> Result<()> {
    let filter = Filter::new(context, &list).await?;
    if list.quiet {
        return filter.each(context, |_, execution| output::print(&cell(&execution.execution_id))).await;
    }
    if context.is_json() {
        return as_json(context, &filter).await;
    }
    if !list.watch {
        return table(context, &filter).await?.print("there are no such executions");
    }
    loop {
        let columns = table(context, &filter).await?;
        if io::stdout().is_terminal() {
            output::print("\u{1b}[H\u{1b}[2J")?;
        }
        columns.print("there are no such executions")?;
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn table(context: &Context, filter: &Filter) -> Result<Columns> {
    let mut columns =
        Columns::leaving_out(&["STATUS", "ID", "STARTED", "TOOK", "BY", "WHY", "COMMAND"], &["BY", "TOOK", "STARTED"]);
    let why_width = output::width().map_or(WHY_WIDTH, |width| (width / 3).clamp(MIN_WHY_WIDTH, WHY_WIDTH));
    let take = |_: &RawValue, execution: &WithStatus<Execution>| {
        let code = execution.exit_code.filter(|code| *code != 0).map(|code| format!(" {code}")).unwrap_or_default();
        columns.row([
            format!("{}{code}", output::status(&execution.status)),
            output::id_cell(&execution.execution_id),
            ago(execution.started_at),
            duration(execution),
            cell(&execution.created_by),
            short(&cell(why(execution)), why_width),
            short(&cell(&execution.command), COMMAND_WIDTH),
        ]);
        Ok(())
    };
    filter.each(context, take).await?;
    Ok(columns)
}

/// Why an execution waits, has failed or was stopped. The exit code of its command stands beside its status.
fn why(execution: &Execution) -> &str {
    let plain = execution.exit_code.map(plain_reason);
    let reason = execution.reason.as_ref().filter(|reason| Some(*reason) != plain.as_ref());
    reason.or(execution.waits_for.as_ref()).map_or("", String::as_str)
}

/// The time from the start to the end, or to now.
pub(super) fn duration(execution: &Execution) -> String {
    let end = execution.completed_at.unwrap_or_else(Timestamp::now);
    took(end.duration_since(execution.started_at))
}

/// Prints the executions as one JSON array, each as soon as its page has come.
async fn as_json(context: &Context, filter: &Filter) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout());
    let mut separator = "[\n";
    let take = |raw: &RawValue, _: &WithStatus<Execution>| {
        let json = crate::escape::json(raw.get());
        write!(out, "{separator}{json}")?;
        separator = ",\n";
        out.flush()?;
        Ok(())
    };
    filter.each(context, take).await?;
    writeln!(out, "{}", if separator == "[\n" { "[]" } else { "\n]" })?;
    out.flush()?;
    Ok(())
}
