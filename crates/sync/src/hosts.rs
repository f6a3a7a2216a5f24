//! The hosts that a process talks to, each set up once, so that politeness counts over all its runs.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use annals_core::Code;
use annals_core::config::ForgeSettings;
use annals_net_adapter::Cx;
use annals_net_adapter::http::{HttpClient, HttpConfig, http_client};
use annals_net_adapter::net::{TlsClient, TlsRoots};

use crate::error::Error;
use crate::forge::host::{Host, HostPolicy};

/// The hosts of a process. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct Hosts(Arc<Inner>);

#[derive(Default)]
struct Inner {
    client: Option<Arc<dyn HttpClient>>,
    known: Mutex<BTreeMap<String, Arc<Host>>>,
}

impl Hosts {
    /// Hosts reached through clients of their own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hosts all reached through `client`.
    #[must_use]
    pub fn through(client: Arc<dyn HttpClient>) -> Self {
        Self(Arc::new(Inner {
            client: Some(client),
            known: Mutex::default(),
        }))
    }

    /// The host of a forge, set up if it is new.
    pub(crate) fn of(&self, cx: &Cx, settings: &ForgeSettings, max_wait: Duration) -> Result<Arc<Host>, Error> {
        let authority = settings.base_url.authority().to_owned();
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.get(&authority) {
            return Ok(host.clone());
        }
        let client = match &self.0.client {
            Some(client) => client.clone(),
            None => client_for(cx, settings)?,
        };
        let host = Arc::new(Host::new(authority.clone(), client, policy(settings, max_wait)));
        known.insert(authority, host.clone());
        Ok(host)
    }
}

fn policy(settings: &ForgeSettings, max_wait: Duration) -> HostPolicy {
    let rate = settings.window;
    HostPolicy {
        concurrency: NonZeroUsize::new(settings.concurrency).unwrap_or(NonZeroUsize::MIN),
        requests: NonZeroU32::new(rate.count.saturating_add(rate.burst)).unwrap_or(NonZeroU32::MIN),
        per: rate.period,
        max_wait,
    }
}

fn client_for(cx: &Cx, settings: &ForgeSettings) -> Result<Arc<dyn HttpClient>, Error> {
    let host = settings.base_url.authority();
    let failed = |why: String, code| Error::Client {
        host: host.to_owned(),
        why,
        code,
    };
    let extra: Vec<_> = settings.ca_file.iter().cloned().collect();
    let tls = if settings.base_url.as_str().starts_with("http://") && extra.is_empty() {
        // Nothing to verify, so a machine without certificates can still reach a plain host.
        TlsClient::new(TlsRoots::Bundled, &[])
    } else {
        TlsClient::new(TlsRoots::System, &extra).or_else(|error| match extra.is_empty() {
            true => TlsClient::new(TlsRoots::Bundled, &[]),
            false => Err(error),
        })
    };
    let tls = tls.map_err(|error| failed(error.to_string(), Code::ConfigInvalid))?;
    let config = HttpConfig {
        per_host: settings.concurrency.max(6),
        ..HttpConfig::new(tls)
    };
    http_client(cx, config).map_err(|error| failed(error.to_string(), error.kind.code()))
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosts").finish_non_exhaustive()
    }
}
