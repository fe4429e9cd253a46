//! The one guard for URLs that a user supplied: a function must not be talked into calling the
//! inside of the network it runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::{Context, Error, Result, Secret};

/// Accepts an `https` URL of a public host. `ALLOWED_HOSTS` names hosts (`host` or `host:port`,
/// comma-separated) that are accepted whatever they are and by plain `http` too, for tests and for
/// services of one's own. The names that public DNS gives a private address cannot be told here;
/// the platform's network is what stops those.
pub fn guard(cx: &Context, url: &str) -> Result<Uri> {
    let refused =
        |why: &str| Error::bad_request(format!("the URL is not accepted: {why}")).code("URL_REFUSED");
    let uri: Uri = url.parse().map_err(|_| refused("it is malformed"))?;
    let authority = uri.authority().ok_or_else(|| refused("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(refused("it holds a user name"));
    }
    let allowed = cx.secret("ALLOWED_HOSTS").map_or("", Secret::expose);
    if allowed.split(',').map(str::trim).any(|one| one == authority.host() || one == authority.as_str()) {
        return Ok(uri);
    }
    if uri.scheme_str() != Some("https") {
        return Err(refused("only https is"));
    }
    if is_inside(authority.host()) {
        return Err(refused("its host is not a public one"));
    }
    Ok(uri)
}

fn is_inside(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        return match address {
            IpAddr::V4(address) => is_inside_v4(address),
            IpAddr::V6(address) => is_inside_v6(address),
        };
    }
    // `2130706433` and `0x7f.1` are 127.0.0.1 to some resolvers; no public name ends in a number.
    let last = name.rsplit('.').next().unwrap_or("");
    let numeric = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    numeric
        || !name.contains('.')
        || matches!(last, "localhost" | "local" | "internal" | "lan" | "home" | "arpa")
}

fn is_inside_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT, RFC 6598
        || (a == 198 && (18..20).contains(&b)) // benchmarks, RFC 2544
        || (a == 192 && b == 0)
}

fn is_inside_v6(address: Ipv6Addr) -> bool {
    let mapped = address.to_ipv4_mapped().or_else(|| {
        // 64:ff9b::/96 and 6to4 carry an IPv4 address too.
        let [a, b, c, ..] = address.segments();
        let octets = address.octets();
        match (a, b) {
            (0x64, 0xff9b) => Some(Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15])),
            (0x2002, _) => Some(Ipv4Addr::from((u32::from(b) << 16) | u32::from(c))),
            _ => None,
        }
    });
    mapped.is_some_and(is_inside_v4)
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_hosts_are_outside() {
        for host in ["dashboard.cantaloupe.online", "8.8.8.8", "[2606:4700::1111]", "example.com."] {
            assert!(!is_inside(host), "{host}");
        }
        for host in [
            "localhost",
            "metadata.google.internal",
            "printer.local",
            "intranet",
            "127.0.0.1",
            "10.1.2.3",
            "172.20.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "2130706433",
            "0x7f.1",
            "127.1",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
        ] {
            assert!(is_inside(host), "{host}");
        }
    }
}
