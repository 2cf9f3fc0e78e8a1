//! Prints results: lines, tables, times, colours.

use std::io::{self, IsTerminal, Write};

use console::{Alignment, Style, Term, measure_text_width, pad_str, truncate_str};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    arguments::{Color, Format, Global},
    escape,
    failure::Result,
    follow::Line,
    say,
};

/// How the lines begin that runvoy adds to those of the command. They go to standard error.
const OWN_LINE: &str = "### runvoy ";
/// Blanks between two columns of a table.
const GAP: usize = 2;
/// Characters that the last column of a table has at least: other columns are left out until it has them.
const MIN_LAST_COLUMN: usize = 16;
/// Columns before the last that are never left out.
const MIN_COLUMNS: usize = 2;

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
}

impl LinePrinter {
    pub(crate) fn new(global: &Global, timestamps: bool) -> Self {
        let out = io::BufWriter::with_capacity(64 * 1024, io::stdout());
        Self { out, format: global.output, timestamps, is_terminal: io::stdout().is_terminal() }
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
                        self.out.write_all(escape::log_line(&line.message).as_bytes())?;
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

/// Prints JSON of the API. On a terminal, it cannot steer it.
pub(crate) fn print_json(json: &str) -> Result<()> {
    if io::stdout().is_terminal() { print(&escape::json(json)) } else { print(json) }
}

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

/// A table. On a terminal, each row has one line: columns before the last are left out if they do not fit, and cells of the last are
/// cut.
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    pub(crate) fn new(names: &[&str]) -> Self {
        let bold = Style::new().bold();
        Self { rows: vec![names.iter().map(|name| bold.apply_to(name).to_string()).collect()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Prints the table, or a sentence on standard error in its place if it has no rows.
    pub(crate) fn print(self, if_empty: &str) -> Result<()> {
        if self.rows.len() == 1 {
            say!("{if_empty}");
            return Ok(());
        }
        let width = io::stdout().is_terminal().then(|| usize::from(Term::stdout().size().1));
        print(&self.render(width))
    }

    fn render(&self, width: Option<usize>) -> String {
        let count = self.rows[0].len();
        let widest =
            |column: usize| self.rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or_default();
        let widths: Vec<usize> = (0..count).map(widest).collect();
        let mut shown: Vec<usize> = (0..count - 1).collect();
        let before_last = |shown: &[usize]| shown.iter().map(|column| widths[*column] + GAP).sum::<usize>();
        while shown.len() > MIN_COLUMNS && width.is_some_and(|width| before_last(&shown) + MIN_LAST_COLUMN > width) {
            shown.pop();
        }
        let last = width.map(|width| width.saturating_sub(before_last(&shown)).max(1));
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for column in &shown {
                line.push_str(&pad_str(&row[*column], widths[*column] + GAP, Alignment::Left, None));
            }
            match last {
                Some(width) => line.push_str(&truncate_str(&row[count - 1], width, "…")),
                None => line.push_str(&row[count - 1]),
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A field of a JSON object as text, escaped. Absent fields and `null` are a dash.
pub(crate) fn field(value: &Value, name: &str) -> String {
    escape::text(&raw_field(value, name)).into_owned()
}

fn raw_field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries
            .iter()
            .map(|entry| entry.as_str().map_or_else(|| entry.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

/// A text on one line, cut to some characters.
pub(crate) fn short(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The time since a moment, such as `5 min ago`. Other texts stay as they are.
pub(crate) fn ago(text: &str) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    let seconds = Timestamp::now().duration_since(time).as_secs();
    match seconds {
        ..0 => "now".to_owned(),
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// The time that something took, such as `1 min 5 s`.
pub(crate) fn took(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A status in its colour.
pub(crate) fn status(text: &str) -> String {
    styled(text).to_string()
}

/// The same, for standard error.
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
    fn a_table_fits_the_terminal() {
        let mut columns = Columns::new(&["A", "COMMAND"]);
        columns.row([format!("\u{1b}[32m{}\u{1b}[0m", "日本"), "make migrate and all that".to_owned()]);
        let text = columns.render(Some(24));
        let plain = console::strip_ansi_codes(&text).into_owned();
        assert_eq!(plain, "A     COMMAND\n日本  make migrate and …\n");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([5, 65, 3700].map(took), ["5 s", "1 min 5 s", "1 h 1 min"]);
    }
}
