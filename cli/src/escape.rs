//! Shows text that others wrote, so that it cannot steer the terminal.
//!
//! Names, commands, descriptions and errors are escaped wholly. Lines of a log keep their colours.

use std::{borrow::Cow, fmt::Write};

use runvoy_api_types::text::is_hidden;

/// Characters that reorder the text around them ("Trojan Source", CVE-2021-42574).
fn is_bidi(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_steering(character: char) -> bool {
    character.is_control() || is_bidi(character)
}

/// A text without characters that steer the terminal or are not shown: each is shown by its number. Line ends and tabs stay.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    let must_go =
        |character: char| (is_steering(character) || is_hidden(character)) && !matches!(character, '\n' | '\t');
    if !text.contains(must_go) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if must_go(character) { show(&mut shown, character) } else { shown.push(character) }
    }
    Cow::Owned(shown)
}

fn show(shown: &mut String, character: char) {
    // Writing to a string does not fail.
    let _ = match character {
        '\r' => shown.write_str("\\r"),
        _ if u32::from(character) < 0x100 => write!(shown, "\\x{:02x}", u32::from(character)),
        _ => write!(shown, "<U+{:04X}>", u32::from(character)),
    };
}

/// JSON in which every control character is written by its number. It means the same.
pub(crate) fn json(json: &str) -> Cow<'_, str> {
    let must_go = |character: char| is_steering(character) && !matches!(character, '\n' | '\t' | '\r');
    if !json.contains(must_go) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if must_go(character) {
            let _ = write!(shown, "\\u{:04x}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// A line of a log for a terminal: colours and styles (SGR) stay. Sequences that move the cursor, clear the screen, or set the title or
/// the clipboard are left out. Characters that reorder text are shown by their number.
pub(crate) fn log_line(line: &str) -> Cow<'_, str> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    if !line.contains(|character| is_steering(character) && character != '\t') {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        rest = match character {
            '\u{1b}' => match sequence(after) {
                Sequence::Style(length) => {
                    shown.push_str(&rest[..1 + length]);
                    &after[length..]
                }
                Sequence::Other(length) => &after[length..],
            },
            // The one-character forms of CSI, and of the strings that end in ST.
            '\u{9b}' => &after[csi(after).1..],
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => &after[string(after)..],
            '\t' => {
                shown.push('\t');
                after
            }
            // A progress bar writes over itself. Each of its states is shown, one after the other.
            '\r' => {
                shown.push('␍');
                after
            }
            _ if character.is_control() => after,
            _ if is_bidi(character) => {
                show(&mut shown, character);
                after
            }
            _ => {
                shown.push(character);
                after
            }
        };
    }
    Cow::Owned(shown)
}

/// The bytes after an escape that belong to it.
enum Sequence {
    /// A colour or style.
    Style(usize),
    Other(usize),
}

/// Reads the sequence after an escape ("ECMA-48", 5.4 and 5.6).
fn sequence(after: &str) -> Sequence {
    match after.bytes().next() {
        Some(b'[') => match csi(&after[1..]) {
            (true, length) => Sequence::Style(1 + length),
            (false, length) => Sequence::Other(1 + length),
        },
        Some(b']' | b'P' | b'X' | b'^' | b'_') => Sequence::Other(1 + string(&after[1..])),
        // Intermediate bytes and a final one, such as `ESC ( B`.
        Some(0x20..=0x2f) => {
            let length = after.bytes().take_while(|byte| (0x20..=0x2f).contains(byte)).count();
            let last = after[length..].bytes().next().is_some_and(|byte| (0x30..=0x7e).contains(&byte));
            Sequence::Other(length + usize::from(last))
        }
        Some(0x30..=0x7e) => Sequence::Other(1),
        _ => Sequence::Other(0),
    }
}

/// The length of a control sequence after its introducer, and whether it is a style.
fn csi(after: &str) -> (bool, usize) {
    let parameters = after.bytes().take_while(|byte| (0x20..=0x3f).contains(byte)).count();
    let is_plain = after[..parameters].bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':'));
    match after.as_bytes().get(parameters) {
        Some(b'm') => (is_plain, parameters + 1),
        Some(0x40..=0x7e) => (false, parameters + 1),
        _ => (false, parameters),
    }
}

/// The length of a string that BEL or ST ends. One without an end goes to the end of the line.
fn string(after: &str) -> usize {
    let ends = [("\u{7}", 1), ("\u{1b}\\", 2), ("\u{9c}", 2)];
    ends.iter().filter_map(|(end, length)| Some(after.find(end)? + length)).min().unwrap_or(after.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(text("plain\n\ttext"), "plain\n\ttext");
        assert_eq!(text("a\u{1b}]0;title\u{7}b\r\u{9b}2J"), "a\\x1b]0;title\\x07b\\r\\x9b2J");
        assert_eq!(text("a\u{202e}b\u{200b}c\u{e0041}"), "a<U+202E>b<U+200B>c<U+E0041>");
        assert_eq!(json("{\"a\":\"\u{9b}\u{202e}\"}"), "{\"a\":\"\\u009b\\u202e\"}");
    }

    #[test]
    fn a_log_line_keeps_its_colours_only() {
        for (line, shown) in [
            ("\u{1b}[1;31mred\u{1b}[0m", "\u{1b}[1;31mred\u{1b}[0m"),
            ("\u{1b}[38:2::1:2:3mrgb", "\u{1b}[38:2::1:2:3mrgb"),
            ("a\u{1b}[2J\u{1b}[Hb\u{1b}[5Ac", "abc"),
            ("a\u{1b}]52;c;ZXZpbA==\u{7}b\u{1b}]0;title\u{1b}\\c", "abc"),
            ("a\u{1b}]0;no end", "a"),
            ("a\u{1b}P1$q\u{1b}\\b\u{9b}2Jc\u{9d}0;t\u{9c}d", "abcd"),
            ("a\u{1b}(Bb\u{1b}7c\u{1b}cd\u{1b}", "abcd"),
            ("\u{1b}[>4;2mx\u{1b}[?25ly", "xy"),
            ("50%\r100%\r", "50%␍100%"),
            ("a\tb\u{8}\u{7}c\u{202e}", "a\tbc<U+202E>"),
            ("日本\u{1b}[2Kx", "日本x"),
        ] {
            assert_eq!(log_line(line), shown, "{line:?}");
        }
    }
}
