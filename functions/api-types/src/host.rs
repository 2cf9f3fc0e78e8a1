//! Tells which hosts of URLs are the machine on which a program runs.

use std::net::IpAddr;

/// Tells whether a host, as a URL or a `Host` header names it without its port, is this machine: `localhost`, or a loopback address, with or
/// without the brackets of an IPv6 address. A name that only resolves to this machine is not.
pub fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn this_machine_is_localhost_and_its_loopback_addresses() {
        for here in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(here), "{here}");
        }
        for other in [
            "",
            "localhost.example.com",
            "example.com",
            "10.0.0.1",
            "127.0.0.1.example.com",
            "[::2]",
            "[localhost]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
