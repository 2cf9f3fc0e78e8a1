//! Reads the API's answers.

use std::{fmt::Display, time::Duration};

use jiff::Timestamp;
use reqwest::{StatusCode, header, header::HeaderMap};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use crate::failure::{Failure, Result};

/// The answer to a request that succeeded.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body as the API sent it.
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Value> {
        self.parse()
    }

    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_str(&self.text).map_err(|error| {
            let is_page = self.text.trim_start().starts_with('<');
            if is_page { not_ours(&"it is a page, such as a network's login") } else { not_ours(&error) }
        })
    }

    /// The sentence with which the API says that something is done.
    ///
    /// # Errors
    /// There is none: another server has answered, and nothing is done.
    pub(crate) fn message(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct Done {
            message: String,
        }
        self.parse().map(|done: Done| done.message)
    }

    /// # Errors
    /// The body is no JSON: another server has answered, such as one that asks for a login before it lets anyone into the network.
    pub(super) fn check(&self) -> Result<()> {
        if self.text.is_empty() { Ok(()) } else { self.parse().map(|_: IgnoredAny| ()) }
    }

    /// The answer in place of one that says that there is nothing to remove any more.
    pub(super) fn removed(self) -> Self {
        let text = json!({"message": "It is not there any more"}).to_string();
        Self { status: StatusCode::OK, text, ..self }
    }

    /// The path of the next page, below the path of the API.
    pub(crate) fn next_page(&self) -> Option<String> {
        let link = self.headers.get(header::LINK)?.to_str().ok()?;
        let target = link.strip_prefix('<')?.split_once(">; rel=\"next\"")?.0;
        Some(target.split_once("/api/v1").map_or(target, |(_, path)| path).to_owned())
    }

    /// The server's time, to the second.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        let date = self.headers.get(header::DATE)?.to_str().ok()?;
        jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp() + Duration::from_secs(1))
    }
}

/// The failure for an answer of another program, or of another version of runvoy.
pub(crate) fn not_ours(what: &dyn Display) -> Failure {
    Failure::new(format!("the answer is not runvoy's: {what}"))
        .remedy("check the endpoint (`runvoy config list`) and the versions (`runvoy doctor`)")
}
