//! Which way to an origin: directly, or through the proxy that the environment names.
//!
//! `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, lower case first, as curl reads them.
//! A kind of proxy that is not supported is an error when the client is built, never ignored.

use std::fmt;
use std::net::IpAddr;

use http::HeaderValue;
use url::Url;

use super::address::{Origin, Scheme};
use crate::net::HostPort;
use crate::{Cx, Environment};

/// Where a client takes its proxies from.
#[derive(Debug, Clone, Default)]
pub enum ProxyConfig {
    /// The process's environment, as it was at the start.
    #[default]
    Environment,
    /// These variables instead.
    Variables(Environment),
    /// None: every connection is direct.
    Direct,
}

/// An HTTP proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) at: HostPort,
    /// `Proxy-Authorization`.
    pub(crate) authorization: Option<HeaderValue>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.at)
    }
}

/// The proxies of one client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<Exception>,
}

/// Why a proxy cannot be used. It does not repeat the value, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {why}")]
pub(crate) struct BadProxy {
    variable: &'static str,
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    Everything,
    Name { suffix: String, port: Option<u16> },
    Network { address: IpAddr, bits: u8 },
}

impl Proxies {
    pub(crate) fn from_config(config: &ProxyConfig, cx: &Cx) -> Result<Self, BadProxy> {
        match config {
            ProxyConfig::Direct => Ok(Self::default()),
            ProxyConfig::Variables(variables) => Self::from_env(|key| variables.get(key)),
            ProxyConfig::Environment => Self::from_env(|key| cx.env(key)),
        }
    }

    fn from_env<'a>(env: impl Fn(&str) -> Option<&'a str>) -> Result<Self, BadProxy> {
        let read = |variable: &'static str| env(&variable.to_ascii_lowercase()).or_else(|| env(variable));
        let proxy = |variable| match read(variable).map(str::trim) {
            None | Some("") => Ok(None),
            Some(value) => parse(value).map(Some).map_err(|why| BadProxy { variable, why }),
        };
        let all = proxy("ALL_PROXY")?;
        Ok(Self {
            http: proxy("HTTP_PROXY")?.or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY")?.or(all),
            except: read("NO_PROXY")
                .unwrap_or_default()
                .split(',')
                .filter_map(exception)
                .collect(),
        })
    }

    /// The proxy for an origin; `None` means direct.
    pub(crate) fn of(&self, origin: &Origin) -> Option<&Proxy> {
        let proxy = match origin.scheme {
            Scheme::Http => self.http.as_ref()?,
            Scheme::Https => self.https.as_ref()?,
        };
        if self.except.iter().any(|exception| exception.covers(&origin.at)) {
            None
        } else {
            Some(proxy)
        }
    }
}

fn parse(value: &str) -> Result<Proxy, &'static str> {
    let with_scheme;
    let text = if value.contains("://") {
        value
    } else {
        with_scheme = format!("http://{value}");
        &with_scheme
    };
    let mut url = Url::parse(text).map_err(|_| "not a URL")?;
    if url.scheme() != "http" {
        return Err("only http:// proxies are supported");
    }
    let authorization = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => {
            let plain = [decode(user), b":".to_vec(), decode(password.unwrap_or_default())].concat();
            let mut header =
                HeaderValue::try_from(format!("Basic {}", base64(&plain))).map_err(|_| "unusable password")?;
            header.set_sensitive(true);
            Some(header)
        }
    };
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err("no host");
    }
    let origin = Origin::of(&url).map_err(|_| "no host, or port 0")?;
    Ok(Proxy {
        at: origin.at,
        authorization,
    })
}

fn exception(entry: &str) -> Option<Exception> {
    let entry = entry.trim();
    if entry.is_empty() {
        return None;
    }
    if entry == "*" {
        return Some(Exception::Everything);
    }
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (entry, None),
    };
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let most = if address.is_ipv4() { 32 } else { 128 };
        return Some(Exception::Network {
            address,
            bits: bits.unwrap_or(most).min(most),
        });
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (entry, None),
    };
    let suffix = name.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
    Some(Exception::Name { suffix, port })
}

