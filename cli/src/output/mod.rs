//! Prints results: lines, tables, times, colours.

mod print;
mod table;

use std::io::{self, IsTerminal, Write};

use console::Style;
use jiff::{SignedDuration, Timestamp};
use runvoy_api_types::{ExecutionId, Retry};
use serde_json::Value;

use clap::ValueEnum;
use runvoy_api_types::LogEvent as Line;

use crate::{escape, failure::Result, say};

pub(crate) use print::{print, print_json, print_value};
pub(crate) use table::{Columns, Fields, is_narrow, width};

/// The beginning of the lines that runvoy adds to those of the command. They go to standard error.
const OWN_LINE: &str = "### runvoy ";

/// Characters of the beginning of an execution's id that name it.
pub(crate) const SHORT_ID: usize = 12;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences
    #[default]
    Text,
    /// The API's JSON
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    #[default]
    Auto,
    Always,
    Never,
}

/// Decides about colours once, for everything that is printed.
pub(crate) fn set_colors(color: Color) {
    let (stdout, stderr) = match color {
        Color::Auto => {
            let allowed = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !say::is_dumb();
            (allowed && io::stdout().is_terminal(), allowed && io::stderr().is_terminal())
        }
        Color::Always => (true, true),
        Color::Never => (false, false),
    };
    console::set_colors_enabled(stdout);
    console::set_colors_enabled_stderr(stderr);
}

/// Prints the lines of an execution.
pub(crate) struct LinePrinter {
    out: io::BufWriter<io::Stdout>,
    format: Format,
    timestamps: bool,
    /// Lines are read by a terminal, which they must not steer.
    is_terminal: bool,
    /// A line has set a colour, which the lines after it may go on with.
    has_colour: bool,
}

impl Drop for LinePrinter {
    /// Gives the terminal its own colour back.
    fn drop(&mut self) {
        if self.has_colour {
            let _ = self.out.write_all(b"\x1b[0m").and_then(|()| self.out.flush());
        }
    }
}

impl LinePrinter {
    pub(crate) fn new(format: Format, timestamps: bool) -> Self {
        let out = io::BufWriter::with_capacity(64 * 1024, io::stdout());
        Self { out, format, timestamps, is_terminal: io::stdout().is_terminal(), has_colour: false }
    }

    /// Prints lines, and hands them to the operating system.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn print(&mut self, lines: &[Line]) -> Result<()> {
        for line in lines {
            match self.format {
                Format::Json if self.is_terminal => {
                    let json = serde_json::to_string(line).map_err(io::Error::from)?;
                    self.out.write_all(escape::json(&json).as_bytes())?;
                }
                Format::Json => serde_json::to_writer(&mut self.out, line).map_err(io::Error::from)?,
                Format::Text if is_own(line) => {
                    self.out.flush()?;
                    let message = escape::text(&line.message);
                    say::line(&Style::new().for_stderr().dim().apply_to(message).to_string());
                    continue;
                }
                Format::Text => {
                    if self.timestamps {
                        write!(self.out, "{} ", time_of(line.timestamp))?;
                    }
                    if self.is_terminal {
                        let shown = escape::log_line(&line.message);
                        self.has_colour |= shown.contains('\u{1b}');
                        self.out.write_all(shown.as_bytes())?;
                    } else {
                        self.out.write_all(line.message.as_bytes())?;
                    }
                }
            }
            self.out.write_all(b"\n")?;
        }
        self.out.flush()?;
        Ok(())
    }

    /// Prints a value of its own line, in the JSON format only.
    pub(crate) fn print_json(&mut self, value: &Value) -> Result<()> {
        if self.format == Format::Json {
            writeln!(self.out, "{value}")?;
            self.out.flush()?;
        }
        Ok(())
    }
}

/// Tells that runvoy added a line to those of the command.
pub(crate) fn is_own(line: &Line) -> bool {
    line.message.starts_with(OWN_LINE)
}

