//! Checks the requests to the local ports: programs on this machine may call them, and web pages of other sites may not.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::Response,
};
use runvoy_api_types::is_loopback;

/// Refuses a `Host`, or a host in the request line, that is not a loopback name. A web page whose name was changed to point to this machine
/// sends such a host (DNS rebinding).
pub(super) async fn loopback_only(request: Request, next: Next) -> Response {
    if let Some(refused) = refuse_hosts(request.headers()) {
        return refused;
    }
    if are_hosts(&request, is_loopback) {
        next.run(request).await
    } else {
        refuse("the Host header or the request line does not name this machine; use localhost or 127.0.0.1")
    }
}

/// Tells whether a request names a host, and `is_good` holds for it in each place that names one. A request line may have a whole URL,
/// whose host counts more than the header (RFC 9112, section 3.2.2).
pub(super) fn are_hosts(request: &Request, is_good: impl Fn(&str) -> bool) -> bool {
    let header = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let target = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let mut hosts = header.into_iter().chain(target).peekable();
    hosts.peek().is_some() && hosts.all(|host| host_name(host).is_some_and(&is_good))
}

/// Refuses a request with several `Host` headers (RFC 9112, section 3.2): two programs could take it for requests to different hosts.
pub(super) fn refuse_hosts(headers: &HeaderMap) -> Option<Response> {
    let details = "the request has more than one Host header; send one";
    let has_several = headers.get_all(header::HOST).iter().nth(1).is_some();
    has_several.then(|| super::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", details))
}

/// Refuses a request that a browser sends for a page of another site.
pub(super) async fn same_site_only(request: Request, next: Next) -> Response {
    if is_cross_site(request.headers()) {
        refuse("this port answers no web page of another site; call it from a program on this machine")
    } else {
        next.run(request).await
    }
}

fn refuse(details: &str) -> Response {
    super::error(StatusCode::FORBIDDEN, "FORBIDDEN", details)
}

/// The name or address in a `Host`, without the brackets of an IPv6 address. `None` for a text that is not a host and, if there is one, a
/// port of digits.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    port.is_none_or(is_port).then_some(name)
}

/// Tells whether a browser says that a page of another site sends the request.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let fetched_by_other_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| !["same-origin", "none"].iter().any(|own| site.as_bytes() == own.as_bytes()));
    let origin_is_other = headers.contains_key(header::ORIGIN)
        && text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host) != text(header::HOST);
    fetched_by_other_site || origin_is_other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass() {
        for good in ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"] {
            assert!(host_name(good).is_some_and(is_loopback), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "192.168.0.1",
            "[::2]",
            "0.0.0.0",
            "127.0.0.1:1@example.com",
            "localhost:abc",
            "localhost:",
            "localhost:+80",
            "localhost:80:80",
            "localhost:65536",
            "localhost@example.com",
            "[::1].example.com",
            "[::1]example.com:80",
            "[::1",
            "[localhost]",
            "::1",
        ] {
            assert!(!host_name(bad).is_some_and(is_loopback), "{bad}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_known_by_its_headers() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
        };
        let host = ("host", "localhost:8081");
        assert!(!is_cross_site(&headers(&[host])));
        assert!(!is_cross_site(&headers(&[
            host,
            ("origin", "http://localhost:8081"),
            ("sec-fetch-site", "same-origin")
        ])));
        for foreign in [
            ("origin", "http://example.com"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(is_cross_site(&headers(&[host, foreign])), "{foreign:?}");
        }
    }
}
