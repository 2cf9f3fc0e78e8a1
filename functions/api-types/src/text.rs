//! Checks texts of users that other users read: names that are free, labels, descriptions and comments.
//!
//! Such a text decides what a person does: deletes a key, approves a run. A character that is not shown makes two names look the same, and one
//! that turns the direction of writing makes a text look like another ("Unicode Technical Report 36: Unicode Security Considerations").

use crate::Problem;

/// Checks a text of one line that must show something, such as the name of a key.
///
/// # Errors
/// A problem for a text with a character that is not shown, or of nothing that is, at this field.
pub fn check_line(field: &str, text: &str) -> Result<(), Problem> {
    refuse_hidden(field, text, char::is_control)?;
    if text.chars().all(is_blank) {
        return Err(Problem::new(format!("{field} shows no character"))
            .with_hint("give it a letter, a digit or a sign")
            .at_field(field));
    }
    Ok(())
}

/// Checks a text that may have several lines, or none, such as a description.
///
/// # Errors
/// A problem for a text with a character that is not shown, at this field.
pub fn check_prose(field: &str, text: &str) -> Result<(), Problem> {
    refuse_hidden(field, text, |character| character.is_control() && !matches!(character, '\n' | '\r' | '\t'))
}

fn refuse_hidden(field: &str, text: &str, is_control: impl Fn(char) -> bool) -> Result<(), Problem> {
    match text.chars().find(|character| is_control(*character) || is_hidden(*character)) {
        None => Ok(()),
        Some(character) => {
            let number = u32::from(character);
            Err(Problem::new(format!("{field} has the character U+{number:04X}, which is not shown"))
                .with_hint("leave it out")
                .at_field(field))
        }
    }
}

/// Characters that are never shown, or that turn the direction of what follows. The joiners and variation selectors of scripts and emoji are not
/// among them, because words need them.
pub fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Characters that leave a text of nothing else empty for the eye: spaces, fillers, joiners and variation selectors.
fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200c}' | '\u{200d}'
                | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_something_and_hides_nothing() {
        for good in ["ci", "laptop of Ada", "ключ", "مفتاح", "می‌خواهم", "鍵", "👩‍💻", "❤️", "!"]
        {
            assert_eq!(check_line("name", good), Ok(()), "{good}");
        }
        for bad in
            ["", " ", "\u{202e}", "\u{200b}\u{200b}", "\u{3164}", "\u{2800}", "\u{200d}", "\u{a0}\u{2003}", "\u{fe0f}"]
        {
            assert_eq!(check_line("name", bad).unwrap_err().field.as_deref(), Some("name"), "{bad:?}");
        }
        for (bad, named) in
            [("c\u{200b}i", "U+200B"), ("a\u{202e}b", "U+202E"), ("a\nb", "U+000A"), ("a\u{e0041}", "U+E0041")]
        {
            let problem = check_line("name", bad).unwrap_err();
            assert!(problem.message.contains(named), "{}", problem.message);
        }
    }

    #[test]
    fn a_description_has_lines_and_hides_nothing() {
        for good in ["", " ", "Two lines:\r\n\t- one", "مرحبا 👋🏽"] {
            assert_eq!(check_prose("description", good), Ok(()), "{good}");
        }
        for bad in ["\u{1b}[31m", "a\u{2066}b", "\0", "\u{feff}"] {
            assert!(check_prose("description", bad).is_err(), "{bad:?}");
        }
    }
}
