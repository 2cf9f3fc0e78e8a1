//! Drives the logs of containers: splits a container's output into lines and writes them to the log at once.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{io::AsyncReadExt, net::unix::pipe};
use tokio_util::sync::CancellationToken;

use crate::aws::logs::LogGroup;

/// Bytes of the longest line. A longer one is split. CloudWatch allows 256 KiB for a line and its overhead ("PutLogEvents").
const MAX_LINE: usize = 262_144 - EVENT_OVERHEAD;
/// Bytes that CloudWatch counts for a line besides its text.
const EVENT_OVERHEAD: usize = 26;
/// Lines of one write. This and the next are from "PutLogEvents", Amazon CloudWatch Logs API Reference.
const MAX_BATCH_EVENTS: usize = 10_000;
/// Bytes of one write.
const MAX_BATCH_BYTES: usize = 1_048_576;
/// Bytes of a container's output that are read at a time.
const READ: usize = 128 * 1024;
/// Bytes that are still read of an output that is cut off: as much as a pipe may hold (pipe(7)).
const MAX_PIPE: usize = 1024 * 1024;

/// The time for which lines that could not be written, for example because the disk is full, are tried again while the container waits.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after the container's end for which lines that are left are tried again.
const WRITE_TIMEOUT_AT_END: Duration = Duration::from_secs(30);
/// The pause between two tries.
const WRITE_PAUSE: Duration = Duration::from_millis(250);
/// For this long after lines were lost, lines are tried once, so that the container does not wait for each of them.
const SINGLE_TRY_TIME: Duration = Duration::from_mins(1);

/// The beginning of a line whose end has not been printed yet.
#[derive(Default)]
pub(super) struct Unfinished(Vec<u8>);

/// Writes the lines of one container to its log stream.
pub(super) struct LogDriver {
    logs: LogGroup,
    stream: String,
    lines: Vec<(i64, String)>,
    bytes: usize,
    /// The time of the task's newest line, in milliseconds since 1970. Lines of all its containers have one order, although a clock
    /// may be set back.
    newest: Arc<AtomicI64>,
    /// The time at which the container ended.
    ended: Arc<OnceLock<Instant>>,
    /// The number of lines that could not be written since the last write. The next write adds a line that tells it.
    lost: usize,
    lost_at: Option<Instant>,
    /// The number of all lines that could not be written.
    losses: Arc<AtomicUsize>,
}

impl LogDriver {
    pub(super) fn new(logs: LogGroup, stream: String, newest: Arc<AtomicI64>) -> anyhow::Result<Self> {
        logs.create_stream(&stream)?;
        Ok(Self {
            logs,
            stream,
            lines: Vec::new(),
            bytes: 0,
            newest,
            ended: Arc::default(),
            lost: 0,
            lost_at: None,
            losses: Arc::default(),
        })
    }

    /// The counter of lines that could not be written.
    pub(super) fn losses(&self) -> Arc<AtomicUsize> {
        self.losses.clone()
    }

    /// The cell in which the runner notes the time of the container's end.
    pub(super) fn end(&self) -> Arc<OnceLock<Instant>> {
        self.ended.clone()
    }

    /// Logs a line of the runner's own.
    pub(super) async fn say(&mut self, line: &str) {
        self.line(line.as_bytes()).await;
        self.flush().await;
    }

