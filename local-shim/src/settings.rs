//! What the shim itself is started with.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use aws_smithy_async::time::SharedTimeSource;

pub const ORCHESTRATOR_PORT: &str = "RUNVOY_DEV_SERVER_PORT";
pub const EVENT_PROCESSOR_PORT: &str = "RUNVOY_EVENT_PROCESSOR_PORT";
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// In what commands run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RunnerChoice {
    /// In Docker when its socket answers, else as processes.
    #[default]
    Auto,
    /// As processes on this machine; images are not used.
    Process,
    /// In Docker or Podman.
    Docker,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// 0 for any free port.
    pub orchestrator_port: u16,
    /// 0 for any free port.
    pub event_processor_port: u16,
    /// Where the state is kept; in memory if nowhere.
    pub data_dir: Option<PathBuf>,
    /// Variables of the functions that the template's own values give way to.
    pub overrides: BTreeMap<String, String>,
    /// In what commands run.
    pub runner: RunnerChoice,
    /// Where the emulated AWS answers others too, 0 for any free port; nowhere, if nothing.
    pub aws_port: Option<u16>,
    /// The seed of what goes wrong on purpose with deliveries.
    pub chaos: Option<u64>,
    /// What the functions take for the time; the system's clock if nothing.
    pub clock: Option<SharedTimeSource>,
    /// How long the functions wait for an answer of AWS; what they wait when deployed, if nothing.
    pub call_timeout: Option<Duration>,
}

impl Settings {
    /// From variables and flags.
    ///
    /// # Errors
    /// Names the variable that is bad, what it is and what it wants.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>, data_dir: Option<PathBuf>) -> Result<Self> {
        let overrides: BTreeMap<String, String> = variables
            .into_iter()
            .filter(|(name, value)| (name.starts_with("RUNVOY_") || name == ENDPOINT) && !value.trim().is_empty())
            .collect();
        let port = |name: &str, default| match overrides.get(name).map(|value| (value, value.trim().parse())) {
            None => Ok(default),
            Some((_, Ok(port))) => Ok(port),
            Some((value, Err(_))) => bail!("{name} is {value:?}: it wants a port, 0 to 65535"),
        };
        Ok(Self {
            orchestrator_port: port(ORCHESTRATOR_PORT, 8080)?,
            event_processor_port: port(EVENT_PROCESSOR_PORT, 8081)?,
            data_dir,
            overrides,
            runner: RunnerChoice::default(),
            aws_port: None,
            chaos: None,
            clock: None,
            call_timeout: None,
        })
    }

    /// For tests and benchmarks: free ports, nothing kept, no Docker.
    pub fn ephemeral() -> Self {
        Self {
            orchestrator_port: 0,
            event_processor_port: 0,
            data_dir: None,
            overrides: BTreeMap::new(),
            runner: RunnerChoice::Process,
            aws_port: None,
            chaos: None,
            clock: None,
            call_timeout: None,
        }
    }

    /// Whether the functions are to talk to somebody else's AWS.
    pub fn has_own_endpoint(&self) -> bool {
        self.overrides.contains_key(ENDPOINT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_port_is_named_with_what_it_wants() {
        for bad in ["http", "70000", "-1"] {
            let error = Settings::new([(ORCHESTRATOR_PORT.to_owned(), bad.to_owned())], None).unwrap_err();
            assert!(error.to_string().contains(ORCHESTRATOR_PORT) && error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn only_our_variables_are_taken() {
        let variables = [("HOME", "/root"), ("RUNVOY_WEB_URL", "https://x"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::new(variables, None).unwrap();
        assert_eq!(settings.overrides.into_keys().collect::<Vec<_>>(), ["RUNVOY_WEB_URL"]);
    }
}
