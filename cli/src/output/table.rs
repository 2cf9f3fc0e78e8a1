//! Lays out tables and lists of fields, so that they fit a terminal.

use std::io::{self, IsTerminal};

use console::{Alignment, Style, Term, measure_text_width, pad_str, truncate_str};

use super::print::print;
use crate::failure::Result;

/// Blanks between two columns of a table.
const GAP: usize = 2;
/// Characters that the last column of a table has at least: other columns are left out until it has them.
const MIN_LAST_COLUMN: usize = 16;
/// Characters that a column before the last keeps when it is cut.
const MIN_COLUMN: usize = 12;
/// Characters of the id of an execution. Ids of images may be longer, and then leave room for others.
const WHOLE_ID: usize = 32;
/// Columns that are cut last of all: ids are copied, and a part of a time or of an action says little.
const WHOLE: [&str; 3] = ["ID", "TIME", "ACTION"];
/// Columns of which the end says most: the tag of an image.
const CUT_AT_THE_START: [&str; 1] = ["IMAGE"];
/// The number of columns, from the first, that a table keeps unless it names those to leave out.
const MIN_COLUMNS: usize = 2;

/// Characters of a row of the terminal, or none where the text goes to a program.
pub(crate) fn width() -> Option<usize> {
    io::stdout().is_terminal().then(|| usize::from(Term::stdout().size().1))
}

/// Characters of a row that has room for whole times and ids beside each other.
const WIDE: usize = 120;

/// Tells that the text goes to a terminal that has no room for whole times and ids beside each other.
pub(crate) fn is_narrow() -> bool {
    width().is_some_and(|width| width < WIDE)
}

/// A table. On a terminal, each row has one line: columns are left out if they do not fit, and long cells are cut.
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
    names: Vec<String>,
    /// The columns that are left out where there is little room, in this order.
    left_out: Vec<usize>,
    /// Characters that the last column has at least.
    least_last: usize,
}

impl Columns {
    pub(crate) fn new(names: &[&str]) -> Self {
        let bold = Style::new().bold();
        Self {
            rows: vec![names.iter().map(|name| bold.apply_to(name).to_string()).collect()],
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            left_out: (MIN_COLUMNS..names.len() - 1).rev().collect(),
            least_last: MIN_LAST_COLUMN,
        }
    }

    /// A table that leaves out these columns first, in this order, and no others.
    pub(crate) fn leaving_out(names: &[&str], left_out: &[&str]) -> Self {
        let place = |name: &&str| names.iter().position(|known| known == name);
        Self { left_out: left_out.iter().filter_map(place).collect(), ..Self::new(names) }
    }

    /// Leaves out this column, too, where there is little room.
    pub(crate) fn leave_out(&mut self, name: &str) {
        self.left_out.extend(self.names.iter().position(|known| known == name));
    }

    /// Gives the last column this many characters, which others are cut for.
    pub(crate) fn last_has(self, characters: usize) -> Self {
        Self { least_last: characters, ..self }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        // A row is one line, whatever others have written into a description.
        self.rows.push(cells.map(|cell| cell.replace(['\n', '\r', '\t'], " ")).into());
    }

    /// Prints the table, or a sentence on standard error in its place if it has no rows.
    pub(crate) fn print(self, if_empty: &str) -> Result<()> {
        if self.rows.len() == 1 {
            say!("{if_empty}");
            return Ok(());
        }
        print(&self.render(width()))
    }

    fn render(&self, width: Option<usize>) -> String {
        let count = self.rows[0].len();
        let widest =
            |column: usize| self.rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or_default();
        let mut widths: Vec<usize> = (0..count).map(widest).collect();
        // A column that says nothing takes no room of a terminal. Programs find each column in its place.
        let says_something = |column: &usize| {
            *column == 0 || *column == count - 1 || width.is_none() || {
                self.rows[1..].iter().any(|row| !row[*column].is_empty())
            }
        };
        let mut shown: Vec<usize> = (0..count).filter(says_something).collect();
        let before_last = |shown: &[usize], widths: &[usize]| {
            shown[..shown.len() - 1].iter().map(|at| widths[*at] + GAP).sum::<usize>()
        };
        let is_whole = |column: usize| WHOLE.contains(&self.names[column].as_str());
        if let Some(width) = width {
            let needed = |shown: &[usize], widths: &[usize]| {
                let least = |last: usize| if is_whole(last) { WHOLE_ID.max(width / 2) } else { self.least_last };
                let last = shown.last().map_or(0, |last| widths[*last].min(least(*last)));
                before_last(shown, widths) + last
            };
            for column in &self.left_out {
                if needed(&shown, &widths) <= width {
                    break;
                }
                shown.retain(|shown| shown != column);
            }
            while needed(&shown, &widths) > width {
                let inner = shown[..shown.len() - 1].iter().copied().filter(|at| widths[*at] > MIN_COLUMN);
                let Some(widest) = inner.max_by_key(|at| (!is_whole(*at), widths[*at])) else { break };
                widths[widest] -= 1;
            }
            if let Some(last) = shown.last() {
                widths[*last] = width.saturating_sub(before_last(&shown, &widths)).max(1);
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = shown
                .iter()
                .map(|column| {
                    let cell =
                        cut(&row[*column], widths[*column], CUT_AT_THE_START.contains(&self.names[*column].as_str()));
                    pad_str(&cell, widths[*column] + GAP, Alignment::Left, None).into_owned()
                })
                .collect();
            text.push_str(cells.concat().trim_end());
            text.push('\n');
        }
        text
    }
}

/// A cell in this width, of which the end or the start is left out.
fn cut(cell: &str, width: usize, at_the_start: bool) -> String {
    if !at_the_start || measure_text_width(cell) <= width {
        return truncate_str(cell, width, "…").into_owned();
    }
    let mut end: Vec<char> = Vec::new();
    for character in cell.chars().rev() {
        end.push(character);
        if measure_text_width(&end.iter().collect::<String>()) >= width {
            end.pop();
            break;
        }
    }
    format!("…{}", end.iter().rev().collect::<String>())
}

/// Fields below each other, each with a label. On a terminal, long values go on below themselves.
pub(crate) struct Fields {
    indent: &'static str,
    rows: Vec<(String, String)>,
}

impl Fields {
    pub(crate) fn new(indent: &'static str) -> Self {
        Self { indent, rows: Vec::new() }
    }

