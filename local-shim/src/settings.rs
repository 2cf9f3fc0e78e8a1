//! Defines the settings that the program is started with.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Result, bail};
use aws_smithy_async::time::SharedTimeSource;

/// The variable with the orchestrator's port.
pub const ORCHESTRATOR_PORT: &str = "RUNVOY_DEV_SERVER_PORT";
/// The variable with the event processor's port.
pub const EVENT_PROCESSOR_PORT: &str = "RUNVOY_EVENT_PROCESSOR_PORT";
/// The variable with the port of the emulated AWS: see [`AwsPort`].
pub const AWS_PORT: &str = "RUNVOY_AWS_PORT";
/// The variable with the endpoint of another AWS than the emulated one.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// The port of the emulated AWS, if it is free.
const DEFAULT_AWS_PORT: u16 = 8082;
/// Variables of runvoy that the template does not set: those of this program, of the functions, and of the command line.
const OTHER_NAMES: [&str; 11] = [
    ORCHESTRATOR_PORT,
    EVENT_PROCESSOR_PORT,
    AWS_PORT,
    "RUNVOY_LOG_LEVEL",
    "RUNVOY_REQUEST_TIMEOUT",
    "RUNVOY_CORS_ALLOWED_ORIGINS",
    "RUNVOY_WEB_URL",
    "RUNVOY_API_URL",
    "RUNVOY_ENDPOINT",
    "RUNVOY_API_KEY",
    "RUNVOY_PROFILE",
];
/// The prefix of variables that the command line gives to playbooks.
const PLAYBOOK_PREFIX: &str = "RUNVOY_USER_";
/// Letters in which a misspelt name differs from the one that was meant, at most. More would take one setting for another.
const MAX_MISSPELT: usize = 3;

/// The time that a client may leave a request unfinished or a connection unused. API Gateway closes an unused one after 10 minutes; less
/// keeps half-open connections from adding up, and clients open a new one.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);

/// The way in which commands run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RunnerChoice {
    /// In Docker if an engine answers, else as processes.
    #[default]
    Auto,
    /// As processes on this machine, with your rights; images are not used.
    Process,
    /// In Docker or Podman.
    Docker,
}

/// Where the emulated AWS listens for other programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsPort {
    Off,
    /// On the default port, if it is free.
    IfFree,
    /// On this port, 0 for any free one.
    Port(u16),
    /// On this port of the loopback address, and on this address too, for containers that reach the machine by it.
    Address(SocketAddr),
}

impl std::str::FromStr for AwsPort {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match (text.parse(), text.parse()) {
            (Ok(port), _) => Ok(Self::Port(port)),
            (_, Ok(address)) => Ok(Self::Address(address)),
            _ => bail!("{AWS_PORT} is {text:?}: it wants a port, an address such as 172.17.0.1:8082, or `off`"),
        }
    }
}

impl AwsPort {
    /// The port, and the address besides the loopback address, if there is one. `None` if the emulated AWS does not listen.
    pub(crate) fn parts(&self) -> Option<(u16, Option<IpAddr>)> {
        match self {
            Self::Off => None,
            Self::IfFree => Some((DEFAULT_AWS_PORT, None)),
            Self::Port(port) => Some((*port, None)),
            Self::Address(address) => Some((address.port(), Some(address.ip()))),
        }
    }
}

/// The settings of one start of the system.
#[derive(Clone, Debug)]
pub struct Settings {
    /// 0 for any free port.
    pub orchestrator_port: u16,
    /// 0 for any free port.
    pub event_processor_port: u16,
    pub aws_port: AwsPort,
    /// The folder of the state; without it, the state is in memory.
    pub data_dir: Option<PathBuf>,
    /// Variables of the functions that replace the template's values.
    pub overrides: BTreeMap<String, String>,
    pub runner: RunnerChoice,
    /// The seed by which deliveries are disturbed, if they are to be.
    pub chaos: Option<u64>,
    /// The folder in which the events of the functions are kept, if they are to be.
    pub record: Option<PathBuf>,
    /// The clock of the functions, if it is not the system's.
    pub clock: Option<SharedTimeSource>,
    /// The time that the functions wait for an answer of AWS, if not as long as in AWS.
    pub call_timeout: Option<Duration>,
    /// The time that a client may leave a request unfinished or a connection unused.
    pub client_timeout: Duration,
}

