//! Does `runvoy configure`, `config`, `claim`, `whoami` and `version`.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use reqwest::{Method, StatusCode};
use runvoy_api_types::{Claimed, Health, Me};
use serde_json::{Value, json};

use super::context::Context;
use crate::{
    api::{Api, Repeat, RequestError, segment},
    arguments::{Claim, Configuration, Configure, Format, Global},
    config::{self, Config, DEFAULT_PROFILE, File, Profile},
    failure::{Failure, Result},
    hidden_line,
    output::{self, Columns, cell},
    say,
};

/// The time that `version` waits for the server's.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn configure(global: Global, configure: Configure) -> Result<()> {
    // A file that cannot be read any more is written anew.
    let file = File::read().unwrap_or_default();
    let name = global.profile.clone().unwrap_or_else(|| file.current().to_owned());
    let before = file.profile(&name).unwrap_or_default();
    let given = configure.endpoint.or_else(|| config::variable(config::ENDPOINT));
    let endpoint = match given {
        Some(endpoint) => endpoint,
        None => ask("Endpoint", before.api_endpoint.as_deref())?,
    };
    let endpoint = config::normal_endpoint(&endpoint)?;
    if !global.allow_http {
        config::check_transport(&endpoint)?;
    }
    // A key belongs to its endpoint.
    let kept = before.api_key.filter(|_| before.api_endpoint.as_ref() == Some(&endpoint));
    let from_environment = config::environment_key(&endpoint).unwrap_or_else(|reason| {
        say!("runvoy: {reason}");
        None
    });
    let key = match from_environment {
        Some(key) => Some(key),
        None => {
            let hint = if kept.is_some() { "API key [keep it]: " } else { "API key: " };
            let typed = hidden_line::read(hint, "give the key in RUNVOY_API_KEY").await?.trim().to_owned();
            Some(typed).filter(|key| !key.is_empty()).or(kept)
        }
    };
    if let Some(key) = &key {
        config::check_key(key, &endpoint)?;
    }
    let config = Config::of(endpoint.clone(), key.clone());
    let api = Api::new(&config, global.verbose || global.debug)?;
    let me: Me = api.get("/me").await?.parse()?;
    let path = config::write_profile(&name, &Profile { api_endpoint: Some(endpoint), api_key: key })?;
    let profile = if name == DEFAULT_PROFILE { String::new() } else { format!(" as the profile {name}") };
    say!("You are {}, {}. Written to {}{profile}.", cell(&me.email), me.role, path.display());
    Ok(())
}

pub(crate) fn config(global: &Global, command: Configuration) -> Result<()> {
    let file = File::read()?;
    match command {
        Configuration::List => {
            let used = global.config().ok();
            if global.output == Format::Json {
                let profiles: Vec<Value> = file
                    .names()
                    .iter()
                    .map(|name| {
                        let profile = file.profile(name).unwrap_or_default();
                        json!({"name": name, "endpoint": profile.api_endpoint, "has_key": profile.api_key.is_some(), "is_current": name == file.current()})
                    })
                    .collect();
                return output::print(&json!({"profiles": profiles, "endpoint": used.as_ref().map(|used| &used.endpoint), "source": used.as_ref().map(|used| &used.source)}).to_string());
            }
            let mut columns = Columns::new(&["PROFILE", "CURRENT", "KEY", "ENDPOINT"]);
            for name in file.names() {
                let profile = file.profile(&name).unwrap_or_default();
                let yes = |is: bool| if is { "yes" } else { "" }.to_owned();
                columns.row([
                    name.clone(),
                    yes(name == file.current()),
                    yes(profile.api_key.is_some()),
                    profile.api_endpoint.unwrap_or_default(),
                ]);
            }
            columns.print("there are no profiles: `runvoy configure`")?;
            match used {
                Some(used) => say!("runvoy: commands here go to {}, by {}", used.endpoint, used.source),
                None => say!("runvoy: commands here have no endpoint"),
            }
            Ok(())
        }
        Configuration::Use { name } => {
            if file.profile(&name).is_none() {
                let names = file.names().join(", ");
                let remedy = if names.is_empty() {
                    "there are none: `runvoy configure`".to_owned()
                } else {
                    format!("there are: {names}")
                };
                return Err(Failure::new(format!("there is no profile {name:?}")).remedy(remedy));
            }
            config::use_profile(&name)?;
            say!("runvoy: the profile {name} is used from now on");
            Ok(())
        }
    }
}

