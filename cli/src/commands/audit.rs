//! Does `runvoy audit`: shows who did what.

use std::io::{self, Write};

use runvoy_api_types::AuditEntry;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::Context;
use crate::{
    api::{not_ours, segment},
    arguments::Audit,
    escape,
    failure::Result,
    output::{Columns, cell, or_dash, short},
};

/// Characters of an entry's details in a table.
const DETAILS_WIDTH: usize = 80;
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
    );
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
                columns.row([
                    format!("{:.0}", entry.time),
                    cell(entry.outcome),
                    cell(entry.actor),
                    cell(entry.action),
                    cell(entry.resource),
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
    if context.is_json() { Ok(()) } else { columns.print("there are no such entries") }
}
