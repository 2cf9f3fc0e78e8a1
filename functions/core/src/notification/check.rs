//! Checks what a caller sends as a notification.

use std::net::IpAddr;

use http::Uri;
use runvoy_api_types::{
    Channel, DEFAULT_EVENTS, Email, NotificationEvent, NotificationFor, NotificationName, Problem,
    limits::MAX_TIMEOUT_SECONDS,
};

use crate::{
    Error, Result,
    config::{Config, PrivateWebhooks},
    receivers,
};

/// Bytes of a receiver's URL.
const MAX_URL: usize = 2048;
/// Bytes of a name in `for`: those of an image's id are the longest.
const MAX_TARGET: usize = 512;

/// A notification that is to be created.
#[derive(Debug)]
pub struct NewNotification {
    pub name: NotificationName,
    pub channel: Channel,
    pub on: Vec<NotificationEvent>,
    pub r#for: NotificationFor,
    pub slow_after: Option<u64>,
}

impl NewNotification {
    /// # Errors
    /// [`Error::Invalid`] that names the field.
    pub(super) fn check(&mut self, config: &Config) -> Result<()> {
        channel(&self.channel, config)?;
        self.on = events(std::mem::take(&mut self.on))?;
        target(&mut self.r#for)?;
        slow_after(self.slow_after)
    }
}

/// The events that a caller names, each once; the default ones for none.
pub(super) fn events(mut on: Vec<NotificationEvent>) -> Result<Vec<NotificationEvent>> {
    if on.is_empty() {
        return Ok(DEFAULT_EVENTS.to_vec());
    }
    on.sort_unstable();
    on.dedup();
    if on.contains(&NotificationEvent::Test) {
        return Err(Error::invalid("\"test\" is no event of an execution")
            .with_hint("POST /api/v1/notifications/{name}/test tries a notification")
            .at_field("on"));
    }
    Ok(on)
}

/// Checks which executions a notification is about. An empty part means the same as an absent one.
pub(super) fn target(target: &mut NotificationFor) -> Result<()> {
    for (name, part) in [
        ("playbook", &mut target.playbook),
        ("schedule", &mut target.schedule),
        ("user", &mut target.user),
        ("image", &mut target.image),
    ] {
        *part = part.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if part.as_ref().is_some_and(|text| text.len() > MAX_TARGET) {
            return Err(Error::invalid(format!("{name} is longer than any name")).at_field(format!("for.{name}")));
        }
    }
    if let Some(user) = &target.user {
        let user = Email::parse(user).map_err(|problem| Problem { field: Some("for.user".to_owned()), ..problem })?;
        target.user = Some(user.to_string());
    }
    Ok(())
}

pub(super) fn slow_after(seconds: Option<u64>) -> Result<()> {
    match seconds {
        Some(seconds) if !(1..=MAX_TIMEOUT_SECONDS).contains(&seconds) => {
            Err(Error::invalid(format!("slow_after must be 1 to {MAX_TIMEOUT_SECONDS} seconds")).at_field("slow_after"))
        }
        _ => Ok(()),
    }
}

pub(super) fn channel(channel: &Channel, config: &Config) -> Result<()> {
    match channel {
        Channel::Webhook { url: text } => url(text, config).map_err(|error| error.at_field("channel.webhook.url")),
        Channel::Slack { url: Some(text) } => url(text, config).map_err(|error| error.at_field("channel.slack.url")),
        Channel::Slack { url: None } => Err(Error::invalid("url is missing").at_field("channel.slack.url")),
        Channel::Email { address } => {
            Email::parse(address.as_str())
                .map_err(|problem| Problem { field: Some("channel.email.address".to_owned()), ..problem })?;
            Ok(())
        }
    }
}

/// Checks the URL of a receiver. The address of a host that is a name is checked at each delivery, when the name is resolved.
fn url(text: &str, config: &Config) -> Result<()> {
    let bad = |why: &str| Err(Error::invalid(format!("the URL of the receiver {why}")));
    if text.len() > MAX_URL {
        return bad(&format!("has more than {MAX_URL} bytes"));
    }
    let Ok(uri) = text.parse::<Uri>() else { return bad("is not a URL") };
    let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return bad("has no host") };
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if config.private_webhooks != PrivateWebhooks::Off => {}
        _ => return bad("must begin with https://"),
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return bad("must not have a user or a password")
            .map_err(|error: Error| error.with_hint("receivers know runvoy by the signature"));
    }
    let has_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
    if has_port && uri.port_u16().is_none() {
        return bad("has a port that is none");
    }
    match literal(host) {
        Some(address) if !receivers::is_allowed(address, config.private_webhooks) => {
            bad("is in a private network, which webhooks may not reach")
        }
        _ => Ok(()),
    }
}

/// The IP address in a URL that has one in place of a name.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}
