//! Parses web origins, and says which of them may use the API from a browser.

use std::fmt;

/// Scheme, host and port, as a browser sends them in the header `Origin` ("The Web Origin Concept", RFC 6454). Two origins are
/// equal when they are the same place: case of the host and the scheme's default port make no difference.
///
/// The parser of the URL Standard is not used: it repairs what it reads (backslashes, tabs, percent signs, numbers for addresses), and a
/// check must refuse that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin that a text names, with or without a final slash. `None` for any other text, one with a path included.
    pub fn parse(text: &str) -> Option<Self> {
        let origin = Self::of_url(text)?;
        let (_, rest) = text.split_once("://")?;
        let path = rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]);
        matches!(path, "" | "/").then_some(origin)
    }

    /// The origin of an `http://` or `https://` URL.
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
            _ => (authority, default_port),
        };
        let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        };
        is_host.then(|| Self { scheme, host: host.to_ascii_lowercase(), port })
    }
}

impl Origin {
    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Tells whether it is a program on this machine.
    pub fn is_loopback(&self) -> bool {
        runvoy_api_types::is_loopback(&self.host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (self.scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

/// The origins whose pages may call the API and open WebSockets, besides the API's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    /// Tells whether `*` is among them.
    pub any: bool,
    listed: Vec<Origin>,
}

impl AllowedOrigins {
    /// Reads a list of origins separated by commas, of which one may be `*`.
    ///
    /// # Errors
    /// The first entry that is no origin.
    pub(super) fn parse(list: &str) -> Result<Self, String> {
        let mut allowed = Self::default();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                allowed.any = true;
            } else {
                allowed.listed.push(Origin::parse(entry).ok_or_else(|| entry.to_owned())?);
            }
        }
        Ok(allowed)
    }

    pub(super) fn add(&mut self, origin: Option<Origin>) {
        self.listed.extend(origin);
    }

    /// Tells whether a page of this origin (the value of the header `Origin`) may call the API. `own` are the origins that the API
    /// itself is reached by. CORS and the WebSocket handshake both ask here.
    pub fn allow(&self, origin: &str, own: &[Origin]) -> bool {
        self.any || Origin::parse(origin).is_some_and(|origin| self.listed.contains(&origin) || own.contains(&origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_places() {
        let same = [
            ("https://App.example.com", "https://app.example.com:443/"),
            ("http://localhost:80", "HTTP://localhost"),
            ("http://[::1]:8080", "http://[::1]:8080/"),
        ];
        for (one, other) in same {
            assert_eq!(Origin::parse(one).unwrap(), Origin::parse(other).unwrap(), "{one} {other}");
        }
        for (one, other) in [("https://a.com", "http://a.com"), ("http://a.com", "http://a.com:8080")] {
            assert_ne!(Origin::parse(one), Origin::parse(other), "{one} {other}");
        }
    }

    #[test]
    fn a_text_that_is_no_origin_is_refused() {
        for bad in [
            "",
            "app.example.com",
            "https://",
            "https://a.com/app",
            "ftp://a.com",
            "https://a b",
            "http://a:x",
            "http://a:0",
            "https://ä.example",
            "https://u@a.com",
            "null",
            "https://a.com?x",
        ] {
            assert_eq!(Origin::parse(bad), None, "{bad}");
        }
        assert_eq!(Origin::of_url("https://a.com/app?x").unwrap().to_string(), "https://a.com");
    }

    #[test]
    fn a_list_may_hold_a_star_and_names_what_it_cannot_read() {
        assert!(AllowedOrigins::parse("https://a.com, *").unwrap().allow("https://b.com", &[]));
        let listed = AllowedOrigins::parse("https://a.com/ ,http://b.com:80").unwrap();
        assert!(listed.allow("https://A.com", &[]) && listed.allow("http://b.com", &[]));
        assert!(!listed.allow("https://c.com", &[]) && !listed.allow("null", &[]));
        assert!(listed.allow("https://c.com", &[Origin::parse("https://c.com").unwrap()]));
        assert_eq!(AllowedOrigins::parse("https://a.com,b.com").unwrap_err(), "b.com");
    }
}
