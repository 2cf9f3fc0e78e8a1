//! Sets up the log of a function: a line of JSON for each event.

use tracing::{Level, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, fmt::MakeWriter, layer::SubscriberExt as _, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// Targets of the libraries that carry requests. Below a warning, they log bodies and headers, with keys and values of secrets.
const CARRIERS: [&str; 9] =
    ["aws_", "bollard", "h2", "hyper", "lambda_", "reqwest", "rustls", "tokio_tungstenite", "tungstenite"];

/// The filter for a value of `RUNVOY_LOG_LEVEL`. A level applies to runvoy's own crates, and libraries log warnings and errors only;
/// `tracing` filter directives are used as they are, except that no directive makes a library that carries requests log more.
///
/// # Errors
/// A sentence that names the variable, its value and what it wants.
pub fn filter<S>(level: &str) -> Result<impl Layer<S> + use<S>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let carries = |target: &str| CARRIERS.iter().any(|carrier| target.starts_with(carrier));
    let bounded = filter_fn(move |metadata| *metadata.level() <= Level::WARN || !carries(metadata.target()));
    Ok(directives(level)?.and_then(bounded))
}

fn directives(level: &str) -> Result<EnvFilter, String> {
    const OURS: [&str; 4] = ["runvoy_core", "orchestrator", "event_processor", "local_shim"];
    let wants = || {
        format!(
            "RUNVOY_LOG_LEVEL is {level:?}: it wants error, warn, info, debug, trace or `tracing` filter directives"
        )
    };
    let directives = match level.trim() {
        "" => return directives("info"),
        level if !level.contains(['=', ',']) => {
            level.parse::<tracing::level_filters::LevelFilter>().map_err(|_| wants())?;
            OURS.iter().fold("warn".to_owned(), |all, target| format!("{all},{target}={level}"))
        }
        directives => directives.to_owned(),
    };
    EnvFilter::try_new(directives).map_err(|_| wants())
}

/// Logs as JSON on standard output, which Lambda sends to CloudWatch: one line for each event, each with its span's request id, so
/// that a request can be traced.
///
/// # Errors
/// As [`filter`].
pub fn init_lambda() -> Result<(), String> {
    let level = std::env::var("RUNVOY_LOG_LEVEL").unwrap_or_default();
    tracing_subscriber::registry()
        .with(lambda_layer(std::io::stdout))
        .with(filter(&level)?)
        .try_init()
        .map_err(|error| error.to_string())
}

/// The format of a function's log lines, for any writer.
pub fn lambda_layer<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages that are logged at these directives.
    fn logged(level: &str) -> String {
        use std::sync::{Arc, Mutex};

        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::registry().with(lambda_layer(move || writer.clone())).with(filter(level).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!(target: "runvoy_core", "request").entered();
            tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "a secret's value");
            tracing::debug!(target: "hyper::proto", "a header's value");
            tracing::warn!(target: "aws_smithy_runtime::client::orchestrator", "a warning");
            tracing::trace!(target: "runvoy_core::logs", "a line of ours");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_directive_makes_a_library_log_what_it_carries() {
        for level in
            ["trace", "trace,x=info", "aws_smithy_runtime=trace,hyper=debug,runvoy_core=trace", "[request]=trace"]
        {
            let logged = logged(level);
            assert!(!logged.contains("value"), "{level}: {logged}");
            assert!(logged.contains("a line of ours"), "{level}: {logged}");
            assert!(level == "[request]=trace" || logged.contains("a warning"), "{level}: {logged}");
        }
    }

    #[test]
    fn a_level_or_directives_are_taken_and_nonsense_is_not() {
        for good in ["", "debug", "INFO", "warn,runvoy_core=trace"] {
            assert!(directives(good).is_ok(), "{good}");
        }
        for bad in ["loud", "a=b=c"] {
            assert!(directives(bad).unwrap_err().contains("RUNVOY_LOG_LEVEL"), "{bad}");
        }
    }
}
