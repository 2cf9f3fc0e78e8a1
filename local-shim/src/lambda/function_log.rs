//! Writes the log lines of the functions: as in AWS, one line of JSON for each event, in the function's own log group.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter, fmt::MakeWriter, registry::LookupSpan};
use uuid::Uuid;

use crate::aws::logs::LogGroup;

/// Bytes after which a new stream begins, as another instance of the function would begin one.
const MAX_STREAM_BYTES: usize = 4 * 1024 * 1024;
/// The most streams that a group keeps.
const MAX_STREAMS: usize = 8;

tokio::task_local! {
    /// The log of the function that is running.
    static CURRENT: FunctionLog;
}

/// The log of one function.
#[derive(Clone)]
pub struct FunctionLog {
    group: LogGroup,
    stream: Arc<Mutex<Stream>>,
}

struct Stream {
    name: String,
    bytes: usize,
}

impl Stream {
    /// A new stream. Its name is like those that Lambda gives, and begins with the time, so that names sort by age.
    fn start(group: &LogGroup) -> Result<Self> {
        let now = jiff::Timestamp::now();
        let name =
            format!("{}/[$LATEST]{:013}{}", now.strftime("%Y/%m/%d"), now.as_millisecond(), Uuid::new_v4().simple());
        group.create_stream(&name)?;
        group.keep_last(MAX_STREAMS)?;
        Ok(Self { name, bytes: 0 })
    }
}

impl FunctionLog {
    /// Begins a log stream of the group.
    ///
    /// # Errors
    /// The stream cannot be made.
    pub fn start(group: &LogGroup) -> Result<Self> {
        Ok(Self { group: group.clone(), stream: Arc::new(Mutex::new(Stream::start(group)?)) })
    }

    /// Runs a function's code, whose lines go to this log.
    pub async fn scope<F: Future>(self, code: F) -> F::Output {
        CURRENT.scope(self, code).await
    }

    fn line(&self, line: &[u8]) -> Result<()> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if stream.bytes >= MAX_STREAM_BYTES {
            self.group.close_stream(&stream.name);
            *stream = Stream::start(&self.group)?;
        }
        stream.bytes += line.len();
        let now = jiff::Timestamp::now().as_millisecond();
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        self.group.put(&stream.name, &[(now, text)])?;
        Ok(())
    }
}

/// Writes what a function logs while it runs to that function's log, and no other line.
pub fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    runvoy_core::telemetry::lambda_layer(CurrentLog)
        .with_filter(filter::dynamic_filter_fn(|_, _| CURRENT.try_with(|_| ()).is_ok()))
}

struct CurrentLog;

impl MakeWriter<'_> for CurrentLog {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line
    }
}

/// Writes to the log of the function that is running, a whole line with each write.
pub struct Line;

impl io::Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match CURRENT.try_with(|log| log.line(line)) {
            Ok(Err(error)) => Err(io::Error::other(error)),
            Ok(Ok(())) | Err(_) => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