/// Asks on the terminal. An empty line means the value in brackets.
pub(crate) fn ask(what: &str, default: Option<&str>) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(
            Failure::new("there is no terminal to ask on").remedy("give --endpoint, and the key in RUNVOY_API_KEY")
        );
    }
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    say::ask(&format!("{what}{shown}: "));
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| Failure::new(format!("the terminal cannot be read: {error}")))?;
    Ok(match line.trim() {
        "" => default.unwrap_or_default().to_owned(),
        line => line.to_owned(),
    })
}

pub(crate) async fn claim(global: Global, claim: Claim) -> Result<()> {
    let is_verbose = global.verbose || global.debug;
    let (origin, token) = match split_link(&claim.token) {
        Some((origin, token)) => (Some(origin), token),
        None => (None, claim.token.trim().to_owned()),
    };
    // The link needs no key.
    let public = |endpoint: &str| Config::of(endpoint.to_owned(), None);
    let endpoint = match (&claim.endpoint, origin) {
        (Some(endpoint), _) => config::normal_endpoint(endpoint)?,
        // The profile may be the one that this makes.
        (None, None) => {
            global
                .config()
                .or_else(|failure| match global.profile {
                    Some(_) => Config::load(None, global.allow_http).map_err(|_| failure),
                    None => Err(failure),
                })?
                .endpoint
        }
        // The page of the link may be at another place than the API.
        (None, Some(origin)) if has_api(&Api::new(&public(&origin), is_verbose)?).await => origin,
        (None, Some(origin)) => match global.config() {
            Ok(config) => config.endpoint,
            Err(_) => {
                return Err(Failure::new(format!("the API does not answer at {origin}"))
                    .remedy("say where it is: runvoy claim --endpoint URL LINK"));
            }
        },
    };
    if !global.allow_http {
        config::check_transport(&endpoint)?;
    }
    let api = Api::new(&public(&endpoint), is_verbose)?;
    let path = format!("/claim/{}", segment(&token));
    // A second request would find the claim used.
    let answer = match api.send(Method::GET, &path, None, &[], Repeat::Unsafe).await {
        Ok(answer) => answer,
        Err(RequestError::Unreachable { failure, may_have_arrived: true }) => {
            return Err(Failure::new(failure.what())
                .remedy("the link may be used up: try once more, and if it is, ask an admin for a new one"));
        }
        Err(error) => return Err(error.into()),
    };
    let claimed: Claimed = answer.parse()?;
    config::check_key(&claimed.api_key, &endpoint)?;
    let name = profile_for(&global, &endpoint, claimed.user_email.as_str(), is_verbose).await;
    let profile = Profile { api_endpoint: Some(endpoint), api_key: Some(claimed.api_key.clone()) };
    match config::write_profile(&name, &profile) {
        Ok(path) if name == DEFAULT_PROFILE => {
            say!("You are {}. The API key is written to {}.", claimed.user_email, path.display());
        }
        Ok(path) => {
            say!("You are {}. The API key is written to {} as the profile {name}.", claimed.user_email, path.display());
            say!("Use it: runvoy config use {name}");
        }
        Err(failure) => {
            // The link works once, so the key must not be lost.
            say!("runvoy: {failure}\n  keep this API key, the link does not work again:");
            output::print(&claimed.api_key)?;
        }
    }
    Ok(())
}

/// Tells that a runvoy API is at an endpoint.
async fn has_api(api: &Api) -> bool {
    let health = tokio::time::timeout(VERSION_TIMEOUT, api.get("/health")).await;
    health.is_ok_and(|answer| answer.and_then(|answer| answer.parse::<Health>()).is_ok())
}

