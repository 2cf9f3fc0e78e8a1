//! Keeps other people's text from being markup in Slack ("Formatting text for app surfaces", Slack API).

/// The most characters of the text of a section ("Section block", Slack API).
const MAX_TEXT: usize = 3000;

/// A text in which Slack sees neither links, nor mentions, nor special characters.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
    }

    #[test]
    fn a_long_text_is_cut_and_its_code_is_closed() {
        let long = cut(format!("x{}", block(&["y".repeat(5000)])));
        assert!(long.chars().count() <= MAX_TEXT && long.ends_with("```") && long.matches("```").count() == 2);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
