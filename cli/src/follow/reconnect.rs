//! Connects to the log of an execution, and connects again after a lost connection for as long as it takes.

use super::{
    Follower,
    socket::{ConnectError, Socket},
};
use crate::{
    api::segment,
    failure::{Failure, Result},
};

impl Follower<'_> {
    pub(super) async fn connect(&mut self) -> Result<()> {
        let Some(url) = self.url.clone() else { return self.ask_for_url().await };
        let address = self.address(&url);
        match Socket::open(self.api, &address).await {
            Ok(socket) => {
                self.socket = Some(socket);
                self.has_connected = true;
            }
            Err(refusal) => {
                // A tunnel's end has another port than the server that the URL names.
                let is_elsewhere = !matches!(refusal, ConnectError::Failed(_)) && !self.has_connected;
                let turned = is_elsewhere && !self.by_endpoint && self.endpoint_address(&url).is_some();
                if is_elsewhere {
                    self.by_endpoint = turned;
                }
                if turned {
                    return Ok(());
                }
                // The token may have expired. The API knows whether the execution is still there.
                self.url = None;
                self.failed(match &refusal {
                    ConnectError::Refused => "the server does not accept the token any more",
                    ConnectError::NotFound(why) | ConnectError::Failed(why) => why,
                })
                .await?;
            }
        }
        Ok(())
    }

    fn address(&self, url: &str) -> String {
        let named = url.strip_prefix("ws").map_or_else(|| url.to_owned(), |rest| format!("http{rest}"));
        let mut address = if self.by_endpoint { self.endpoint_address(url).unwrap_or(named) } else { named };
        address.push_str("&batch=true&status=true");
        if let Some(id) = &self.last_event_id {
            address.push_str("&last_event_id=");
            address.push_str(&segment(id));
        }
        address
    }

    /// The WebSocket at the endpoint's host and port, for a server that names an address of its own machine, if that is another address.
    fn endpoint_address(&self, url: &str) -> Option<String> {
        let mut named = reqwest::Url::parse(&url.replacen("ws", "http", 1)).ok()?;
        let endpoint = reqwest::Url::parse(self.api.endpoint()).ok()?;
        let is_local = named.host_str().is_some_and(runvoy_api_types::is_loopback);
        if !is_local || named.origin() == endpoint.origin() {
            return None;
        }
        named.set_scheme(endpoint.scheme()).ok()?;
        named.set_host(endpoint.host_str()).ok()?;
        named.set_port(endpoint.port()).ok()?;
        Some(named.into())
    }

    pub(super) async fn ask_for_url(&mut self) -> Result<()> {
        self.page = Some(format!("/executions/{}/logs", segment(&self.id)));
        self.read_page().await
    }

    /// After two connections that ended at one place because of a message that is too large for a frame: gets what follows from the API.
    pub(super) fn avoid_large_frame(&mut self) {
        if self.too_large_after.as_ref() == Some(&self.last_event_id) {
            let after = self.last_event_id.as_deref().unwrap_or("0");
            self.page =
                Some(format!("/executions/{}/logs?after={}", segment(&self.id), segment(&format!("e:{after}"))));
        }
        self.too_large_after = Some(self.last_event_id.clone());
    }

    /// Tells the user of a lost connection, and waits before the next one.
    ///
    /// # Errors
    /// There were too many for a reader who wants what there is.
    pub(super) async fn failed(&mut self, why: &str) -> Result<()> {
        self.failed += 1;
        if self.max_failed.is_some_and(|most| self.failed >= most) {
            return Err(Failure::new(format!("the log cannot be read to its present end: {why}")).remedy(format!(
                "try again, or follow the execution for as long as it takes: runvoy logs -f {}",
                self.id
            )));
        }
        self.tell(why);
        self.pauses.wait().await;
        Ok(())
    }

    fn tell(&mut self, why: &str) {
        if !self.told {
            self.told = true;
            say!("runvoy: the connection is lost ({why}); connecting again");
        }
    }

    pub(super) fn heard(&mut self) {
        self.failed = 0;
        self.pauses.reset();
        if self.told {
            self.told = false;
            say!("runvoy: connected again");
        }
    }
}
