//! The application: what handlers share, and the routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annals_db::Db;
use annals_db::read::Visibility;
use annals_net_adapter::Cx;
use axum::Router;
use axum::middleware;
use axum::routing::get;

use crate::http::cursor::Seal;
use crate::http::{guard, problem};
use crate::{api, health, web};

/// What handlers share. It holds no forge client and no credential: a handler can only read the store.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    allowed_hosts: Vec<String>,
    /// Two processes must not give two requests one name.
    id_prefix: u32,
    ids: AtomicU64,
    seal: Seal,
}

impl AppState {
    /// State over an open store. `allowed_hosts` are names beside the loopback ones that a client may use.
    #[must_use]
    pub fn new(cx: &Cx, db: Db, allowed_hosts: Vec<String>) -> Self {
        let mut rng = cx.rng();
        // Cursors are good for this process only; after a restart a client begins its walk again.
        let mut key = [0; 32];
        rng.fill(&mut key);
        Self(Arc::new(Inner {
            db,
            allowed_hosts,
            id_prefix: rng.u32(..),
            ids: AtomicU64::new(1),
            seal: Seal::new(key),
        }))
    }

    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }

    pub(crate) fn seal(&self) -> &Seal {
        &self.0.seal
    }

    /// What a caller without a name may see: everything that is not confidential.
    pub(crate) fn visibility(&self) -> Visibility {
        Visibility::without_confidential()
    }

    pub(crate) fn next_request_id(&self) -> String {
        format!(
            "r-{:08x}-{:x}",
            self.0.id_prefix,
            self.0.ids.fetch_add(1, Ordering::Relaxed)
        )
    }

    pub(crate) fn knows_host(&self, host: &str) -> bool {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.to_canonical().is_loopback());
        is_loopback || self.0.allowed_hosts.iter().any(|h| h.eq_ignore_ascii_case(name))
    }
}

/// Every route, behind the guard that all requests pass.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health", get(health::ready))
        .nest("/v1", api::routes())
        .merge(web::routes())
        .fallback(problem::no_such_route)
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}
