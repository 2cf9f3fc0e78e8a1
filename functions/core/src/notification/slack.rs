//! Keeps other people's text from being markup in Slack ("Formatting text for app surfaces", Slack API).

/// Characters of the text of a block.
const MAX_TEXT: usize = 3000;

/// A text in which Slack sees neither links, nor mentions, nor special characters. Control characters, and those that change the direction of
/// what follows, are shown by their codes.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '\t' | '\n' => shown.push(character),
            // Marks, embeddings, overrides and isolates of the bidirectional algorithm (Unicode Standard Annex #9).
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(character.escape_unicode());
            }
            _ if character.is_control() => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// A text in the style of code. Slack has no escape for the mark that ends it.
pub(super) fn code(text: &str) -> String {
    format!("`{}`", escaped(&text.replace('`', "\u{2019}").replace(['\n', '\r'], " ")))
}

/// Lines as a block of code.
pub(super) fn block(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escaped(&line.replace('`', "\u{2019}"))).collect();
    format!("\n```\n{}\n```", lines.join("\n"))
}

/// The text, cut where Slack would refuse it. A block of code that is cut is closed.
pub(super) fn cut(text: String) -> String {
    const END: &str = "…\n```";
    if text.chars().count() <= MAX_TEXT {
        return text;
    }
    let kept: String = text.chars().take(MAX_TEXT - END.chars().count()).collect();
    let is_open = kept.matches("```").count() % 2 == 1;
    format!("{kept}{}", if is_open { END } else { "…" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_no_markup() {
        assert_eq!(
            code("<!channel> `x` & <http://a|b>"),
            "`&lt;!channel&gt; \u{2019}x\u{2019} &amp; &lt;http://a|b&gt;`"
        );
        assert!(!block(&["```".to_owned(), "*bold*".to_owned()]).contains("````"));
        assert_eq!(code("\u{1b}[31mred\u{202e}txt\tü"), "`\\u{1b}[31mred\\u{202e}txt\tü`");
    }

    #[test]
    fn a_long_text_is_cut_and_its_code_is_closed() {
        let long = cut(format!("x{}", block(&["y".repeat(5000)])));
        assert!(long.chars().count() <= MAX_TEXT && long.ends_with("```") && long.matches("```").count() == 2);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
