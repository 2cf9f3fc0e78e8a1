//! Reads the URL of an API, and refuses one over which others could read the key.

use crate::failure::{Failure, Result};

/// The variable that allows an endpoint over a network without encryption, as `--allow-http` does.
pub(super) const ALLOW_HTTP: &str = "RUNVOY_ALLOW_HTTP";

/// The endpoint without what users add to it: a final slash, or the path of the API.
///
/// # Errors
/// The text is no URL of HTTP.
pub(crate) fn normal_endpoint(text: &str) -> Result<String> {
    let text = text.trim();
    let url = text.trim_end_matches('/');
    let url = url.strip_suffix("/api/v1").unwrap_or(url);
    match reqwest::Url::parse(url) {
        Ok(parsed) if ["http", "https"].contains(&parsed.scheme()) && parsed.has_host() => Ok(url.to_owned()),
        _ => Err(Failure::new(format!("the endpoint {text:?} is not a URL"))
            .remedy("it wants the API's URL, such as https://abc.lambda-url.eu-west-1.on.aws")),
    }
}

/// # Errors
/// The endpoint would get the key over a network in the clear.
pub(crate) fn check_transport(endpoint: &str) -> Result<()> {
    let url = reqwest::Url::parse(endpoint).ok();
    let is_private =
        url.is_none_or(|url| url.scheme() == "https" || url.host_str().is_some_and(runvoy_api_types::is_loopback));
    if is_private {
        return Ok(());
    }
    Err(Failure::new(format!("{endpoint} is not encrypted, and others could read the API key"))
        .remedy(format!("use https://, or allow it: --allow-http or {ALLOW_HTTP}=1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_may_have_what_users_add() {
        for text in [
            "https://a.example.com",
            "https://a.example.com/",
            "https://a.example.com/api/v1/",
            " https://a.example.com ",
        ] {
            assert_eq!(normal_endpoint(text).unwrap(), "https://a.example.com", "{text}");
        }
        for text in ["", "a.example.com", "ftp://a", "https://"] {
            assert!(normal_endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_crosses_a_network_encrypted_only() {
        for endpoint in ["https://a", "http://localhost:8080", "http://127.0.0.2", "http://[::1]:80"] {
            assert!(check_transport(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in ["http://a", "http://localhost.example.com", "http://10.0.0.1:8080"] {
            assert!(check_transport(endpoint).is_err(), "{endpoint}");
        }
    }
}
