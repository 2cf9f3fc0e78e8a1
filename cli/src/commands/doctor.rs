//! `runvoy doctor`: looks for what keeps the command line from its work.

use std::time::Instant;

use jiff::Timestamp;
use reqwest::Method;
use runvoy_api_types::{Health, Me};

use crate::{
    api::{Api, Repeat, RequestError},
    arguments::Global,
    config::{self, File},
    failure::{Failure, Result},
    output::{self, cell},
};

/// Seconds that this machine's clock may differ from the server's. Signatures and tokens allow minutes.
const CLOCK_TOLERANCE: i64 = 60;

pub(crate) async fn doctor(global: &Global) -> Result<()> {
    let mut wrong = 0;
    let mut check = |name: &str, finding: Result<String, Failure>| -> Result<()> {
        let (mark, text) = match &finding {
            Ok(text) => ("ok", text.clone()),
            Err(failure) => ("WRONG", failure.to_string().replace("\n  ", "\n                    ")),
        };
        wrong += usize::from(finding.is_err());
        output::print(&format!("{mark:<5}  {name:<12} {text}"))
    };
    check(
        "file",
        File::read().map(|file| match file.names().as_slice() {
            [] => "no profiles".to_owned(),
            names => format!("profiles: {}", names.join(", ")),
        }),
    )?;
    let config = match global.config() {
        Ok(config) => {
            check("endpoint", Ok(format!("{}, by {}", config.endpoint, config.source)))?;
            config
        }
        Err(failure) => {
            check("endpoint", Err(failure))?;
            return Err(Failure::new("1 thing is wrong"));
        }
    };
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        let value = config::variable(name).or_else(|| config::variable(&name.to_ascii_lowercase()));
        if let Some(value) = value {
            check("proxy", Ok(format!("{name}={}", without_password(&value))))?;
        }
    }
    let api = Api::new(&config, global.verbose || global.debug)?;
    let begun = Instant::now();
    match api.send(Method::GET, "/health", None, &[], Repeat::Unsafe).await {
        Ok(answer) => match answer.parse::<Health>() {
            Ok(health) => {
                check("connection", Ok(format!("answers in {} ms", begun.elapsed().as_millis())))?;
                let (own, server) = (env!("CARGO_PKG_VERSION"), cell(health.version));
                check("versions", versions(own, &server))?;
                if let Some(date) = answer.date() {
                    check("clock", clock(date))?;
                }
            }
            Err(failure) => check("connection", Err(failure))?,
        },
        Err(RequestError::Refused { failure, .. } | RequestError::Unreachable { failure, .. }) => {
            check("connection", Err(failure))?;
        }
    }
    match api.send(Method::GET, "/me", None, &[], Repeat::Unsafe).await {
        Ok(answer) => {
            let me = answer.parse::<Me>();
            check("key", me.map(|me| format!("{}, {}", cell(&me.email), me.role)))?;
        }
        Err(RequestError::Refused { failure, .. }) => check("key", Err(failure))?,
        Err(RequestError::Unreachable { .. }) => {}
    }
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::new("1 thing is wrong")),
        wrong => Err(Failure::new(format!("{wrong} things are wrong"))),
    }
}

fn versions(own: &str, server: &str) -> Result<String> {
    if own == server {
        return Ok(format!("{own}, here and there"));
    }
    Err(Failure::new(format!("this program is {own}, the server {server}"))
        .remedy("get the server's version of runvoy, if something does not work"))
}

fn clock(server: Timestamp) -> Result<String> {
    let ahead = Timestamp::now().duration_since(server).as_secs();
    if ahead.abs() <= CLOCK_TOLERANCE {
        return Ok("as the server's".to_owned());
    }
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    Err(Failure::new(format!(
        "this machine's clock is {} {direction} the server's",
        output::seconds_in_words(ahead.abs())
    ))
    .remedy("set the clock: times of lists and --since are wrong by as much"))
}

/// A proxy's URL without what opens it.
fn without_password(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Cannot fail for a URL that has a password.
            let _ = parsed.set_password(Some("***"));
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}
