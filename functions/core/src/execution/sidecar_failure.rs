//! Keeps the sidecar's own words for its failure, such as git's line about a repository that it could not clone.
//!
//! The words are in a line of the sidecar's log, and the batch with that line writes them to the record, whatever came before it. The end
//! of the task waits for them for a moment, because those who are told of the end are told its reason. Only a task whose sidecar has
//! failed makes these calls.

use std::time::Duration;

use jiff::Timestamp;

use super::{ExecutionId, TaskId, change::note, items::find, run_request::without_credentials};
use crate::{App, Result, table::string};

/// The beginning of the last line of a sidecar that has failed.
const FAILED: &str = "### runvoy sidecar: failed => ";
/// Characters of the words that are kept. Git's lines are shorter, unless the repository's server writes them.
const MAX_CHARACTERS: usize = 300;
/// The time after a task's end in which the batch with the sidecar's last line is waited for. The sidecar has ended well before the task.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two looks for the words.
const PAUSE: Duration = Duration::from_millis(50);

/// The words of a sidecar that has failed, among lines of its log. They may be those of a stranger's server: they are one line of bounded
/// length without credentials in a URL.
pub fn in_lines<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> Option<String> {
    let words = lines.rev().find_map(|line| line.strip_prefix(FAILED))?;
    let visible = words.replace(char::is_control, " ");
    let safe: Vec<String> = visible.split_whitespace().map(without_credentials).collect();
    let safe = safe.join(" ");
    Some(match safe.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &safe[..end]),
        None => safe,
    })
    .filter(|words| !words.is_empty())
}

/// Notes the words for the failure of the sidecar of a task, unless the execution has another task by now.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn keep(app: &App, id: &ExecutionId, task: &TaskId, words: &str) -> Result<()> {
    note(app, id, task, "sidecar_failure", string(words), |_| true).await.map(drop)
}

/// Waits until the words for the failure of a task's sidecar are known, or [`TIMEOUT`] has passed since the task's end.
pub(super) async fn wait(app: &App, id: &ExecutionId, task: &TaskId, ended_at: Option<Timestamp>) -> Result<()> {
    // ECS's clock may be ahead of this one.
    let gives_up = ended_at.map_or_else(|| app.now(), |at| at.min(app.now())) + TIMEOUT;
    loop {
        let record = find(app, id).await?;
        let is_awaited = record.is_some_and(|record| {
            let is_present = record.task().as_ref() == Some(task);
            is_present && record.sidecar_failure.is_none() && !record.execution.status.is_terminal()
        });
        if !is_awaited || app.now() >= gives_up {
            return Ok(());
        }
        app.sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_strangers_server_are_one_short_line_without_credentials() {
        let words =
            |text: &str| in_lines(["### runvoy sidecar: cloning x", &format!("{FAILED}{text}"), "y"].into_iter());
        assert_eq!(words("fatal: couldn't find remote ref nope").unwrap(), "fatal: couldn't find remote ref nope");
        assert_eq!(
            words("unable to access 'https://me:t0ken@example.com/x.git/': no").unwrap(),
            "unable to access 'https://example.com/x.git/': no"
        );
        assert_eq!(
            words("remote error: \u{1b}[2J\u{1b}[31mred\r\nnext\tone").unwrap(),
            "remote error: [2J [31mred next one"
        );
        let long = words(&"é".repeat(9000)).unwrap();
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_CHARACTERS + 1, true));
        assert_eq!(words("  "), None);
        assert_eq!(
            in_lines([" ### runvoy sidecar: failed => x", "remote: ### runvoy sidecar: failed => x"].into_iter()),
            None
        );
        assert_eq!(
            in_lines([&format!("{FAILED}one")[..], &format!("{FAILED}two")].into_iter()).as_deref(),
            Some("two")
        );
    }
}
