//! What may be requested, from whom, and how a URL is shown.

use std::fmt;

use url::{Host, Url};

use crate::net::HostPort;

/// The URL that answered, after redirects; an extension of every response.
///
/// `Debug` and `Display` show the origin only: paths and queries can hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct FinalUrl(pub Url);

impl fmt::Display for FinalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Origin::of(&self.0) {
            Ok(origin) => write!(f, "{origin}/…"),
            Err(_) => f.write_str("(not an http address)"),
        }
    }
}

impl fmt::Debug for FinalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FinalUrl({self})")
    }
}

/// The two schemes this client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Whom a secret may be shown to: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) at: HostPort,
}

impl Origin {
    /// The origin of a URL that can be requested.
    pub(crate) fn of(url: &Url) -> Result<Self, BadUrl> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(BadUrl::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl::Userinfo);
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(Host::Domain(_)) | None => return Err(BadUrl::NoHost),
        };
        let port = url.port().unwrap_or(scheme.default_port());
        if port == 0 {
            return Err(BadUrl::Port);
        }
        Ok(Self {
            scheme,
            at: HostPort { host, port },
        })
    }

    /// What belongs into the `Host` header.
    pub(crate) fn authority(&self) -> String {
        let bare = || match self.at.ip() {
            Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => self.at.host.clone(),
        };
        if self.at.port == self.scheme.default_port() {
            bare()
        } else {
            self.at.to_string()
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.at)
    }
}

/// Why a URL cannot be requested. It does not repeat the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadUrl {
    #[error("not an absolute URL")]
    NotAbsolute(#[source] url::ParseError),
    #[error("the scheme is neither http nor https")]
    Scheme,
    #[error("a user name or password in the URL")]
    Userinfo,
    #[error("no host")]
    NoHost,
    #[error("port 0")]
    Port,
}

/// Parses what a caller wants to request.
pub(crate) fn parse(uri: &http::Uri) -> Result<(Url, Origin), BadUrl> {
    let url = Url::parse(&uri.to_string()).map_err(BadUrl::NotAbsolute)?;
    let origin = Origin::of(&url)?;
    Ok((url, origin))
}

/// The request target of a direct request: path and query.
pub(crate) fn origin_form(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn origin(url: &str) -> Result<Origin, BadUrl> {
        parse(&url.parse().unwrap()).map(|(_, origin)| origin)
    }

    #[test]
    fn only_plain_http_urls_can_be_requested() {
        for (url, expected) in [
            ("ftp://h/a", BadUrl::Scheme),
            ("http://user@h/", BadUrl::Userinfo),
            ("https://user:secret@h/", BadUrl::Userinfo),
            ("http://:secret@h/", BadUrl::Userinfo),
            ("http://h:0/", BadUrl::Port),
            ("/a/b", BadUrl::NotAbsolute(url::ParseError::RelativeUrlWithoutBase)),
        ] {
            assert_eq!(origin(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn origins_compare_by_scheme_host_and_port() {
        assert_eq!(origin("http://h/a"), origin("http://H:80/b?c"));
        assert_eq!(origin("https://h").unwrap().to_string(), "https://h:443");
        assert_ne!(origin("http://h:443/"), origin("https://h:443/"));
        assert_ne!(origin("http://h/"), origin("http://h:81/"));
        assert_ne!(origin("http://h/"), origin("http://www.h/"));
    }

    #[test]
    fn host_header_omits_only_the_default_port() {
        for (url, expected) in [
            ("http://h/", "h"),
            ("http://h:80/", "h"),
            ("http://h:443/", "h:443"),
            ("https://h:443/", "h"),
            ("http://[::1]/", "[::1]"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
        ] {
            assert_eq!(origin(url).unwrap().authority(), expected, "{url}");
        }
    }

    #[test]
    fn a_final_url_shows_its_origin_only() {
        let url = FinalUrl(Url::parse("https://h/services/SECRET?private_token=SECRET#SECRET").unwrap());
        assert_eq!(format!("{url} {url:?}"), "https://h:443/… FinalUrl(https://h:443/…)");
    }
}
