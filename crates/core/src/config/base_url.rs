//! The address of a forge, in the one spelling that is stored and compared.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An http or https address: scheme and host in lower case, default port dropped, path kept, no
/// final slash. It has no credentials, query or fragment, so it can be printed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl(String);

/// A text that is no such address. It does not repeat the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an http or https address without credentials, query or fragment")]
pub struct BadBaseUrl;

impl BaseUrl {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, with the port where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// Whether nobody on the way can read what is sent there: https, or this machine itself.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        self.0.starts_with("https://") || self.is_loopback()
    }

    /// Whether it is this machine itself.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let authority = self.authority();
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => authority.split(':').next(),
        };
        let is_here = |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        host.is_some_and(is_here)
    }
}

impl FromStr for BaseUrl {
    type Err = BadBaseUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).ok_or(BadBaseUrl)
    }
}

fn read(text: &str) -> Option<BaseUrl> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let own_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['?', '#', '\\', '@', '"', '<', '>']) {
        return None;
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path.trim_end_matches('/')),
        None => (rest, ""),
    };
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(own_port).unwrap_or(&authority);
    if !is_authority(authority) {
        return None;
    }
    let slash = if path.is_empty() { "" } else { "/" };
    Some(BaseUrl(format!("{scheme}://{authority}{slash}{path}")))
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon of `[::1]` is no port's.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    is_host(host) && port.is_none_or(is_port)
}

/// Whether a text is a host name or an IP address (version 6 in brackets).
pub(super) fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        let bounded = (1..=63).contains(&label.len()) && label.trim_matches('-') == label;
        bounded && label.bytes().all(may_stand)
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_address_has_one_spelling() {
        for (text, canonical, authority) in [
            ("https://GitLab.com", "https://gitlab.com", "gitlab.com"),
            ("HTTPS://gitlab.com:443/", "https://gitlab.com", "gitlab.com"),
            ("http://127.0.0.1:18080", "http://127.0.0.1:18080", "127.0.0.1:18080"),
            ("http://[::1]:80/Forge//", "http://[::1]/Forge", "[::1]"),
            (
                "https://code.example/git/Lab",
                "https://code.example/git/Lab",
                "code.example",
            ),
        ] {
            let url = text.parse::<BaseUrl>();
            assert_eq!(url.as_ref().map(BaseUrl::as_str), Ok(canonical), "{text}");
            assert_eq!(url.as_ref().map(BaseUrl::authority), Ok(authority), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "gitlab.com",
            "ftp://gitlab.com",
            "https://",
            "https:///path",
            "https://user:secret@gitlab.com",
            "https://gitlab.com?x=1",
            "https://gitlab.com/#x",
            "https://git lab.com",
            "https://gitlab.com:0",
            "https://gitlab.com:99999",
            "https://gitlab.com:",
            "https://-x.com",
            "https://a..b",
            "https://[::g]",
            "https://gitläb.com",
            "https://gitlab.com\n",
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(BadBaseUrl), "{text}");
        }
    }

    #[test]
    fn only_this_machine_is_confidential_without_tls() {
        for (text, confidential) in [
            ("https://gitlab.com", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.2/git", true),
            ("http://[::1]:8080", true),
            ("http://gitlab.com", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
            ("http://192.168.0.7", false),
        ] {
            assert_eq!(
                text.parse::<BaseUrl>().unwrap().is_confidential(),
                confidential,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_spelling_is_stable(text in "https?://[a-zA-Z0-9.:@/\\[\\]-]{1,30}") {
            if let Ok(url) = text.parse::<BaseUrl>() {
                prop_assert_eq!(url.as_str().parse::<BaseUrl>(), Ok(url.clone()));
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _outcome = text.parse::<BaseUrl>();
        }
    }
}