impl Exception {
    fn covers(&self, at: &HostPort) -> bool {
        match self {
            Self::Everything => true,
            Self::Name { suffix, port } => {
                let host = at.host.trim_end_matches('.');
                let within = host
                    .strip_suffix(suffix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                within && port.is_none_or(|port| port == at.port)
            }
            Self::Network { address, bits } => at.ip().is_some_and(|ip| same_network(ip, *address, *bits)),
        }
    }
}

fn same_network(a: IpAddr, b: IpAddr, bits: u8) -> bool {
    let (a, b, width) = match (a.to_canonical(), b.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let ignored = width - u32::from(bits).min(width);
    (a ^ b).checked_shr(ignored).unwrap_or(0) == 0
}

/// Undoes percent-encoding; what is not a valid escape stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) if byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, i| {
            (bits << 8) | usize::from(group.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            let digit = ALPHABET.get((bits >> (18 - 6 * i)) & 63).copied().unwrap_or(b'=');
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn route(env: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = Proxies::from_env(|key| env.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)).unwrap();
        let origin = Origin::of(&Url::parse(url).unwrap()).unwrap();
        proxies.of(&origin).map(|proxy| proxy.at.to_string())
    }

    #[test]
    fn each_scheme_has_its_proxy_and_lower_case_wins() {
        let env = [
            ("HTTP_PROXY", "http://upper:1"),
            ("http_proxy", "http://lower:2"),
            ("HTTPS_PROXY", "s:3"),
        ];
        assert_eq!(route(&env, "http://h/"), Some("lower:2".into()));
        assert_eq!(route(&env, "https://h/"), Some("s:3".into()));
        assert_eq!(
            route(&[("ALL_PROXY", "http://all")], "https://h/"),
            Some("all:80".into())
        );
        assert_eq!(
            route(&[("ALL_PROXY", "http://all"), ("HTTPS_PROXY", " ")], "https://h/"),
            Some("all:80".into())
        );
        assert_eq!(route(&[], "http://h/"), None);
    }

    #[test]
    fn exceptions_go_directly() {
        for (except, url, direct) in [
            ("*", "http://h/", true),
            ("h", "http://h/", true),
            ("h", "http://www.h/", true),
            (".h", "http://www.h/", true),
            ("*.h", "http://www.h/", true),
            ("h", "http://hh/", false),
            ("H.Example", "http://h.example/", true),
            ("h:80", "http://h/", true),
            ("h:81", "http://h/", false),
            ("10.0.0.0/8", "http://10.255.0.1/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.0.0.0/8", "http://ten.example/", false),
            ("10.1.2.3", "http://10.1.2.3/", true),
            ("10.1.2.3", "http://10.1.2.4/", false),
            ("0.0.0.0/0", "http://9.9.9.9/", true),
            ("::1", "http://[::1]:8080/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd00::/8", "http://[fe80::1]/", false),
            ("a, ,h", "http://h/", true),
            ("", "http://h/", false),
        ] {
            let env = [("HTTP_PROXY", "http://p:1"), ("NO_PROXY", except)];
            assert_eq!(route(&env, url).is_none(), direct, "{except} {url}");
        }
    }

    #[test]
    fn unsupported_proxies_are_errors_that_do_not_repeat_the_value() {
        for value in [
            "socks5://user:SECRET@p:1",
            "https://user:SECRET@p",
            "http://user:SECRET@",
            "http://u:SECRET@p:0",
        ] {
            let error = Proxies::from_env(|key| (key == "ALL_PROXY").then_some(value)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
        }
    }

    #[test]
    fn credentials_become_basic_authorization() {
        let proxy = parse("http://Aladdin:open%20sesame@p:1").unwrap();
        assert_eq!(
            proxy.authorization.as_ref().unwrap(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!(format!("{proxy:?}"), "Proxy(p:1)");
    }

    #[test]
    fn base64_pads() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
