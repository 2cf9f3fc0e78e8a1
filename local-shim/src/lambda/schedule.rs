//! Emulates EventBridge's scheduled rules, which send a function the same event at a fixed rate.

use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{function::Function, invoke_error::NotHandled, kind::Kind};

/// One schedule of the template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    every: Duration,
    /// The event, as JSON.
    input: String,
}

impl Schedule {
    /// From the properties of a `Schedule` event in the template.
    pub(crate) fn from_template(properties: &Value) -> Result<Self> {
        let rate = properties["Schedule"].as_str().unwrap_or_default();
        let input = properties["Input"].as_str().unwrap_or("{}").to_owned();
        let every = parse_rate(rate)
            .ok_or_else(|| anyhow!("the schedule {rate:?} is not emulated; only rates such as rate(1 hour) are"))?;
        Ok(Self { every, input })
    }

    /// Sends the event at the schedule's rate, for as long as the program runs. The first time is one period from now.
    pub(crate) async fn run(self, function: Function) {
        loop {
            tokio::time::sleep(self.every).await;
            // An event that fails is kept, and the next one does not wait for it.
            drop(self.send(&function));
        }
    }

    /// Sends the event once.
    pub(crate) fn send(&self, function: &Function) -> BoxFuture<'static, Result<(), NotHandled>> {
        function.send(Kind::Schedule, self.input.clone().into_bytes())
    }
}

/// "Rate expressions", EventBridge: `rate(value unit)`.
fn parse_rate(text: &str) -> Option<Duration> {
    let (value, unit) = text.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(value.parse::<u64>().ok().filter(|value| *value > 0)?.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!(parse_rate("rate(1 hour)"), Some(Duration::from_hours(1)));
        assert_eq!(parse_rate("rate(5 minutes)"), Some(Duration::from_mins(5)));
        for bad in ["", "rate(0 hours)", "rate(1 week)", "cron(0 * * * ? *)", "rate(1hour)"] {
            assert_eq!(parse_rate(bad), None, "{bad}");
        }
    }
}
