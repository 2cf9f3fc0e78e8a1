//! `runvoy audit`.

use std::io::{self, Write};

use serde_json::Value;

use super::Context;
use crate::{
    api::segment,
    arguments::Audit,
    escape,
    failure::Result,
    output::{self, Columns, field, short},
};

/// Characters of an entry's details in a table.
const DETAILS_WIDTH: usize = 80;
/// Entries that one request asks for, where all are wanted.
const PAGE: usize = 1000;

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
        let entries = answer.json()?;
        for entry in entries["entries"].as_array().into_iter().flatten() {
            if context.is_json() {
                writeln!(out, "{}", escape::json(&entry.to_string()))?;
            } else {
                let cell = |name| field(entry, name);
                let details = match &entry["details"] {
                    Value::Object(details) if !details.is_empty() => short(&cell("details"), DETAILS_WIDTH),
                    _ => String::new(),
                };
                columns.row([
                    output::to_the_second(&cell("time")),
                    cell("outcome"),
                    cell("actor"),
                    cell("action"),
                    cell("resource"),
                    cell("source_address"),
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
