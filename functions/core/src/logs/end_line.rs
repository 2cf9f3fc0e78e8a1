//! Recognizes the runner's last line, which proves by the run's nonce that the command did not print it.

use runvoy_api_types::END_LINE;

use super::LogEvent;

/// Stands between the exit code and the nonce.
const NONCE_MARK: &str = " nonce=";

/// Tells whether any of the lines looks like the runner's last one, so that it is worth to read the run's nonce.
pub fn may_have_end(events: &[LogEvent]) -> bool {
    events.iter().any(|event| event.message.starts_with(END_LINE))
}

/// Takes the nonce off the runner's last line among lines as CloudWatch has them. Marks the line as the end of the log if `is_end` says of
/// its exit code that no attempt follows, and returns that code. The runner of an earlier version of the program prints no nonce.
pub fn mark_end(events: &mut [LogEvent], nonce: Option<&str>, is_end: impl Fn(i32) -> bool) -> Option<i32> {
    let mut ended = None;
    for event in events {
        if let Some(exit_code) = exit_code(&event.message, nonce) {
            event.message = format!("{END_LINE}{exit_code}");
            if is_end(exit_code) {
                event.exit_code = Some(exit_code);
                ended = Some(exit_code);
            }
        }
    }
    ended
}

fn exit_code(message: &str, nonce: Option<&str>) -> Option<i32> {
    let rest = message.strip_prefix(END_LINE)?;
    match nonce {
        Some(nonce) => {
            let (code, proof) = rest.trim_end().split_once(NONCE_MARK)?;
            if proof == nonce { code.parse().ok() } else { None }
        }
        None => rest.trim_end().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_with_the_nonce_is_the_last_one() {
        let event = |message: &str| LogEvent { message: message.to_owned(), ..LogEvent::default() };
        let mut events = [
            event("### runvoy runner: command ended, exit code => 0"),
            event("### runvoy runner: command ended, exit code => 0 nonce=guess"),
            event("### runvoy runner: command ended, exit code => 3 nonce=right"),
            event("x ### runvoy runner: command ended, exit code => 0 nonce=right"),
        ];
        assert!(may_have_end(&events));
        assert_eq!(mark_end(&mut events, Some("right"), |_| true), Some(3));
        assert_eq!(events.clone().map(|event| event.exit_code), [None, None, Some(3), None]);
        assert_eq!(events[2].message, "### runvoy runner: command ended, exit code => 3");
        assert_eq!(
            mark_end(&mut [event("### runvoy runner: command ended, exit code => 143")], None, |_| true),
            Some(143)
        );
        let mut followed = [event("### runvoy runner: command ended, exit code => 3 nonce=right")];
        assert_eq!(mark_end(&mut followed, Some("right"), |_| false), None);
        assert_eq!((followed[0].exit_code, followed[0].message.contains("nonce")), (None, false));
    }
}
