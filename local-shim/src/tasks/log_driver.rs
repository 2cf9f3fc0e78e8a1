//! What a container prints, taken as the awslogs log driver takes it ("awslogs log driver", Docker).

use tokio::{io::AsyncReadExt, net::unix::pipe, sync::mpsc};

use crate::aws::logs::{Event, LogGroup};

/// A longer line is split: CloudWatch's 256 KiB less what each event counts for itself.
const MAX_LINE: usize = 262_144 - EVENT_OVERHEAD;
const EVENT_OVERHEAD: usize = 26;
/// A batch of `PutLogEvents`.
const MAX_BATCH_EVENTS: usize = 10_000;
const MAX_BATCH_BYTES: usize = 1_048_576;
const READ: usize = 128 * 1024;

/// Lines of one stream on their way to the subscription: one batch waits while another is handed over, and then the
/// container has to wait, so that no memory grows with a log.
pub type Subscription = mpsc::Sender<(String, Vec<Event>)>;

/// A line of an output that has not ended yet.
#[derive(Default)]
pub struct Unfinished(Vec<u8>);

/// Takes lines from one container to its stream.
pub struct LogDriver {
    logs: LogGroup,
    stream: String,
    subscription: Subscription,
    lines: Vec<(i64, String)>,
    bytes: usize,
}

impl LogDriver {
    pub fn new(logs: LogGroup, stream: String, subscription: Subscription) -> anyhow::Result<Self> {
        logs.create_stream(&stream)?;
        Ok(Self { logs, stream, subscription, lines: Vec::new(), bytes: 0 })
    }

    /// Adds a line of our own.
    pub async fn say(&mut self, line: &str) {
        self.line(line.as_bytes()).await;
        self.flush().await;
    }

    /// Reads until every process that could write has closed the pipe.
    pub async fn follow(&mut self, mut pipe: pipe::Receiver) {
        let mut unfinished = Unfinished::default();
        let mut buffer = vec![0; READ];
        loop {
            // Send what there is as soon as there is nothing more to read at once.
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

    /// Takes what one of the outputs has printed, line by line.
    pub async fn take(&mut self, unfinished: &mut Unfinished, mut printed: &[u8]) {
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
        while unfinished.len() >= MAX_LINE {
            let tail = unfinished.split_off(MAX_LINE);
            let line = std::mem::replace(unfinished, tail);
            self.line(&line).await;
        }
    }

    /// Takes the last line of an output, and hands over all that there is.
    pub async fn finish(&mut self, unfinished: Unfinished) {
        self.line(&unfinished.0).await;
        self.flush().await;
    }

    /// Takes one line, split where the driver splits. CloudWatch takes no empty messages, so the driver drops empty lines.
    async fn line(&mut self, line: &[u8]) {
        let now = jiff::Timestamp::now().as_millisecond();
        for part in line.chunks(MAX_LINE) {
            let message = String::from_utf8_lossy(part).into_owned();
            let size = message.len() + EVENT_OVERHEAD;
            if self.lines.len() == MAX_BATCH_EVENTS || self.bytes + size > MAX_BATCH_BYTES {
                self.flush().await;
            }
            self.bytes += size;
            self.lines.push((now, message));
        }
    }

    /// Hands over the lines that have been taken.
    pub async fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        self.bytes = 0;
        match self.logs.put(&self.stream, std::mem::take(&mut self.lines)) {
            Ok(events) => {
                // Nobody listens any more only when the program ends.
                let _ = self.subscription.send((self.stream.clone(), events)).await;
            }
            Err(error) => tracing::error!(stream = self.stream, %error, "lines were lost: the log cannot be written"),
        }
    }
}