/// A time in milliseconds as RFC 3339, UTC.
fn time_of(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| milliseconds.to_string(), |time| format!("{time:.3}"))
}

/// A text of others in a table, escaped.
pub(crate) fn cell(text: impl std::fmt::Display) -> String {
    escape::text(&text.to_string()).into_owned()
}

/// A text of others behind a label, escaped. Its further lines are indented, so that none looks like a line of runvoy's own.
pub(crate) fn indented(text: impl std::fmt::Display) -> String {
    cell(text).replace('\n', "\n    ")
}

/// A text of others that may be absent, escaped. Absent and empty ones are a dash.
pub(crate) fn or_dash(text: Option<impl std::fmt::Display>) -> String {
    text.map(cell).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

/// The id of an execution in a table: its beginning, by which other commands find it, where there is no room for the whole.
pub(crate) fn id_cell(id: &ExecutionId) -> String {
    let id = id.to_string();
    if is_narrow() { id.chars().take(SHORT_ID).collect() } else { id }
}

/// Names in a row, escaped. None at all is a dash.
pub(crate) fn names<T: std::fmt::Display>(names: &[T]) -> String {
    let texts: Vec<String> = names.iter().map(cell).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
}

/// A text on one line, cut to some characters.
pub(crate) fn short(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The time since a moment, such as `5 min ago`.
pub(crate) fn ago(time: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(time).as_secs();
    match seconds {
        ..0 => "now".to_owned(),
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// The time until a moment, such as `in 30 d`.
pub(crate) fn until(time: Timestamp) -> String {
    let seconds = time.duration_since(Timestamp::now()).as_secs();
    match seconds {
        ..=0 => "expired".to_owned(),
        1..3600 => format!("in {} min", seconds / 60 + 1),
        3600..86_400 => format!("in {} h", (seconds + 1800) / 3600),
        _ => format!("in {} d", (seconds + 43_200) / 86_400),
    }
}

/// The time that something took, such as `1 min 5 s`, or `253 ms`.
pub(crate) fn took(duration: SignedDuration) -> String {
    match duration.as_secs() {
        ..1 => format!("{} ms", duration.as_millis().max(0)),
        seconds => seconds_in_words(seconds),
    }
}

/// A number of seconds, such as `1 min 5 s`.
pub(crate) fn seconds_in_words(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The attempts of a run in words, such as `3 attempts, 30 s apart, after exit, start`.
pub(crate) fn retry(retry: &Retry) -> String {
    let pause = seconds_in_words(i64::try_from(retry.backoff.0).unwrap_or(i64::MAX));
    let ends: Vec<String> = retry.on.iter().map(ToString::to_string).collect();
    let ends = if ends.is_empty() { "any failure".to_owned() } else { ends.join(", ") };
    format!("{} attempts, {pause} apart, after {ends}", retry.attempts)
}

/// A status in its colour, where standard output takes colours.
pub(crate) fn status(text: &str) -> String {
    styled(text).to_string()
}

/// A status in its colour, where standard error takes colours.
pub(crate) fn status_on_stderr(text: &str) -> String {
    styled(text).for_stderr().to_string()
}

fn styled(text: &str) -> console::StyledObject<std::borrow::Cow<'_, str>> {
    let style = Style::new();
    let text = escape::text(text);
    match &*text {
        "SUCCEEDED" => style.green(),
        "FAILED" => style.red(),
        "RUNNING" => style.cyan(),
        _ => style.yellow(),
    }
    .apply_to(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_characters() {
        assert_eq!(short("a  b\nc", 10), "a b c");
        assert_eq!(short("日本語日本語", 4), "日本語…");
    }

    #[test]
    fn durations_are_short() {
        let durations = [0, 253, 1999, 65_000, 3_700_000].map(SignedDuration::from_millis);
        assert_eq!(durations.map(took), ["0 ms", "253 ms", "1 s", "1 min 5 s", "1 h 1 min"]);
    }
}
