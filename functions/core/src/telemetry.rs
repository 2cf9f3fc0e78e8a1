//! Structured logs.

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, fmt::MakeWriter, layer::SubscriberExt as _, registry::LookupSpan, util::SubscriberInitExt as _,
};

/// The filter for a value of `RUNVOY_LOG_LEVEL`. A level applies to runvoy's own crates, and libraries log warnings and errors only;
/// `tracing` filter directives are used as they are.
///
/// # Errors
/// A sentence that names the variable, its value and what it wants.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    const OURS: [&str; 4] = ["runvoy_core", "orchestrator", "event_processor", "local_shim"];
    let wants = || {
        format!(
            "RUNVOY_LOG_LEVEL is {level:?}: it wants error, warn, info, debug, trace or `tracing` filter directives"
        )
    };
    let directives = match level.trim() {
        "" => return filter("info"),
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

    #[test]
    fn a_level_or_directives_are_taken_and_nonsense_is_not() {
        for good in ["", "debug", "INFO", "warn,runvoy_core=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "a=b=c"] {
            assert!(filter(bad).unwrap_err().contains("RUNVOY_LOG_LEVEL"), "{bad}");
        }
    }
}
