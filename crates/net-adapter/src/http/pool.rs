//! Connections that wait to be used again, and the permits that bound how many there are.
//!
//! A request holds one of its origin's permits until its body has ended; the connection goes back
//! before the permit does, so that whoever gets the permit finds it. No task watches the pool: what
//! has waited too long is dropped when somebody next looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals_core::{Cancelled, MonoTime};

use super::address::Origin;
use super::wire::Wire;
use crate::Cx;
use crate::sync::{SemPermit, Semaphore};
use crate::token::lock;

/// A redirect's or an unread answer's body up to this size is read to keep the connection.
const WORTH_READING: usize = 64 * 1024;

/// The connections of one client.
pub(crate) struct Pool {
    per_host: usize,
    idle_limit: Duration,
    hosts: Mutex<Hosts>,
}

#[derive(Default)]
struct Hosts {
    of: BTreeMap<Origin, Arc<Host>>,
    swept: MonoTime,
}

/// The connections to one origin.
pub(crate) struct Host {
    permits: Semaphore,
    /// The most recently used one last.
    idle: Mutex<Vec<Idle>>,
    idle_limit: Duration,
}

struct Idle {
    wire: Box<dyn Wire>,
    since: MonoTime,
}

/// The right to one connection.
pub(crate) struct Permit {
    host: Arc<Host>,
    _slot: SemPermit,
}

/// A connection in use. Dropping it closes the connection and then gives the permit back.
pub(crate) struct Lease {
    pub(crate) wire: Box<dyn Wire>,
    permit: Permit,
}

impl Pool {
    pub(crate) fn new(per_host: usize, idle_limit: Duration) -> Self {
        Self {
            per_host: per_host.max(1),
            idle_limit,
            hosts: Mutex::default(),
        }
    }

    /// The connections to `origin`.
    pub(crate) fn host(&self, origin: &Origin, now: MonoTime) -> Arc<Host> {
        let mut expired = Vec::new();
        let mut hosts = lock(&self.hosts);
        if now.since(hosts.swept) >= self.idle_limit {
            hosts.swept = now;
            hosts.of.retain(|_, host| {
                expired.append(&mut host.take_expired(now));
                Arc::strong_count(host) > 1 || !lock(&host.idle).is_empty()
            });
        }
        let host = hosts.of.entry(origin.clone()).or_insert_with(|| {
            Arc::new(Host {
                permits: Semaphore::new(self.per_host),
                idle: Mutex::default(),
                idle_limit: self.idle_limit,
            })
        });
        let host = host.clone();
        drop(hosts);
        // Sockets close outside the lock.
        drop(expired);
        host
    }
}

impl Host {
    /// Waits for the right to a connection, first come, first served. The permit is not counted in
    /// the region of `cx`: a response may be carried out of it.
    pub(crate) async fn permit(self: Arc<Self>, cx: &Cx) -> Result<Permit, Cancelled> {
        let slot = self.permits.acquire_uncounted(cx, 1).await?;
        Ok(Permit {
            host: self,
            _slot: slot,
        })
    }

    fn take_expired(&self, now: MonoTime) -> Vec<Idle> {
        lock(&self.idle)
            .extract_if(.., |idle| now.since(idle.since) >= self.idle_limit)
            .collect()
    }
}

impl Permit {
    /// A connection that was used before and still seems good.
    pub(crate) fn take_idle(&self, now: MonoTime) -> Option<Box<dyn Wire>> {
        drop(self.host.take_expired(now));
        loop {
            let idle = lock(&self.host.idle).pop();
            let mut wire = idle?.wire;
            if wire.is_reusable() {
                return Some(wire);
            }
        }
    }

    pub(crate) fn lease(self, wire: Box<dyn Wire>) -> Lease {
        Lease { wire, permit: self }
    }
}

impl Lease {
    /// Ends the use; the connection is kept if its exchange is complete and the peer agrees.
    pub(crate) fn finish(mut self, now: MonoTime) {
        if self.wire.is_reusable() {
            let idle = Idle {
                wire: self.wire,
                since: now,
            };
            lock(&self.permit.host.idle).push(idle);
        }
    }

    /// Ends the use without wanting the answer's body: it is skipped if it is already here.
    pub(crate) fn discard(mut self, now: MonoTime) {
        let mut context = Context::from_waker(Waker::noop());
        let mut skipped = 0;
        while skipped <= WORTH_READING {
            match self.wire.poll_data(&mut context) {
                Poll::Ready(Some(Ok(data))) => skipped += data.len(),
                Poll::Ready(None) => return self.finish(now),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return,
            }
        }
    }
}
