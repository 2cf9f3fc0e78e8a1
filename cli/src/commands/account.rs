//! `runvoy configure`, `claim` and `whoami`.

use std::io::{self, IsTerminal, Write};

use super::{Context, secrets::hidden_line};
use crate::{
    api::{Api, segment},
    arguments::{Claim, Configure, Global},
    config::{self, Config},
    failure::{Failure, Result},
    output::{self, field},
};

pub(crate) async fn configure(global: Global, configure: Configure) -> Result<()> {
    let before = Config::load().ok();
    let endpoint = match configure.endpoint {
        Some(endpoint) => endpoint,
        None => ask("Endpoint", before.as_ref().map(|config| config.endpoint.as_str()))?,
    };
    let endpoint = config::normal_endpoint(&endpoint)?;
    let key = match std::env::var("RUNVOY_API_KEY") {
        Ok(key) if !key.is_empty() => key,
        _ => hidden_line("API key: ")?.trim().to_owned(),
    };
    let config = Config { endpoint, api_key: Some(key.clone()).filter(|key| !key.is_empty()) };
    let api = Api::new(&config, global.verbose || global.debug)?;
    let me = api.get("/me").await?.json()?;
    let path = config::save(&config.endpoint, &key)?;
    eprintln!("You are {}, {}. Written to {}.", field(&me, "email"), field(&me, "role"), path.display());
    Ok(())
}

/// Asks on the terminal. An empty line means the value in brackets.
fn ask(what: &str, default: Option<&str>) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(
            Failure::new("there is no terminal to ask on").remedy("give --endpoint, and the key in RUNVOY_API_KEY")
        );
    }
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    eprint!("{what}{shown}: ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| Failure::new(format!("the terminal cannot be read: {error}")))?;
    Ok(match line.trim() {
        "" => default.unwrap_or_default().to_owned(),
        line => line.to_owned(),
    })
}

pub(crate) async fn claim(global: Global, claim: Claim) -> Result<()> {
    let (endpoint, token) = match split_link(&claim.token) {
        Some((endpoint, token)) => (Some(endpoint), token),
        None => (None, claim.token.trim().to_owned()),
    };
    let endpoint = match endpoint {
        Some(endpoint) => endpoint,
        None => Config::load()?.endpoint,
    };
    // The link needs no key.
    let api = Api::new(&Config { endpoint: endpoint.clone(), api_key: None }, global.verbose || global.debug)?;
    let claimed = api.get(&format!("/claim/{}", segment(&token))).await?.json()?;
    let key = field(&claimed, "api_key");
    match config::save(&endpoint, &key) {
        Ok(path) => {
            eprintln!("You are {}. The API key is written to {}.", field(&claimed, "user_email"), path.display())
        }
        Err(failure) => {
            // The link works once, so the key must not be lost.
            eprintln!("runvoy: {failure}\n  keep this API key, the link does not work again:");
            output::print(&key)?;
        }
    }
    Ok(())
}

/// The endpoint and the token of a claim link.
fn split_link(link: &str) -> Option<(String, String)> {
    let (origin, rest) = link.trim().split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let token = match query.split('&').find_map(|pair| pair.strip_prefix("token=")) {
        Some(token) => token,
        None => path.trim_end_matches('/').rsplit('/').next()?,
    };
    Some((format!("{origin}://{host}"), token.to_owned()))
}

pub(crate) async fn whoami(context: &Context) -> Result<()> {
    let answer = context.api.get("/me").await?;
    context.show(&answer, |me| {
        let mut text = format!("{}, {} at {}\n", field(&me, "email"), field(&me, "role"), context.config.endpoint);
        let mut resources: Vec<(&str, Vec<&str>)> = Vec::new();
        for permission in me["permissions"].as_array().into_iter().flatten().filter_map(|each| each.as_str()) {
            let (resource, action) = permission.split_once(':').unwrap_or((permission, ""));
            match resources.iter_mut().find(|(known, _)| *known == resource) {
                Some((_, actions)) => actions.push(action),
                None => resources.push((resource, vec![action])),
            }
        }
        for (resource, actions) in resources {
            text.push_str(&format!("  {resource:<12} {}\n", actions.join(", ")));
        }
        output::print(&text)
    })
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
