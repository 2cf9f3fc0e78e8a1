//! Makes the HTTP client for receivers of notifications, which are outside AWS. It connects to public addresses only, unless a setting allows
//! others.
//!
//! A receiver in a private network may be one that trusts everyone who reaches it: the functions' own, or that of the machine that gives
//! out credentials. The addresses that are checked are those that are connected to, because the connector asks this resolver.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use aws_smithy_http_client::{
    Connector,
    tls::{self, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::SharedHttpConnector,
};

use crate::config::PrivateWebhooks;

/// The client for receivers. It follows no redirect, uses no proxy, and connects to no address that the setting does not allow.
pub(crate) fn connector(private: PrivateWebhooks) -> SharedHttpConnector {
    let tls = tls::Provider::rustls(CryptoMode::Ring);
    let connector = Connector::builder().tls_provider(tls).build_with_resolver(Resolver { private });
    SharedHttpConnector::new(connector)
}

/// Tells whether an address is one that everyone reaches ("IANA Special-Purpose Address Registries").
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a >= 240
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // Shared with the provider's customers, and the gateways of container hosts.
        || a == 100 && (64..128).contains(&b)
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || a == 198 && (18..20).contains(&b))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    // Global unicast is 2000::/3. Parts of it lead to IPv4 addresses, or are not routed.
    let embedded = match parts {
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    match address.to_ipv4_mapped() {
        Some(mapped) => is_public_v4(mapped),
        None => {
            parts[0] & 0xe000 == 0x2000
                && !(parts[0] == 0x2001 && (parts[1] < 0x200 || parts[1] == 0xdb8))
                && parts[0] != 0x3fff
        }
    }
}

/// Tells whether the setting allows a receiver at this address.
pub(crate) fn is_allowed(address: IpAddr, private: PrivateWebhooks) -> bool {
    let is_loopback = match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.to_canonical().is_loopback(),
    };
    match private {
        PrivateWebhooks::On => true,
        PrivateWebhooks::Loopback => is_loopback || is_public(address),
        PrivateWebhooks::Off => is_public(address),
    }
}

/// A receiver whose address is in a private network.
#[derive(Debug)]
pub(crate) struct PrivateAddress;

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver's address is in a private network, which webhooks may not reach")
    }
}

impl std::error::Error for PrivateAddress {}

/// Resolves the names of receivers. A name of which any address is refused is refused as a whole.
#[derive(Clone, Debug)]
struct Resolver {
    private: PrivateWebhooks,
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let private = self.private;
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            let addresses: Vec<IpAddr> = found.map(|socket| socket.ip()).collect();
            if addresses.iter().any(|address| !is_allowed(*address, private)) {
                return Err(ResolveDnsError::new(PrivateAddress));
            }
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_refused_in_every_form() {
        for private in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "203.0.113.9",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "fec0::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2001::1",
            "2001:db8::1",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "2a00:1450:4001::5",
            "::ffff:8.8.8.8",
            "2002:808:808::",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_setting_lets_webhooks_reach_this_machine_or_all_networks() {
        let (here, mapped, near) =
            ("127.0.0.1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
        for (private, expected) in [
            (PrivateWebhooks::Off, [false, false, false]),
            (PrivateWebhooks::Loopback, [true, true, false]),
            (PrivateWebhooks::On, [true, true, true]),
        ] {
            assert_eq!([here, mapped, near].map(|address| is_allowed(address, private)), expected, "{private:?}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_resolves_only_where_it_is_allowed() {
        let refused = Resolver { private: PrivateWebhooks::Off }.resolve_dns("localhost").await.unwrap_err();
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains("private network"), "{cause}");
        assert!(!Resolver { private: PrivateWebhooks::Loopback }.resolve_dns("localhost").await.unwrap().is_empty());
        // Forms of an address that a resolver of the operating system understands, and a parser of addresses may not.
        for name in ["2130706433", "0x7f.1", "127.1"] {
            assert!(Resolver { private: PrivateWebhooks::Off }.resolve_dns(name).await.is_err(), "{name}");
        }
    }
}
