//! Decides which API is called, and with which key. A key is sent to its own endpoint only.
//!
//! In this order: `--profile`, `RUNVOY_ENDPOINT`, `RUNVOY_PROFILE`, a local system's folder here or above, the file's current profile.

mod endpoint;
mod file;
mod local;

use std::{collections::BTreeSet, env};

use crate::failure::{Failure, Result};

use endpoint::ALLOW_HTTP;
pub(crate) use endpoint::{check_transport, normal_endpoint};
pub(crate) use file::{DEFAULT_PROFILE, File, Profile, use_profile, write_profile};
pub(crate) use local::is_foreign;

/// Variables that win over the file.
pub(crate) const ENDPOINT: &str = "RUNVOY_ENDPOINT";
pub(crate) const API_KEY: &str = "RUNVOY_API_KEY";
const PROFILE: &str = "RUNVOY_PROFILE";

#[derive(Clone)]
pub(crate) struct Config {
    /// The URL of the API up to the path, without a final slash.
    pub(crate) endpoint: String,
    pub(crate) api_key: Option<String>,
    /// Where the endpoint was found, for people.
    pub(crate) source: String,
    /// Why the environment's key is not sent, where there is no other.
    pub(crate) withheld: Option<String>,
}

/// A variable of the environment that is not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

impl Config {
    /// # Errors
    /// No endpoint is configured, a file that is needed cannot be read, or the key would cross a network in the clear.
    pub(crate) fn load(profile: Option<&str>, allow_http: bool) -> Result<Self> {
        let config = Self::find(profile)?;
        let endpoint = normal_endpoint(&config.endpoint)?;
        if let Some(key) = &config.api_key {
            check_key(key, &config.source)?;
        }
        let config = Self { endpoint, ..config };
        if !allow_http && variable(ALLOW_HTTP).is_none() {
            config.check_transport()?;
        }
        Ok(config)
    }

    /// An endpoint that the command itself names, with the key for it.
    pub(crate) fn of(endpoint: String, api_key: Option<String>) -> Self {
        Self { endpoint, api_key, source: String::new(), withheld: None }
    }

    fn find(profile: Option<&str>) -> Result<Self> {
        if let Some(name) = profile {
            return Self::of_profile(name);
        }
        let key = variable(API_KEY);
        if let Some(endpoint) = variable(ENDPOINT) {
            let source = format!("the variable {ENDPOINT}");
            // A key of the file belongs to the file's endpoint.
            let key = match key {
                Some(key) => Some(key),
                None => File::read()?.key_of(&endpoint),
            };
            return Ok(Self { endpoint, api_key: key, source, withheld: None });
        }
        if let Some(name) = variable(PROFILE) {
            return Self::of_profile(&name);
        }
        if let Some((endpoint, key, folder)) = local::system() {
            let source = folder.display().to_string();
            return Ok(Self { endpoint, api_key: Some(key), source, withheld: None });
        }
        let file = File::read()?;
        let name = file.current();
        match file.profile(name) {
            Some(Profile { api_endpoint: Some(endpoint), api_key }) => {
                let source = format!("the profile {name:?}");
                Ok(Self { endpoint, api_key: key.or(api_key), source, withheld: None })
            }
            _ => Err(Failure::new("no endpoint is configured")
                .remedy(format!("run `runvoy configure`, or set {ENDPOINT} and {API_KEY}"))),
        }
    }

    /// A profile that the user names. Its own key comes before that of the environment.
    fn of_profile(name: &str) -> Result<Self> {
        let file = File::read()?;
        match file.profile(name) {
            Some(Profile { api_endpoint: Some(endpoint), api_key }) => {
                let source = format!("the profile {name:?}");
                let (api_key, withheld) = match (api_key, environment_key(&endpoint)) {
                    (Some(key), _) => (Some(key), None),
                    (None, Ok(key)) => (key, None),
                    (None, Err(reason)) => (None, Some(format!("{source} has no API key, and {reason}"))),
                };
                Ok(Self { endpoint, api_key, source, withheld })
            }
            _ => {
                let names = file.names().join(", ");
                let names = if names.is_empty() { "there are none".to_owned() } else { format!("there are: {names}") };
                Err(Failure::new(format!("there is no profile {name:?}"))
                    .remedy(format!("{names}\n  make it: runvoy configure --profile {name}")))
            }
        }
    }

    fn check_transport(&self) -> Result<()> {
        check_transport(&self.endpoint)
    }
}

/// The environment's key for this endpoint. A key whose endpoint is in the environment too is for that endpoint only.
///
/// # Errors
/// Says to which other endpoint the key belongs.
pub(crate) fn environment_key(endpoint: &str) -> Result<Option<String>, String> {
    let (Some(key), own) = (variable(API_KEY), variable(ENDPOINT)) else { return Ok(None) };
    match own {
        Some(own) if normal_endpoint(&own).ok() != normal_endpoint(endpoint).ok() => Err(format!(
            "{API_KEY} is not sent to {endpoint}: it belongs to the endpoint in {ENDPOINT}, which is another"
        )),
        _ => Ok(Some(key)),
    }
}

/// # Errors
/// The key has characters that no key has. The message does not show it.
pub(crate) fn check_key(key: &str, source: &str) -> Result<()> {
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Failure::new(format!("the API key for {source} has characters that no key has, such as blanks or line ends"))
        .remedy("run `runvoy configure`, or set RUNVOY_API_KEY again"))
}

/// Tells that more than one endpoint is configured, so that it must be said which one is used.
pub(crate) fn has_several_endpoints() -> bool {
    let mut endpoints: BTreeSet<String> = File::read().map(|file| file.endpoints()).unwrap_or_default();
    endpoints.extend(variable(ENDPOINT));
    endpoints.extend(local::system_quietly().map(|(endpoint, ..)| endpoint));
    endpoints.iter().filter_map(|endpoint| normal_endpoint(endpoint).ok()).collect::<BTreeSet<_>>().len() > 1
}