    /// Logs the output of a pipe until every process that could write to it has closed it, or until it is cut off because a process
    /// that is not the container's keeps it open. Then the log says so.
    pub(super) async fn follow(&mut self, mut pipe: pipe::Receiver, cut_off: CancellationToken) {
        let mut unfinished = Unfinished::default();
        let mut buffer = vec![0; READ];
        let mut after_cut = 0;
        loop {
            // Lines are written as soon as no more output is ready.
            let read = match pipe.try_read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.flush().await;
                    tokio::select! {
                        biased;
                        read = pipe.read(&mut buffer) => read,
                        () = cut_off.cancelled() => break,
                    }
                }
                read => read,
            };
            let Ok(count @ 1..) = read else { break };
            self.take(&mut unfinished, &buffer[..count]).await;
            if cut_off.is_cancelled() {
                after_cut += count;
                if after_cut > MAX_PIPE {
                    break;
                }
            }
        }
        self.line(&unfinished.0).await;
        if cut_off.is_cancelled() {
            self.line(b"### runvoy runner: a process that left the task keeps its output open; what it prints from here on is not logged")
                .await;
        }
        self.end_log().await;
    }

    /// Logs a part of an output, line by line.
    pub(super) async fn take(&mut self, unfinished: &mut Unfinished, mut printed: &[u8]) {
        let Unfinished(unfinished) = unfinished;
        while let Some(at) = memchr::memchr(b'\n', printed) {
            if unfinished.is_empty() {
                self.line(&printed[..at]).await;
            } else {
                unfinished.extend_from_slice(&printed[..at]);
                let line = std::mem::take(unfinished);
                self.line(&line).await;
            }
            printed = &printed[at + 1..];
        }
        unfinished.extend_from_slice(printed);
        while unfinished.len() > MAX_LINE {
            let tail = unfinished.split_off(char_boundary(unfinished));
            let line = std::mem::replace(unfinished, tail);
            self.line(&line).await;
        }
    }

    /// Logs the last lines of outputs, which have no line end, and writes all lines.
    pub(super) async fn finish(&mut self, unfinished: [Unfinished; 2]) {
        for unfinished in unfinished {
            self.line(&unfinished.0).await;
        }
        self.end_log().await;
    }

    async fn end_log(&mut self) {
        self.flush().await;
        if self.lost > 0 {
            // No further write follows that would tell it.
            let told = self.logs.write(&self.stream, &[(self.now(), self.missing())]);
            if let Err(error) = told {
                tracing::error!(
                    stream = self.stream,
                    lines = self.losses.load(Ordering::Relaxed),
                    error = format!("{error:#}"),
                    "lines are lost, and the log cannot tell it"
                );
            }
        }
    }

    fn missing(&self) -> String {
        format!("### runvoy runner: {} lines are missing here: they could not be written", self.lost)
    }

    /// Now, or the time of the newest line if the clock has been set back since.
    fn now(&self) -> i64 {
        let now = jiff::Timestamp::now().as_millisecond();
        self.newest.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// Logs one line, in parts if it is too long for an event. CloudWatch takes no empty messages, so empty lines are dropped.
    async fn line(&mut self, line: &[u8]) {
        let now = self.now();
        // Bytes that are not UTF-8 are replaced before the size is counted, because the replacement is longer.
        let text = String::from_utf8_lossy(line);
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (part, tail) = rest.split_at(char_boundary(rest));
            rest = tail;
            let message = String::from_utf8_lossy(part).into_owned();
            let size = message.len() + EVENT_OVERHEAD;
            if self.lines.len() == MAX_BATCH_EVENTS || self.bytes + size > MAX_BATCH_BYTES {
                self.flush().await;
            }
            self.bytes += size;
            self.lines.push((now, message));
        }
    }

    /// Writes the lines that have been collected. Lines that cannot be written are tried again for a while, and the container
    /// waits; after that they are lost, and the log says so as soon as it can be written again.
    pub(super) async fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        self.bytes = 0;
        let mut lines = std::mem::take(&mut self.lines);
        if self.lost > 0 {
            lines.insert(0, (lines[0].0, self.missing()));
        }
        let began = Instant::now();
        let mut is_told = false;
        while let Err(error) = self.logs.write(&self.stream, &lines) {
            let gives_up = match self.ended.get() {
                Some(ended) => *ended + WRITE_TIMEOUT_AT_END,
                None if self.lost_at.is_some_and(|at| at.elapsed() < SINGLE_TRY_TIME) => began,
                None => began + WRITE_TIMEOUT,
            };
            let (stream, error) = (&self.stream, format!("{error:#}"));
            if Instant::now() >= gives_up {
                let lost = lines.len() - usize::from(self.lost > 0);
                tracing::error!(stream, error, lost, "lines are lost: the log cannot be written");
                self.lost += lost;
                self.lost_at = Some(Instant::now());
                self.losses.fetch_add(lost, Ordering::Relaxed);
                return;
            }
            if !is_told {
                tracing::warn!(stream, error, "the log cannot be written; trying again");
                is_told = true;
            }
            tokio::time::sleep(WRITE_PAUSE).await;
        }
        self.lost = 0;
    }
}

/// The length of the longest beginning of a text that an event may have and that ends at the end of a character.
fn char_boundary(text: &[u8]) -> usize {
    if text.len() <= MAX_LINE {
        return text.len();
    }
    let is_continuation = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    // A character of UTF-8 has 4 bytes at most. Bytes that are no UTF-8 are cut anywhere.
    (MAX_LINE - 3..=MAX_LINE).rev().find(|at| !is_continuation(text[*at])).unwrap_or(MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_characters() {
        for prefix in 0..3 {
            let text = format!("{}{}", "x".repeat(prefix), "日".repeat(100_000));
            let cut = char_boundary(text.as_bytes());
            assert!(text.is_char_boundary(cut) && cut <= MAX_LINE && cut + 3 > MAX_LINE, "{prefix} {cut}");
        }
        assert_eq!(char_boundary(b"short"), 5);
        assert_eq!(char_boundary(&vec![0x80; MAX_LINE + 5]), MAX_LINE);
    }
}