    /// Adds a field, unless it is empty or a dash.
    pub(crate) fn add(&mut self, label: &str, value: String) {
        if !value.is_empty() && value != "-" {
            self.rows.push((label.to_owned(), value));
        }
    }

    pub(crate) fn render(&self) -> String {
        self.render_within(width())
    }

    fn render_within(&self, width: Option<usize>) -> String {
        let label = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
        let below = self.indent.len() + label + GAP;
        let mut text = String::new();
        for (name, value) in &self.rows {
            let lines = value.lines().flat_map(|line| wrapped(line, width.map(|width| width.saturating_sub(below))));
            for (number, line) in lines.enumerate() {
                let name = if number == 0 { name.as_str() } else { "" };
                text.push_str(format!("{}{name:<label$}  {line}", self.indent).trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// A line in pieces of this width at most, which end between words where they can.
fn wrapped(line: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width.filter(|width| *width >= MIN_COLUMN && measure_text_width(line) > *width) else {
        return vec![line.to_owned()];
    };
    let mut pieces = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let current = pieces.last().map_or(0, |piece| measure_text_width(piece));
        if current > 0 && current + measure_text_width(word.trim_end()) > width {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(word);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_the_terminal() {
        let mut columns = Columns::new(&["A", "COMMAND"]);
        columns.row([format!("\u{1b}[32m{}\u{1b}[0m", "日本"), "make migrate and all that".to_owned()]);
        let text = columns.render(Some(24));
        let plain = console::strip_ansi_codes(&text).into_owned();
        assert_eq!(plain, "A     COMMAND\n日本  make migrate and …\n");
    }

    #[test]
    fn columns_that_matter_least_are_left_out_first_and_long_ones_are_cut() {
        let mut columns = Columns::leaving_out(&["WHO", "STATE", "WHEN", "WHAT"], &["WHAT", "WHEN"]);
        columns.row(["somebody@a-long-domain.example.com", "revoked", "5 min ago", "details"].map(str::to_owned));
        let plain = |width| console::strip_ansi_codes(&columns.render(width)).lines().nth(1).unwrap().to_owned();
        assert_eq!(plain(None), "somebody@a-long-domain.example.com  revoked  5 min ago  details");
        assert_eq!(plain(Some(56)), "somebody@a-long-domain.example.com  revoked  5 min ago");
        assert_eq!(plain(Some(44)), "somebody@a-long-domain.example.com  revoked");
        assert_eq!(plain(Some(30)), "somebody@a-long-doma…  revoked");
    }

    #[test]
    fn a_column_without_a_word_takes_no_room_of_a_terminal() {
        let mut columns = Columns::new(&["STATUS", "WHY", "COMMAND"]);
        columns.row(["FAILED", "", "make"].map(str::to_owned));
        let head = |width| console::strip_ansi_codes(&columns.render(width)).lines().next().unwrap().to_owned();
        assert_eq!(head(Some(80)), "STATUS  COMMAND");
        assert_eq!(head(None), "STATUS  WHY  COMMAND");
    }

    #[test]
    fn ids_stay_whole_and_images_keep_their_tags() {
        let mut columns = Columns::new(&["IMAGE", "ID"]);
        columns.row(["registry.example.com/team/service:2026.11", "service:2026.11-0123abcd"].map(str::to_owned));
        let row = |width| columns.render(Some(width)).lines().nth(1).unwrap().to_owned();
        assert_eq!(row(50), "…om/team/service:2026.11  service:2026.11-0123abcd");
        let mut columns = Columns::new(&["IMAGE", "ID"]);
        columns.row(
            ["registry.example.com/team/service:2026.11", "team/a-service-of-the-team:2026.11-0123abcd"]
                .map(str::to_owned),
        );
        let row = |width| columns.render(Some(width)).lines().nth(1).unwrap().to_owned();
        assert_eq!(row(70), "…example.com/team/service:2026.11  team/a-service-of-the-team:2026.11…");
        let mut columns = Columns::new(&["TIME", "ACTOR", "WHAT"]);
        columns.row(["2026-11-27T03:09:12Z", "somebody@example.com", "something"].map(str::to_owned));
        assert_eq!(columns.render(Some(46)).lines().nth(1).unwrap(), "2026-11-27T03:09:12Z  somebody@exa…  something");
    }

    #[test]
    fn values_go_on_below_themselves() {
        let mut fields = Fields::new("");
        fields.add("command", "echo one two three four\nfive".to_owned());
        fields.add("id", "0123456789abcdef0123456789".to_owned());
        fields.add("empty", String::new());
        let mut columns = Columns::new(&["A", "B"]);
        columns.row(["one\ntwo".to_owned(), "three\tfour".to_owned()]);
        assert!(columns.render(None).ends_with("one two  three four\n"));
        assert_eq!(
            fields.render_within(Some(24)),
            "command  echo one two\n         three four\n         five\nid       0123456789abcdef0123456789\n"
        );
    }
}
