//! The log driver: it splits a container's output into lines and sends them in batches, as Docker's `awslogs` driver does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{io::AsyncReadExt, net::unix::pipe};

use crate::aws::{events::LogBatches, logs::LogGroup};

/// Bytes of the longest line. A longer one is split. CloudWatch allows 256 KiB for a line and its overhead ("PutLogEvents").
const MAX_LINE: usize = 262_144 - EVENT_OVERHEAD;
const EVENT_OVERHEAD: usize = 26;
/// Lines and bytes of a batch ("PutLogEvents", Amazon CloudWatch Logs API Reference).
const MAX_BATCH_EVENTS: usize = 10_000;
const MAX_BATCH_BYTES: usize = 1_048_576;
const READ: usize = 128 * 1024;

/// How often, and how long apart, a batch is written again that could not be written, for example because the disk is full.
const WRITE_ATTEMPTS: u32 = 20;
const WRITE_PAUSE: Duration = Duration::from_millis(500);
/// For this long after lines were lost, batches are tried once, so that the container does not wait for each of them.
const NO_PATIENCE: Duration = Duration::from_secs(60);

/// The beginning of a line whose end has not been printed yet.
#[derive(Default)]
pub(super) struct Unfinished(Vec<u8>);

/// Sends the lines of one container to its log stream.
pub(super) struct LogDriver {
    logs: LogGroup,
    stream: String,
    batches: LogBatches,
    lines: Vec<(i64, String)>,
    bytes: usize,
    /// Lines that could not be written, which the next line that can be written tells.
    lost: usize,
    lost_at: Option<Instant>,
    /// All lines that could not be written.
    losses: Arc<AtomicUsize>,
}

impl LogDriver {
    pub(super) fn new(logs: LogGroup, stream: String, batches: LogBatches) -> anyhow::Result<Self> {
        logs.create_stream(&stream)?;
        Ok(Self { logs, stream, batches, lines: Vec::new(), bytes: 0, lost: 0, lost_at: None, losses: Arc::default() })
    }

    /// The number of lines that could not be written, which goes on counting.
    pub(super) fn losses(&self) -> Arc<AtomicUsize> {
        self.losses.clone()
    }

    /// Logs a line of the runner's own.
    pub(super) async fn say(&mut self, line: &str) {
        self.line(line.as_bytes()).await;
        self.flush().await;
    }

    /// Logs the output of a pipe until every process that could write to it has closed it.
    pub(super) async fn follow(&mut self, mut pipe: pipe::Receiver) {
        let mut unfinished = Unfinished::default();
        let mut buffer = vec![0; READ];
        loop {
            // Lines are sent as soon as no more output is ready.
            let read = match pipe.try_read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.flush().await;
                    pipe.read(&mut buffer).await
                }
                read => read,
            };
            let Ok(count @ 1..) = read else { break };
            self.take(&mut unfinished, &buffer[..count]).await;
        }
        self.finish(unfinished).await;
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

    /// Logs the last line of an output, which has no line end, and sends all lines.
    pub(super) async fn finish(&mut self, unfinished: Unfinished) {
        self.line(&unfinished.0).await;
        self.flush().await;
    }

    /// Logs one line, in parts if it is too long for an event. CloudWatch takes no empty messages, so empty lines are dropped.
    async fn line(&mut self, line: &[u8]) {
        let now = jiff::Timestamp::now().as_millisecond();
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

    /// Sends the lines that have been collected. Lines that cannot be written are tried again for 10 seconds, while the container
    /// waits; after that they are lost, and the log says so as soon as it can be written again.
    pub(super) async fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        self.bytes = 0;
        let mut lines = std::mem::take(&mut self.lines);
        if self.lost > 0 {
            let message = format!("### runvoy runner: {} lines are missing here: they could not be written", self.lost);
            lines.insert(0, (lines[0].0, message));
        }
        let attempts = if self.lost_at.is_some_and(|at| at.elapsed() < NO_PATIENCE) { 1 } else { WRITE_ATTEMPTS };
        for attempt in 1..=attempts {
            match self.logs.put(&self.stream, &lines) {
                Ok(events) => {
                    self.lost = 0;
                    // The receiver is dropped only when the program ends.
                    let _ = self.batches.send((self.stream.clone(), events)).await;
                    return;
                }
                Err(error) if attempt == attempts => {
                    let lost = lines.len() - usize::from(self.lost > 0);
                    if attempts > 1 {
                        let (stream, error) = (&self.stream, format!("{error:#}"));
                        tracing::error!(stream, error, "lines are lost: the log cannot be written");
                    }
                    self.lost += lost;
                    self.lost_at = Some(Instant::now());
                    self.losses.fetch_add(lost, Ordering::Relaxed);
                }
                Err(error) => {
                    if attempt == 1 {
                        tracing::warn!(
                            stream = self.stream,
                            error = format!("{error:#}"),
                            "the log cannot be written; trying again"
                        );
                    }
                    tokio::time::sleep(WRITE_PAUSE).await;
                }
            }
        }
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
