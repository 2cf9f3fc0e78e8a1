//! Prints texts to standard output.

use std::io::{self, IsTerminal, Write};

use crate::{escape, failure::Result};

/// Prints a text that ends in a line end.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Prints JSON of the API. On a terminal, it cannot steer it.
pub(crate) fn print_json(json: &str) -> Result<()> {
    if io::stdout().is_terminal() { print(&escape::json(json)) } else { print(json) }
}

/// Prints a value that others wrote. A program gets it as it is; on a terminal, its lines are shown as those of a log, and cannot steer it.
pub(crate) fn print_value(value: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        let lines: Vec<_> = value.split('\n').map(escape::log_line).collect();
        print(&lines.join("\n"))
    } else {
        print(value)
    }
}
