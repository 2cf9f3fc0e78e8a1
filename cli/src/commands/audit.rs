//! Does `runvoy audit`: shows who did what.

use std::io::{self, Write};

use jiff::{Timestamp, ToSpan};
use runvoy_api_types::{AuditEntry, Outcome};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::context::Context;
use crate::{
    api::{not_ours, segment},
    arguments::Audit,
    escape,
    failure::Result,
    output::{self, Columns, SHORT_ID, cell, or_dash, short},
};

/// Characters of an entry's details in a table.
const DETAILS_WIDTH: usize = 80;
/// Days of the entries whose times need no year.
const DAYS_WITHOUT_YEAR: i64 = 300;
/// Entries that one request asks for, where all are wanted.
const PAGE: usize = 1000;

/// A page of the audit whose entries are printed as JSON as they are.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

/// Shows who did what, newest first. As JSON, each entry is a line.
pub(crate) async fn audit(context: &Context, audit: Audit) -> Result<()> {
    let page = if audit.limit == 0 { PAGE } else { audit.limit.min(PAGE) };
    let mut path = format!("/audit?limit={page}");
    let parameters = [
        ("actor", audit.actor),
        ("action", audit.action),
        ("resource", audit.resource),
        ("outcome", audit.outcome),
        ("since", audit.since.map(|since| since.to_string())),
        ("until", audit.until.map(|until| until.to_string())),
    ];
    for (name, value) in parameters {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(&value)));
        }
    }
    let mut out = io::BufWriter::new(io::stdout());
    let mut columns = Columns::leaving_out(
        &["TIME", "OUTCOME", "ACTOR", "ACTION", "RESOURCE", "FROM", "DETAILS"],
        &["FROM", "DETAILS"],
    )
    .last_has("execution:".len() + SHORT_ID);
    let mut all_done = true;
    let is_narrow = output::is_narrow();
    let mut taken = 0;
    'pages: loop {
        let answer = context.api.get(&path).await?;
        let page: Page<'_> = answer.parse()?;
        for raw in page.entries {
            if context.is_json() {
                writeln!(out, "{}", escape::json(raw.get()))?;
            } else {
                let entry: AuditEntry = serde_json::from_str(raw.get()).map_err(|error| not_ours(&error))?;
                let details = match entry.details.is_empty() {
                    true => String::new(),
                    false => short(&cell(Value::from_iter(entry.details)), DETAILS_WIDTH),
                };
                all_done &= entry.outcome == Outcome::Done;
                columns.row([
                    if is_narrow { short_time(entry.time) } else { format!("{:.0}", entry.time) },
                    cell(entry.outcome),
                    cell(entry.actor),
                    cell(entry.action),
                    if is_narrow { short_resource(&entry.resource) } else { cell(entry.resource) },
                    or_dash(entry.source_address),
                    details,
                ]);
            }
            taken += 1;
            if taken == audit.limit {
                break 'pages;
            }
        }
        out.flush()?;
        match answer.next_page() {
            Some(next) => path = next,
            None => break,
        }
    }
    out.flush()?;
    if all_done {
        columns.leave_out("OUTCOME");
    }
    if context.is_json() { Ok(()) } else { columns.print("there are no such entries") }
}

/// A time in UTC without its year. An entry of long ago has its day in place of the time.
fn short_time(time: Timestamp) -> String {
    let is_old = Timestamp::now().checked_sub((24 * DAYS_WITHOUT_YEAR).hours()).is_ok_and(|then| time < then);
    time.strftime(if is_old { "%Y-%m-%d" } else { "%m-%d %H:%M:%S" }).to_string()
}

/// A resource whose id, if it is an execution's, has only its beginning, by which the other commands find it, too.
fn short_resource(resource: &str) -> String {
    match resource.split_once(':') {
        Some(("execution", id)) => cell(format!("execution:{}", id.chars().take(SHORT_ID).collect::<String>())),
        _ => cell(resource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_time_says_the_day_or_the_year() {
        let now = Timestamp::now();
        assert_eq!(short_time(now), now.strftime("%m-%d %H:%M:%S").to_string());
        assert_eq!(short_time("2001-02-03T04:05:06Z".parse().unwrap()), "2001-02-03");
    }

    #[test]
    fn a_resource_keeps_its_name_and_the_beginning_of_an_id() {
        assert_eq!(short_resource("execution:0123456789abcdef0123456789abcdef"), "execution:0123456789ab");
        assert_eq!(short_resource("secret:a-name-of-thirty-two-characters"), "secret:a-name-of-thirty-two-characters");
        assert_eq!(short_resource("user:a@example.com"), "user:a@example.com");
    }
}