impl Settings {
    /// Settings for a start with these variables.
    ///
    /// # Errors
    /// Names the variable that is bad, its value and what it wants.
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
        let aws_port = match overrides.get(AWS_PORT) {
            Some(text) => text.trim().parse()?,
            None => AwsPort::IfFree,
        };
        Ok(Self {
            orchestrator_port: port(ORCHESTRATOR_PORT, 8080)?,
            event_processor_port: port(EVENT_PROCESSOR_PORT, 8081)?,
            aws_port,
            data_dir,
            overrides,
            ..Self::ephemeral()
        })
    }

    /// Settings for tests and benchmarks: free ports, state in memory, commands as processes.
    pub fn ephemeral() -> Self {
        Self {
            orchestrator_port: 0,
            event_processor_port: 0,
            aws_port: AwsPort::Off,
            data_dir: None,
            overrides: BTreeMap::new(),
            runner: RunnerChoice::Process,
            chaos: None,
            record: None,
            clock: None,
            call_timeout: None,
            client_timeout: CLIENT_TIMEOUT,
        }
    }

    /// The endpoint of another AWS that the functions are to call, if one is set.
    pub fn other_endpoint(&self) -> Option<&str> {
        self.overrides.get(ENDPOINT).map(String::as_str)
    }
}

/// Warns of each variable whose name is nearly one of runvoy's, because its value has no effect. `template` has the names that the
/// template sets.
pub(crate) fn warn_of_misspelt(given: &BTreeMap<String, String>, template: &BTreeSet<String>) {
    for name in given.keys().filter(|name| *name != ENDPOINT && !name.starts_with(PLAYBOOK_PREFIX)) {
        if let Some(meant) = meant(name, template) {
            tracing::warn!("{name} is not a setting, so its value has no effect; {meant} is one");
        }
    }
}

/// The setting that was probably meant by a name that is not a setting. `None` if none has a similar name.
fn meant<'a>(name: &str, template: &'a BTreeSet<String>) -> Option<&'a str> {
    let known = || template.iter().map(String::as_str).chain(OTHER_NAMES);
    if known().any(|known| known == name) {
        return None;
    }
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    known().min_by_key(distance).filter(|nearest| distance(nearest) <= MAX_MISSPELT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_leads_to_the_setting_that_was_meant() {
        let template = BTreeSet::from(["RUNVOY_USERS_TABLE".to_owned()]);
        for (name, wanted) in [
            ("RUNVOY_LOGLEVEL", Some("RUNVOY_LOG_LEVEL")),
            ("RUNVOY_CORS_ALOWED_ORIGIN", Some("RUNVOY_CORS_ALLOWED_ORIGINS")),
            ("RUNVOY_USER_TABLE", Some("RUNVOY_USERS_TABLE")),
            ("RUNVOY_USERS_TABLE", None),
            ("RUNVOY_LOG_LEVEL", None),
            ("RUNVOY_SOMETHING_OF_MINE", None),
        ] {
            assert_eq!(meant(name, &template), wanted, "{name}");
        }
    }

    #[test]
    fn a_bad_port_is_named_with_what_it_wants() {
        for name in [ORCHESTRATOR_PORT, EVENT_PROCESSOR_PORT, AWS_PORT] {
            for bad in ["http", "70000", "-1"] {
                let error = Settings::new([(name.to_owned(), bad.to_owned())], None).unwrap_err().to_string();
                assert!(error.contains(name) && error.contains(bad) && error.contains("wants"), "{error}");
            }
        }
    }

    #[test]
    fn the_aws_port_is_a_port_an_address_or_off() {
        let read = |text: &str| text.parse::<AwsPort>().unwrap();
        assert_eq!(read("off"), AwsPort::Off);
        assert_eq!(read("4566").parts(), Some((4566, None)));
        assert_eq!(read("172.17.0.1:8082").parts(), Some((8082, Some(IpAddr::from([172, 17, 0, 1])))));
    }

    #[test]
    fn only_runvoys_variables_are_taken() {
        let variables = [("HOME", "/root"), ("RUNVOY_WEB_URL", "https://x"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::new(variables, None).unwrap();
        assert_eq!(settings.overrides.into_keys().collect::<Vec<_>>(), ["RUNVOY_WEB_URL"]);
    }
}
