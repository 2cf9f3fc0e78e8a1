//! Reads variables from files in the form of `.env`, as the console reads what is pasted there. Values are taken as they are written: `$` is a
//! character like others, since a file that came with a repository must not bring variables of this environment into a run.

/// The variables of a text such as `A=1`, line by line: with comments, `export`, and values in single or double quotes, which may go over
/// lines.
///
/// # Errors
/// The number of the first line that is not `NAME=VALUE`. Its text may be a secret.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    // Editors of Windows begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut rest = text.as_str();
    let mut variables = Vec::new();
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            rest = after;
            continue;
        }
        let number = 1 + text[..text.len() - rest.len()].matches('\n').count();
        let (name, value) = split(rest).ok_or(number)?;
        let (value, after) = quoted(value).unwrap_or_else(|| plain(value));
        variables.push((name.to_owned(), value));
        rest = after;
    }
    Ok(variables)
}

/// A name, and the text after `=`.
fn split(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map_or(name, str::trim_start);
    let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| (name, value.trim_start_matches([' ', '\t'])))
}

/// A value in quotes, and the text after its line. `None` for a value without quotes, and for one with more than a comment after them.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|first| ['\'', '"'].contains(first))?;
    let mut value = String::new();
    let mut characters = text[1..].char_indices();
    let end = loop {
        let (at, character) = characters.next()?;
        match character {
            '\\' if quote == '"' => match characters.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                escaped @ ('"' | '\\' | '$' | '`') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            character if character == quote => break at + 2,
            character => value.push(character),
        }
    };
    let (line, after) = text[end..].split_once('\n').unwrap_or((&text[end..], ""));
    let line = line.trim_start_matches([' ', '\t']);
    (line.is_empty() || line.starts_with('#')).then_some((value, after))
}

/// A value without quotes, which ends before a comment, and the text after its line.
fn plain(text: &str) -> (String, &str) {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let is_comment = |at: usize| line[..at].is_empty() || line[..at].ends_with(char::is_whitespace);
    let end = line.match_indices('#').map(|(at, _)| at).find(|at| is_comment(*at)).unwrap_or(line.len());
    (line[..end].trim().to_owned(), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The console's reader has the same cases.
    #[test]
    fn texts_are_read_as_the_console_reads_them() {
        type Variables = Vec<(String, String)>;
        let cases: Vec<(String, Option<Variables>)> =
            serde_json::from_str(include_str!("../../functions/orchestrator/console/env.cases.json")).unwrap();
        for (text, variables) in cases {
            assert_eq!(parse(&text).ok().filter(|read| !read.is_empty()), variables, "{text:?}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_named_by_its_number() {
        assert_eq!(parse("A=1\n\n# x\nB='two\nlines'\nprose"), Err(6));
    }
}
