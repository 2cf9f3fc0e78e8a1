//! Writes what a notification says: as JSON for programs, and in words for people.

use jiff::Timestamp;
use runvoy_api_types::{Execution, text::is_hidden};
use serde::Serialize;
use serde_json::{Value, json};

use super::{NotificationEvent, NotificationRecord, email::MAX_SUBJECT, queue::Message, slack};
use crate::{App, Error, Result, time};

/// The most characters of a command in a text for people. A longer one is cut; the execution's page shows all of it.
const MAX_COMMAND: usize = 300;

/// The parts from which a message to a receiver is made.
pub(super) struct Told<'a> {
    pub(super) message: &'a Message,
    pub(super) record: &'a NotificationRecord,
    pub(super) execution: Option<&'a Execution>,
    /// The last lines of the log, if an owner of the notification may read them.
    pub(super) lines: &'a [String],
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    r#type: NotificationEvent,
    #[serde(with = "time::as_rfc3339")]
    time: Timestamp,
    notification: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<&'a Execution>,
    /// The page that shows the execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl Told<'_> {
    /// The body of a webhook.
    pub(super) fn body(&self, app: &App) -> Result<Vec<u8>> {
        let body = Body {
            id: &self.message.change,
            r#type: self.message.event,
            time: self.message.time,
            notification: self.record.notification.name.as_str(),
            execution: self.execution,
            url: self.url(app),
        };
        serde_json::to_vec(&body).map_err(|error| Error::internal_with("a webhook could not be serialized", error))
    }

    /// The page that shows the execution, if the address of the console is known.
    fn url(&self, app: &App) -> Option<String> {
        let address = app.config.web_url.as_ref().or(app.config.api_url.as_ref())?;
        let id = &self.execution?.execution_id;
        Some(format!("{}/logs?execution_id={id}", address.trim_end_matches('/')))
    }

    /// One line that says what has happened.
    pub(super) fn headline(&self) -> String {
        self.headline_within(usize::MAX)
    }

    /// The headline in at most so many characters. A command that is too long is cut, and not what became of it.
    fn headline_within(&self, most: usize) -> String {
        let Some(execution) = self.execution else {
            return format!("runvoy: a test of the notification {}", self.record.notification.name);
        };
        let what = match self.message.event {
            NotificationEvent::Failed => match execution.exit_code {
                Some(code) => format!("failed with exit code {code}"),
                None => "failed".to_owned(),
            },
            NotificationEvent::Recovered => "succeeded again".to_owned(),
            NotificationEvent::Slow => "is slow".to_owned(),
            NotificationEvent::NotStarted => "did not start".to_owned(),
            NotificationEvent::Waiting => "waits for approval".to_owned(),
            NotificationEvent::Succeeded | NotificationEvent::Test => "succeeded".to_owned(),
        };
        let subject = subject(execution);
        let room = most.saturating_sub(what.len() + 1);
        if subject.chars().count() <= room {
            return format!("{subject} {what}");
        }
        let cut: String = subject.chars().take(room.saturating_sub(3)).collect();
        format!("{cut}... {what}")
    }

    /// The facts below the headline: name and value of each.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let Some(execution) = self.execution else { return Vec::new() };
        let mut facts = vec![
            ("Command", shortened(&execution.command)),
            ("Started by", execution.created_by.to_string()),
            ("Image", execution.image_id.to_string()),
        ];
        let took = execution.duration_seconds.map(|seconds| format!("{seconds} s"));
        let exit = execution.exit_code.map(|code| code.to_string());
        for (name, value) in [("Exit code", exit), ("Took", took), ("Reason", execution.reason.clone())] {
            facts.extend(value.map(|value| (name, value)));
        }
        facts.into_iter().map(|(name, value)| (name, shown(&value))).collect()
    }

    /// The last lines without their colours.
    fn shown_lines(&self) -> Vec<String> {
        self.lines.iter().map(|line| shown(&without_colors(line))).collect()
    }

    /// A mail: its subject and its text.
    pub(super) fn mail(&self, app: &App) -> (String, String) {
        let headline = self.headline();
        let mut text = format!("{headline}\n");
        for (name, value) in self.facts() {
            // Further lines of a value are indented, so that none looks like a line that runvoy wrote.
            text.push_str(&format!("\n{name}: {}", value.replace('\n', "\n    ")));
        }
        if !self.lines.is_empty() {
            text.push_str("\n\nThe last lines:\n");
            for line in self.shown_lines().iter().flat_map(|line| line.split('\n')) {
                text.push_str(&format!("\n> {line}"));
            }
        }
        if let Some(url) = self.url(app) {
            text.push_str(&format!("\n\n{url}"));
        }
        text.push_str(&format!("\n\nThe notification {} of runvoy sends this.\n", self.record.notification.name));
        (self.headline_within(MAX_SUBJECT), text)
    }

    /// A message of Slack.
    pub(super) fn slack(&self, app: &App) -> Value {
        let headline = slack::escaped(&self.headline());
        let mut text = match self.url(app) {
            Some(url) => format!("*<{url}|{headline}>*"),
            None => format!("*{headline}*"),
        };
        for (name, value) in self.facts() {
            text.push_str(&format!("\n{name}: {}", slack::code(&value)));
        }
        if !self.lines.is_empty() {
            text.push_str(&slack::block(&self.shown_lines()));
        }
        let text = slack::cut(text);
        json!({"text": headline, "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]})
    }
}

/// The name that people know an execution by: its playbook or its schedule, or else its command.
fn subject(execution: &Execution) -> String {
    match execution.asked.source.split_once(':') {
        Some((kind @ ("playbook" | "schedule"), name)) => format!("{kind} {name}"),
        _ => shown(&shortened(execution.command.lines().next().unwrap_or_default())),
    }
}

/// A text that other people wrote, with an escape such as `\u{202e}` for each character that is invisible or turns the direction of
/// writing.
fn shown(text: &str) -> String {
    let must_go =
        |character: char| is_hidden(character) || (character.is_control() && !matches!(character, '\n' | '\t'));
    let mut shown = String::with_capacity(text.len());
    for character in text.replace("\r\n", "\n").chars() {
        if must_go(character) { shown.extend(character.escape_unicode()) } else { shown.push(character) }
    }
    shown
}

/// A line without its control sequences, which set colours ("ECMA-48", 5.4).
fn without_colors(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|character: char| ('@'..='~').contains(&character)).map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_COMMAND) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_not_shown_are_told_by_their_number() {
        assert_eq!(shown("plain\r\n\ttext 👩‍🚀"), "plain\n\ttext 👩‍🚀");
        assert_eq!(shown("a\u{1b}]0;t\u{7}\rb\u{202e}c\u{200b}"), "a\\u{1b}]0;t\\u{7}\\u{d}b\\u{202e}c\\u{200b}");
        assert_eq!(without_colors("\u{1b}[1;31mred\u{1b}[0m and \u{1b}[2"), "red and ");
    }
}
