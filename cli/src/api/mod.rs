//! Sends requests to runvoy's API.

mod answer;
mod path;
mod refusal;
mod version;
mod with_status;

use std::time::Duration;

use reqwest::{Method, Response, StatusCode, Url, header, redirect::Policy};
use runvoy_api_types::headers;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    backoff::Pauses,
    config::Config,
    failure::{Failure, Result},
};

pub(crate) use answer::{Answer, not_ours};
pub(crate) use path::segment;
use refusal::{Caller, Refusal};
pub(crate) use with_status::WithStatus;

/// The time that a server may send nothing. Lambda's own limit for the API is 30 seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(35);
/// The time that a connection may take, as long as one over a slow network does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After this long, a request is not sent again.
const REPEAT_TIMEOUT: Duration = Duration::from_mins(1);
/// After this long without an answer, users are told what is waited for.
const TELL_AFTER: Duration = Duration::from_secs(5);
/// The pauses before a request is sent again.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(250), Duration::from_secs(8));
/// The number of times that a request is sent again.
const REPETITIONS: u32 = 6;
/// The repetition before which a user is told why nothing happens: it comes after about a second.
const TOLD_REPETITION: u32 = 3;
/// The most redirections that a GET follows.
const MAX_REDIRECTS: usize = 5;

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) http: reqwest::Client,
    endpoint: String,
    api_key: Option<String>,
    withheld: Option<String>,
    is_verbose: bool,
}

/// Says when a request may be sent again after it may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same request twice has the effect of one.
    Safe,
    /// Like `Safe`, and what is not there is as good as removed: an earlier try, whose answer was lost, may have removed it.
    Removal,
    /// Only if the server cannot have got it.
    Unsafe,
}

/// Why a request has no answer that helps.
pub(crate) enum RequestError {
    /// The API refuses the request.
    Refused { status: StatusCode, field: Option<String>, failure: Failure },
    /// The API was not reached, or is out of order.
    Unreachable {
        failure: Failure,
        /// The request may have had its effect. One that only reads has none.
        may_have_arrived: bool,
    },
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unreachable { failure, may_have_arrived: true } => {
                failure.remedy("it may have been done all the same: look before you try it again")
            }
            RequestError::Refused { failure, .. } | RequestError::Unreachable { failure, .. } => failure,
        }
    }
}

/// A request without an answer.
enum Lost {
    Transport(reqwest::Error),
    /// The server leads to another place.
    Redirected(Failure),
}

impl From<reqwest::Error> for Lost {
    fn from(error: reqwest::Error) -> Self {
        Self::Transport(error)
    }
}

