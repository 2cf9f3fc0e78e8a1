//! Watches an execution until its end.

use std::time::Instant;

use jiff::SignedDuration;
use runvoy_api_types::plain_reason;
use serde_json::json;

use super::{context::Context, line_filter::LineFilter};
use crate::{
    arguments::{Lines, OnInterrupt},
    client_end::ClientEnd,
    exit_code,
    failure::{Failure, Result},
    follow::{Event, Follower, Status, is_end},
    output::{self, LinePrinter, status_on_stderr},
    say::{self, Waiting},
    signals::Interrupts,
};

/// Watches an execution that was started before.
pub(super) async fn watch(
    context: &Context,
    follower: Follower<'_>,
    printer: LinePrinter,
    filter: LineFilter,
) -> Result<u8> {
    let end = ClientEnd::new(follower.id().to_owned(), OnInterrupt::Detach, Interrupts::listen()?);
    let begun = Instant::now();
    let watching = Watching {
        context,
        follower,
        printer,
        filter,
        client_end: end,
        is_ours: false,
        begun,
        ended: None,
        announced: Ok(()),
    };
    watching.until_the_end().await
}

pub(crate) struct Watching<'a> {
    context: &'a Context,
    follower: Follower<'a>,
    printer: LinePrinter,
    filter: LineFilter,
    client_end: ClientEnd,
    /// This program started the execution, and knows that it exists.
    is_ours: bool,
    begun: Instant,
    ended: Option<(String, Option<i32>)>,
    announced: Result<()>,
}

impl<'a> Watching<'a> {
    /// Watches an execution that this program has started.
    pub(crate) fn new(
        context: &'a Context,
        websocket_url: Option<String>,
        timestamps: bool,
        client_end: ClientEnd,
    ) -> Self {
        let follower = Follower::new(&context.api, &client_end.id, websocket_url);
        let printer = LinePrinter::new(context.global.output, timestamps);
        Self {
            context,
            follower,
            printer,
            filter: LineFilter::new(Lines::default()),
            client_end,
            is_ours: true,
            begun: Instant::now(),
            ended: None,
            announced: Ok(()),
        }
    }

    /// Prints a value of its own line in the JSON format. A failure is kept for the first line.
    pub(crate) fn announce(&mut self, value: &serde_json::Value) {
        self.announced = self.printer.print_json(value);
    }

    /// Prints the lines, and returns the exit code of the execution.
    pub(crate) async fn until_the_end(mut self) -> Result<u8> {
        let failure = match self.print_all().await {
            Ok(Some(code)) => return Ok(code),
            Ok(None) => match self.conclude().await {
                Ok(code) => return Ok(code),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        let has_ended = self.ended.is_some();
        if has_ended || !(self.is_ours || failure.is_of_output()) {
            return Err(failure);
        }
        Ok(self.client_end.on_failure(&self.context.api, &failure).await)
    }

    /// Prints all lines. Returns an exit code if `runvoy` ends before the execution.
    async fn print_all(&mut self) -> Result<Option<u8>> {
        std::mem::replace(&mut self.announced, Ok(()))?;
        let mut waiting = Some(Waiting::begin("waiting for the container"));
        loop {
            if let Some(kind) = say::lost() {
                return Err(Failure::of_output("standard error", &kind.into()));
            }
            let event = tokio::select! {
                event = self.follower.next() => event?,
                () = self.client_end.interrupts.next() => {
                    waiting = None;
                    match self.client_end.on_signal(&self.context.api).await? {
                        Some(code) => return Ok(Some(code)),
                        None => continue,
                    }
                }
            };
            match event {
                Event::Lines(lines) => {
                    waiting = None;
                    self.printer.print(&self.filter.apply(lines))?;
                }
                Event::Status { status, exit_code } if is_end(&status) => self.ended = Some((status, exit_code)),
                Event::Status { status, .. } if status == "RUNNING" => {
                    if let Some(waiting) = &waiting {
                        waiting.now("running");
                    }
                }
                Event::Status { .. } => {}
                Event::End => return Ok(None),
            }
        }
    }

    /// Tells how the execution ended.
    async fn conclude(&mut self) -> Result<u8> {
        let known = |(status, exit_code)| Status {
            status,
            exit_code,
            stopped_reason: None,
            reason: None,
            started_at: None,
            completed_at: None,
            ending: None,
        };
        let status = match self.ended.clone().map(known) {
            // Only a command that succeeded needs no more to be said.
            Some(status) if status.succeeded() && self.is_ours => status,
            Some(status) => self.follower.final_status().await.unwrap_or(status),
            None => self.follower.final_status().await?,
        };
        self.ended = Some((status.status.clone(), status.exit_code));
        let id = &self.client_end.id;
        self.printer.print_json(
            &json!({"execution_id": id, "status": status.status, "exit_code": status.exit_code, "stopped_reason": status.stopped_reason}),
        )?;
        let watched = SignedDuration::try_from(self.begun.elapsed()).ok().filter(|_| self.is_ours);
        let late = self.follower.late();
        if late > 0 {
            say!("runvoy: {late} lines came late, after later ones; in their order: runvoy logs {id}");
        }
        report(&status, status.duration().or(watched));
        Ok(if self.client_end.is_stopping { exit_code::INTERRUPTED } else { status.exit_code() })
    }

    /// Watches on after a signal that came while the execution was started.
    pub(crate) async fn interrupted(mut self) -> Result<u8> {
        match self.client_end.on_signal(&self.context.api).await? {
            Some(code) => Ok(code),
            None => self.until_the_end().await,
        }
    }
}

/// Tells on standard error how the execution ended.
fn report(status: &Status, duration: Option<SignedDuration>) {
    // The line below tells the exit code, so a reason that says no more is left out.
    let plain = status.exit_code.map(plain_reason);
    let reason = status.reason.as_ref().or(status.stopped_reason.as_ref());
    if let Some(reason) = reason.filter(|reason| Some(*reason) != plain.as_ref()) {
        say!("runvoy: {reason}");
    }
    let name = status_on_stderr(&status.status);
    let code = status.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let after = duration.map(|duration| format!(", after {}", output::took(duration))).unwrap_or_default();
    say::line(&format!("runvoy: {name}{code}{after}"));
}