/// The profile that takes a claimed key, without the loss of another key that works.
async fn profile_for(global: &Global, endpoint: &str, email: &str, is_verbose: bool) -> String {
    if let Some(name) = &global.profile {
        return name.clone();
    }
    let Ok(file) = File::read() else { return DEFAULT_PROFILE.to_owned() };
    if file.names().is_empty() {
        return DEFAULT_PROFILE.to_owned();
    }
    let clean: String = email
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_.@".contains(letter) { letter } else { '-' })
        .collect();
    let numbered = (2..).map(|number| format!("{clean}-{number}"));
    for name in [file.current().to_owned(), clean.clone()].into_iter().chain(numbered) {
        match file.profile(&name) {
            None => return name,
            Some(profile) if is_replaceable(profile.clone(), endpoint, email, is_verbose).await => return name,
            Some(_) => {}
        }
    }
    clean
}

/// Tells that a profile has a key of the same user, or one that does not work any more, for the same endpoint.
async fn is_replaceable(profile: Profile, endpoint: &str, email: &str, is_verbose: bool) -> bool {
    let is_same = profile.api_endpoint.as_deref().and_then(|url| config::normal_endpoint(url).ok());
    if is_same.as_deref() != Some(endpoint) {
        return false;
    }
    if profile.api_key.is_none() {
        return true;
    }
    let config = Config::of(endpoint.to_owned(), profile.api_key);
    let Ok(api) = Api::new(&config, is_verbose) else { return false };
    match api.send(Method::GET, "/me", None, &[], Repeat::Unsafe).await {
        Ok(answer) => answer.parse().is_ok_and(|me: Me| me.email.as_str() == email),
        Err(RequestError::Refused { status, .. }) => status == StatusCode::UNAUTHORIZED,
        Err(RequestError::Unreachable { .. }) => false,
    }
}

/// The origin and the token of a claim link.
fn split_link(link: &str) -> Option<(String, String)> {
    let (scheme, rest) = link.trim().split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let token = match query.split('&').find_map(|pair| pair.strip_prefix("token=")) {
        Some(token) => token,
        None => path.trim_end_matches('/').rsplit('/').next()?,
    };
    Some((format!("{scheme}://{host}"), token.to_owned()))
}

pub(crate) async fn whoami(context: &Context) -> Result<()> {
    let answer = context.api.get("/me").await?;
    context.show(&answer, |me: Me| {
        let mut text = format!("{}, {} at {}\n", cell(&me.email), me.role, context.config.endpoint);
        let mut resources: Vec<(&str, Vec<&str>)> = Vec::new();
        for permission in &me.permissions {
            let (resource, action) = permission.split_once(':').unwrap_or((permission, ""));
            match resources.iter_mut().find(|(known, _)| *known == resource) {
                Some((_, actions)) => actions.push(action),
                None => resources.push((resource, vec![action])),
            }
        }
        for (resource, actions) in resources {
            text.push_str(&crate::escape::text(&format!("  {resource:<14} {}\n", actions.join(", "))));
        }
        output::print(&text)
    })
}

/// Prints this program's version, and the server's where one is configured and answers.
pub(crate) async fn version(global: &Global) -> Result<()> {
    let own = env!("CARGO_PKG_VERSION");
    let config = global.config().ok();
    let server = match &config {
        Some(config) => server_version(&Api::new(config, global.verbose || global.debug)?).await,
        None => None,
    };
    if global.output == Format::Json {
        let endpoint = config.map(|config| config.endpoint);
        return output::print_json(
            &json!({"version": own, "server_version": server, "endpoint": endpoint}).to_string(),
        );
    }
    output::print(&format!("runvoy {own}"))?;
    match (config, server) {
        (Some(config), Some(server)) => output::print(&format!("server {server} at {}", config.endpoint)),
        (Some(config), None) => {
            say!("runvoy: {} does not answer as runvoy's API does", config.endpoint);
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

pub(crate) async fn server_version(api: &Api) -> Option<String> {
    let asked = api.send(Method::GET, "/health", None, &[], Repeat::Unsafe);
    let answer = tokio::time::timeout(VERSION_TIMEOUT, asked).await.ok()?.ok()?;
    answer.parse().ok().map(|health: Health| cell(health.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_link_has_an_endpoint_and_a_token() {
        let endpoint = "https://api.example.com".to_owned();
        for link in [
            "https://api.example.com/api/v1/claim/abc",
            "https://api.example.com/claim?token=abc",
            " https://api.example.com/claim/abc/ ",
        ] {
            assert_eq!(split_link(link), Some((endpoint.clone(), "abc".to_owned())), "{link}");
        }
        assert_eq!(split_link("abc"), None);
    }
}
