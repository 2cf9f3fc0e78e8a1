//! Requests to runvoy's API.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::Config,
    failure::{Failure, Result},
};

/// How long a request may take. Lambda's own limit for the API is 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(40);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses before a request is sent again.
const RETRY_AFTER: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// The pause before which a user is told why nothing happens.
const TELL_BEFORE: Duration = Duration::from_secs(1);
/// Characters that may stand in a segment of a path as they are.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) http: reqwest::Client,
    endpoint: String,
    api_key: Option<String>,
    is_verbose: bool,
}

/// Whether a request may be sent again after it may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same request twice has the effect of one.
    Safe,
    /// Only if the server cannot have got it.
    Unsafe,
}

/// The answer to a request that succeeded.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// The body as the API sent it.
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Value> {
        self.parse()
    }

    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_str(&self.text).map_err(|error| {
            Failure::new(format!("the answer is not runvoy's: {error}"))
                .remedy("check the endpoint: `runvoy configure`")
        })
    }

    /// The path of the next page, below the path of the API.
    pub(crate) fn next_page(&self) -> Option<String> {
        let link = self.headers.get("link")?.to_str().ok()?;
        let target = link.strip_prefix('<')?.split_once(">; rel=\"next\"")?.0;
        Some(target.split_once("/api/v1").map_or(target, |(_, path)| path).to_owned())
    }
}

/// An error as the API answers it.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    details: String,
}

/// Why a request has no answer that helps.
pub(crate) enum RequestError {
    /// The API refuses the request.
    Refused { status: StatusCode, failure: Failure },
    /// The API was not reached, or is out of order.
    Unreachable(Failure),
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused { failure, .. } | RequestError::Unreachable(failure) => failure,
        }
    }
}

impl Api {
    pub(crate) fn new(config: &Config, is_verbose: bool) -> Result<Self> {
        // Fails only if there is a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("runvoy/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT);
        if is_on_this_machine(&config.endpoint) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            Failure::new(format!("the HTTP client cannot be set up: {}", causes(&error)))
                .remedy("check HTTPS_PROXY, and the certificates of this machine (SSL_CERT_FILE)")
        })?;
        Ok(Self { http, endpoint: config.endpoint.clone(), api_key: config.api_key.clone(), is_verbose })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        Ok(self.send(Method::GET, path, None, &[], Repeat::Safe).await?)
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Answer> {
        Ok(self.send(Method::DELETE, path, None, &[], Repeat::Safe).await?)
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        Ok(self.send(Method::PUT, path, Some(body), &[], Repeat::Safe).await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        Ok(self.send(Method::POST, path, Some(body), &[], Repeat::Unsafe).await?)
    }

    /// Sends a request, and sends it again if it did not get through or the API is overloaded.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
        repeat: Repeat,
    ) -> Result<Answer, RequestError> {
        let mut pauses = RETRY_AFTER.into_iter();
        loop {
            let (failure, may_repeat) = match self.send_once(&method, path, body, headers).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => {
                    let failure = self.refusal(&answer);
                    let is_overloaded = matches!(answer.status.as_u16(), 429 | 502 | 503 | 504);
                    if !is_overloaded {
                        return Err(RequestError::Refused { status: answer.status, failure });
                    }
                    (failure, repeat == Repeat::Safe || answer.status == StatusCode::TOO_MANY_REQUESTS)
                }
                Err(error) => {
                    // A local system that does not run does not start within seconds.
                    let is_down = error.is_connect() && is_on_this_machine(&self.endpoint);
                    (self.unreachable(&error), !is_down && (repeat == Repeat::Safe || error.is_connect()))
                }
            };
            let Some(pause) = pauses.next().filter(|_| may_repeat) else {
                return Err(RequestError::Unreachable(failure));
            };
            if self.is_verbose || pause == TELL_BEFORE {
                eprintln!("runvoy: {}; trying again", failure.what());
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> reqwest::Result<Answer> {
        let url = format!("{}/api/v1{path}", self.endpoint);
        let mut request = self.http.request(method.clone(), &url).timeout(TIMEOUT);
        if let Some(key) = &self.api_key {
            request = request.header("x-api-key", key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        if self.is_verbose {
            let id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or("none");
            eprintln!("runvoy: {method} {path} is answered {status}, request id {id}");
        }
        Ok(Answer { status, headers, text })
    }

    fn refusal(&self, answer: &Answer) -> Failure {
        let body: ErrorBody = serde_json::from_str(&answer.text).unwrap_or_default();
        let status = answer.status;
        if body.error.is_empty() {
            return Failure::new(format!("{} answers {status}", self.endpoint))
                .remedy("check the endpoint: `runvoy configure`");
        }
        let is_about_key = status == StatusCode::UNAUTHORIZED || body.code == "INVALID_API_KEY";
        let failure = Failure::new(body.error.clone());
        if is_about_key {
            return match self.api_key {
                None => {
                    Failure::new("no API key is configured").remedy("run `runvoy configure`, or set RUNVOY_API_KEY")
                }
                Some(_) => {
                    failure.remedy("run `runvoy configure` with another key, or ask an admin for a new claim link")
                }
            };
        }
        // `details` repeats the error where there is nothing to add.
        let addition = body.details.strip_prefix(&body.error).unwrap_or(&body.details);
        let addition = addition.trim_start_matches([':', ';', '.', ' ']);
        let lists =
            [("executions", "runvoy list"), ("images", "runvoy images list"), ("secrets", "runvoy secrets list")];
        match lists.iter().find(|(kind, _)| addition.starts_with(&format!("GET /api/v1/{kind} lists"))) {
            Some((kind, command)) => failure.remedy(format!("`{command}` lists the {kind}")),
            None if addition.is_empty() => failure,
            None => failure.remedy(addition),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let causes = causes(error);
        let remedy = if causes.contains("certificate") {
            "if your network has a certificate authority of its own, name its file in SSL_CERT_FILE"
        } else if is_on_this_machine(&self.endpoint) {
            "start the local system first: `just run-local`"
        } else {
            "check the endpoint (`runvoy configure`), the network, and the proxy (HTTPS_PROXY, NO_PROXY)"
        };
        Failure::new(format!("{} cannot be reached: {causes}", self.endpoint)).remedy(remedy)
    }
}

/// A segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn is_on_this_machine(endpoint: &str) -> bool {
    let host = reqwest::Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str()))
}

/// The innermost cause of an error, which is the one that says something.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