impl Api {
    pub(crate) fn new(config: &Config, is_verbose: bool) -> Result<Self> {
        // Fails only if there is a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("runvoy/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(Policy::none());
        if is_on_this_machine(&config.endpoint) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            Failure::new(format!("the HTTP client cannot be set up: {}", causes(&error)))
                .remedy("check HTTPS_PROXY, and the certificates of this machine (SSL_CERT_FILE)")
        })?;
        Ok(Self {
            http,
            endpoint: config.endpoint.clone(),
            api_key: config.api_key.clone(),
            withheld: config.withheld.clone(),
            is_verbose,
        })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn caller(&self) -> Caller<'_> {
        Caller { endpoint: &self.endpoint, has_key: self.has_key(), withheld: self.withheld.as_deref() }
    }

    pub(crate) fn has_key(&self) -> bool {
        self.api_key.is_some()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        Ok(self.send(Method::GET, path, None, &[], Repeat::Safe).await?)
    }

    /// Removes what has this path.
    pub(crate) async fn delete(&self, path: &str) -> Result<Answer> {
        Ok(self.send(Method::DELETE, path, None, &[], Repeat::Removal).await?)
    }

    /// Stops an execution, whose record stays.
    pub(crate) async fn stop(&self, id: &str) -> Result<Answer> {
        Ok(self.send(Method::DELETE, &format!("/executions/{}", segment(id)), None, &[], Repeat::Safe).await?)
    }

    pub(crate) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        Ok(self.send(Method::PUT, path, Some(&json_of(body)?), &[], Repeat::Safe).await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        Ok(self.send(Method::POST, path, Some(&json_of(body)?), &[], Repeat::Unsafe).await?)
    }

    /// Sends a request, and sends it again if it did not get through or the API is overloaded.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        extra: &[(&'static str, &str)],
        repeat: Repeat,
    ) -> Result<Answer, RequestError> {
        let begun = Instant::now();
        let mut pauses = PAUSES;
        let mut repetitions = 0;
        let mut may_have_arrived = false;
        let mut is_answer_lost = false;
        loop {
            let sent = self.send_once(&method, path, body, extra);
            let (failure, may_repeat) = match self.or_tell(begun, sent).await {
                Ok(answer) if answer.status.is_success() => {
                    return match answer.check() {
                        Ok(()) => Ok(answer),
                        Err(failure) => Err(RequestError::Refused { status: answer.status, field: None, failure }),
                    };
                }
                Ok(answer) if answer.status == StatusCode::NOT_FOUND && repeat == Repeat::Removal && is_answer_lost => {
                    return Ok(answer.removed());
                }
                Ok(answer) => {
                    let refusal = Refusal::read(&answer, path, &self.caller());
                    let is_overloaded = matches!(answer.status.as_u16(), 429 | 502 | 503 | 504);
                    if !is_overloaded {
                        let Refusal { field, failure } = refusal;
                        return Err(RequestError::Refused { status: answer.status, field, failure });
                    }
                    let was_taken = answer.status != StatusCode::TOO_MANY_REQUESTS;
                    may_have_arrived |= was_taken;
                    // A server in between answers so for runvoy, which may have done it.
                    is_answer_lost |= matches!(answer.status.as_u16(), 502 | 504);
                    (refusal.failure, repeat != Repeat::Unsafe || !was_taken)
                }
                Err(Lost::Redirected(failure)) => {
                    return Err(RequestError::Refused {
                        status: StatusCode::MISDIRECTED_REQUEST,
                        field: None,
                        failure,
                    });
                }
                Err(Lost::Transport(error)) => {
                    // A local system that does not run does not start within seconds.
                    let is_down = error.is_connect() && is_on_this_machine(&self.endpoint);
                    let was_sent = !(error.is_connect() || error.is_builder());
                    may_have_arrived |= was_sent;
                    is_answer_lost |= was_sent;
                    let may_repeat = !is_down && !error.is_builder() && (repeat != Repeat::Unsafe || !was_sent);
                    (self.unreachable(&error), may_repeat)
                }
            };
            repetitions += 1;
            if !may_repeat || repetitions > REPETITIONS || begun.elapsed() >= REPEAT_TIMEOUT {
                let may_have_arrived = may_have_arrived && !(method == Method::GET && repeat == Repeat::Safe);
                return Err(RequestError::Unreachable { failure, may_have_arrived });
            }
            if self.is_verbose || repetitions == TOLD_REPETITION {
                say!("runvoy: {}; trying again", failure.what());
            }
            pauses.wait().await;
        }
    }

    /// Waits for an answer, and tells the user if it takes long.
    async fn or_tell<T>(&self, begun: Instant, answer: impl Future<Output = T>) -> T {
        tokio::pin!(answer);
        if begun.elapsed() < TELL_AFTER {
            tokio::select! {
                answer = &mut answer => return answer,
                () = tokio::time::sleep_until(begun + TELL_AFTER) => {}
            }
            say!("runvoy: {} has not answered yet; waiting", self.endpoint);
        }
        answer.await
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        extra: &[(&'static str, &str)],
    ) -> Result<Answer, Lost> {
        let mut url = format!("{}/api/v1{path}", self.endpoint);
        let mut redirects = 0;
        let response = loop {
            let mut request = self.http.request(method.clone(), &url);
            if let Some(key) = &self.api_key {
                request = request.header(headers::API_KEY, key);
            }
            for (name, value) in extra {
                request = request.header(*name, *value);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await?;
            let Some(target) = redirection(&response) else { break response };
            redirects += 1;
            let is_same = target.origin() == response.url().origin();
            if method != Method::GET || !is_same || redirects > MAX_REDIRECTS {
                return Err(Lost::Redirected(self.leads_elsewhere(target)));
            }
            url = target.into();
        };
        let (status, received) = (response.status(), response.headers().clone());
        version::compare(&received);
        let text = response.text().await?;
        if self.is_verbose {
            let id = received.get(headers::REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or("none");
            say!("runvoy: {method} {path} is answered {status}, request id {id}");
        }
        Ok(Answer { status, headers: received, text })
    }

    /// A redirection that would carry the key to another place, or lose the request's body.
    fn leads_elsewhere(&self, mut target: Url) -> Failure {
        // Neither belongs on a screen, and neither can fail for a URL with a host.
        let _ = (target.set_username(""), target.set_password(None));
        target.set_query(None);
        Failure::new(format!("{} leads to {target}, and nothing was sent there", self.endpoint)).remedy(
            "if that is where the API is, configure it: `runvoy configure --endpoint URL`, or set RUNVOY_ENDPOINT",
        )
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let causes = causes(error);
        let remedy = if causes.contains("certificate") {
            "if your network has a certificate authority of its own, name its file in SSL_CERT_FILE"
        } else if error.is_timeout() && !error.is_connect() {
            "it takes connections and does not answer: try again later, or look at its log"
        } else if is_on_this_machine(&self.endpoint) && error.is_connect() {
            "start the local system first: `just run-local`"
        } else {
            "check the endpoint (`runvoy config list`), the network, and the proxy (HTTPS_PROXY, NO_PROXY)"
        };
        let failure = if error.is_connect() || error.is_builder() {
            Failure::new(format!("{} cannot be reached: {causes}", self.endpoint))
        } else {
            Failure::new(format!("{} has given no answer: {causes}", self.endpoint))
        };
        failure.remedy(remedy)
    }
}

fn json_of(body: &impl Serialize) -> Result<Value> {
    serde_json::to_value(body).map_err(|error| Failure::new(format!("the request cannot be written: {error}")))
}

fn redirection(response: &Response) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}

fn is_on_this_machine(endpoint: &str) -> bool {
    Url::parse(endpoint).is_ok_and(|url| url.host_str().is_some_and(runvoy_api_types::is_loopback))
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
