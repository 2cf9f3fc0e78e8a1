//! `runvoy list`.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, value::RawValue};

use super::Context;
use crate::{
    api::segment,
    arguments::List,
    failure::Result,
    output::{self, Columns, ago, field, short, took},
};

/// Characters of a command in a list.
const COMMAND_WIDTH: usize = 80;
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
        let user =
            if list.mine { Some(field(&context.api.get("/me").await?.json()?, "email")) } else { list.user.clone() };
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

    fn is_older(&self, execution: &Value) -> bool {
        let started = execution["started_at"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        self.since.is_some_and(|since| started.is_some_and(|started| started < since))
    }

    fn wants(&self, execution: &Value) -> bool {
        let is_of = |wanted: &Option<String>, is: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(is);
        let image_id = execution["image_id"].as_str().unwrap_or_default();
        // An id is `name:tag-xxxxxxxx`.
        let name = image_id.rsplit_once('-').map_or(image_id, |(name, _)| name);
        is_of(&self.user, &|user| execution["created_by"] == user)
            && is_of(&self.image, &|image| {
                image_id == image
                    || name == image
                    || image.ends_with(&format!("/{name}"))
                    || name.split(':').next() == Some(image)
            })
            && !self.is_older(execution)
    }

    /// Calls `take` with each wanted execution as the API sent it, newest first.
    async fn each(&self, context: &Context, mut take: impl FnMut(&RawValue, &Value) -> Result<()>) -> Result<()> {
        let mut path = self.path.clone();
        let mut taken = 0;
        loop {
            let answer = context.api.get(&path).await?;
            let page: Vec<&RawValue> = answer.parse()?;
            for raw in page {
                let execution: Value = serde_json::from_str(raw.get()).unwrap_or_default();
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
        return filter.each(context, |_, execution| output::print(&field(execution, "execution_id"))).await;
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
    let mut columns = Columns::new(&["STATUS", "ID", "STARTED", "TOOK", "BY", "COMMAND"]);
    let take = |_: &RawValue, execution: &Value| {
        let cell = |name| field(execution, name);
        let code = match &execution["exit_code"] {
            Value::Number(code) if code.as_i64() != Some(0) => format!(" {code}"),
            _ => String::new(),
        };
        columns.row([
            format!("{}{code}", output::status(&cell("status"))),
            cell("execution_id"),
            ago(&cell("started_at")),
            duration(execution),
            cell("created_by"),
            short(&cell("command"), COMMAND_WIDTH),
        ]);
        Ok(())
    };
    filter.each(context, take).await?;
    Ok(columns)
}

/// The time from the start to the end, or to now.
pub(super) fn duration(execution: &Value) -> String {
    let time = |name: &str| execution[name].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let Some(started) = time("started_at") else { return "-".to_owned() };
    let end = time("completed_at").unwrap_or_else(Timestamp::now);
    took(end.duration_since(started).as_secs().max(0))
}

/// Prints the executions as one JSON array, each as soon as its page has come.
async fn as_json(context: &Context, filter: &Filter) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout());
    let mut separator = "[\n";
    let take = |raw: &RawValue, _: &Value| {
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
