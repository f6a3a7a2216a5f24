//! The simulator behind a listener: real sockets, or the virtual ones of the lab.
//!
//! [`Simulator::start`] listens and serves from a region under the caller's; dropping the
//! simulator, or [`Simulator::stop`], ends it. While it runs a test changes the forge with
//! [`Simulator::with_state`] and reads what was asked with [`Simulator::log`]. HTTP/1.1 is spoken
//! byte by byte in `conn`, because faults have to cut between any two bytes.

mod bomb;
mod conn;
mod control;
mod log;

pub use log::{Entry, Stats};

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use annals_core::{CancelReason, Cancelled, Code, Coded, EntityKind, NetworkErrorKind, TaskError};
use annals_net_adapter::{Cx, NetError, Region, RegionReport, RegionSpec, SpawnError};
use thiserror::Error;

use super::churn::{Churn, Deletions};
use super::faults::{Aftermath, Answer, Context, FaultPlan, apply, listed, page_before};
use super::gitlab::{self, Policy, Request};
use super::state::State;
use log::Log;

/// Why the simulator could not start.
#[derive(Debug, Error)]
pub enum Error {
    /// The address cannot be listened at.
    #[error("listen for the simulated forge: {0}")]
    Listen(#[from] NetError),
    /// The caller's region takes no tasks.
    #[error("start the simulated forge: {0}")]
    Spawn(#[from] SpawnError),
    /// The caller was cancelled.
    #[error("serve the simulated forge: {0}")]
    Cancelled(#[from] Cancelled),
}

impl TaskError for Error {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Listen(error) => error.cancel_reason(),
            Self::Spawn(_) => None,
            Self::Cancelled(cancelled) => Some(&cancelled.0),
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Listen(error) if error.kind == NetworkErrorKind::Cancelled => Code::Cancelled,
            Self::Listen(_) => Code::AddressInUse,
            Self::Spawn(_) => Code::Internal,
            Self::Cancelled(_) => Code::Cancelled,
        }
    }
}

/// How long the forge thinks before it answers.
#[derive(Clone)]
pub enum Latency {
    /// Always as long.
    Fixed(Duration),
    /// Depending on the number of the request, from one, and what it asks for.
    By(Arc<dyn Fn(u64, &str) -> Duration + Send + Sync>),
}

impl Latency {
    fn of(&self, number: u64, target: &str) -> Duration {
        match self {
            Self::Fixed(time) => *time,
            Self::By(choose) => choose(number, target),
        }
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(time) => f.debug_tuple("Fixed").field(time).finish(),
            Self::By(_) => f.write_str("By"),
        }
    }
}

/// How the simulator is set up.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// Where it listens; port 0 takes a free one.
    pub addr: SocketAddr,
    /// How long it thinks.
    pub latency: Latency,
    /// What goes wrong.
    pub faults: FaultPlan,
    /// What the faults need to know.
    pub context: Context,
    /// How this GitLab behaves.
    pub policy: Policy,
    /// The pause between two pieces of an answer that comes slowly.
    pub slow: Duration,
    /// How many requests the log keeps; the counters count them all.
    pub log_limit: usize,
    /// Whether `/-/churn` deletes entities too.
    pub deletions: Deletions,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            latency: Latency::Fixed(Duration::ZERO),
            faults: FaultPlan::none(),
            context: Context::default(),
            policy: Policy::default(),
            slow: Duration::from_millis(1),
            log_limit: 20_000,
            deletions: Deletions::Left,
        }
    }
}

/// A forge that answers over connections.
pub struct Simulator {
    shared: Arc<Shared>,
    addr: SocketAddr,
    region: Region,
}

impl Simulator {
    /// Listens and serves until it is stopped, dropped, or the caller's region is cancelled.
    ///
    /// # Errors
    /// [`Error::Listen`] when the address is taken or may not be used, [`Error::Spawn`] when the
    /// caller's region is closing.
    ///
    /// # Cancel safety
    /// A start that does not return has left nothing behind: the listener goes with the future.
    pub async fn start(cx: &Cx, state: State, options: SimOptions) -> Result<Self, Error> {
        let listener = cx.net().listen(cx, options.addr).await?;
        let addr = listener.local_addr();
        let mut options = options;
        if options.context == Context::default() {
            // The same forge under another name: what it answers there must not be believed.
            options.context.elsewhere = format!("http://localhost:{}", addr.port());
        }
        let region = cx.open_region(RegionSpec {
            cleanup: Duration::from_secs(1),
            ..RegionSpec::collect_all("forge-sim")
        })?;
        let shared = Arc::new(Shared::new(state, options));
        let serving = shared.clone();
        region
            .cx()
            .spawn("forge-sim accept", |cx| conn::accept(cx, listener, serving))?;
        Ok(Self { shared, addr, region })
    }

    /// Where it listens, as `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.addr, lock(&self.shared.policy).base_path)
    }

    /// Where it listens, as a socket address.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the project, as a person would paste it.
    #[must_use]
    pub fn project_url(&self) -> String {
        format!(
            "{}/{}",
            self.url(),
            self.with_state(|state| state.project().path.clone())
        )
    }

    /// Reads or changes the forge; no request is answered meanwhile.
    pub fn with_state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.shared.write())
    }

    /// A copy of the forge as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.read().clone()
    }

    /// Puts another fault plan in place of the present one.
    pub fn set_faults(&self, plan: FaultPlan) {
        *lock(&self.shared.faults) = plan;
    }

    /// Changes how this GitLab behaves.
    pub fn with_policy<T>(&self, f: impl FnOnce(&mut Policy) -> T) -> T {
        f(&mut lock(&self.shared.policy))
    }

    /// What was asked since the start or the last [`clear_log`](Self::clear_log).
    #[must_use]
    pub fn stats(&self) -> Stats {
        lock(&self.shared.log).stats().clone()
    }

    /// The latest requests, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        lock(&self.shared.log).entries()
    }

    /// Forgets what was asked.
    pub fn clear_log(&self) {
        lock(&self.shared.log).clear();
    }

    /// Ends it: no connection is accepted or answered any more.
    ///
    /// # Cancel safety
    /// If the future is dropped, the caller's region waits for the last connections instead.
    pub async fn stop(self) -> RegionReport {
        self.region.close_within(Duration::from_secs(1)).await
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// What the connections share.
struct Shared {
    state: RwLock<State>,
    policy: Mutex<Policy>,
    faults: Mutex<FaultPlan>,
    log: Mutex<Log>,
    last_page: Mutex<BTreeMap<EntityKind, Vec<u8>>>,
    churn: Mutex<Churn>,
    context: Context,
    latency: Latency,
    slow: Duration,
}

impl Shared {
    fn new(state: State, options: SimOptions) -> Self {
        Self {
            state: RwLock::new(state),
            policy: Mutex::new(options.policy),
            faults: Mutex::new(options.faults),
            log: Mutex::new(Log::new(options.log_limit)),
            last_page: Mutex::new(BTreeMap::new()),
            churn: Mutex::new(Churn::new(1, options.deletions)),
            context: options.context,
            latency: options.latency,
            slow: options.slow,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what a request gets. Returns it with the fault that was planned for it, by name.
    fn answer(&self, request: &Request) -> (Answer, Option<&'static str>) {
        let policy = lock(&self.policy).clone();
        let fault = lock(&self.faults).decide(request);
        let state = self.read();
        let reply = gitlab::answer(&state, &policy, request);
        // A list of entities may be read in windows, always from page one: its last page is remembered.
        let remembered = listed(request)
            .filter(|_| reply.status == 200)
            .and_then(|kind| lock(&self.last_page).insert(kind, reply.body.clone()));
        match fault {
            None => (reply.into(), None),
            Some(fault) => {
                let before = || page_before(request).map(|other| gitlab::answer(&state, &policy, &other).body);
                let earlier = || remembered.or_else(before);
                (
                    apply(fault, &self.context, &state, request, reply, earlier),
                    Some(fault.name()),
                )
            }
        }
    }

    fn after(&self, then: Aftermath) {
        let mut state = self.write();
        match then {
            Aftermath::Touch(key) => state.touch(key),
            Aftermath::Retitle(key) => {
                let title = format!("Edited while it was read ({})", key.iid);
                state.retitle(key, &title)
            }
        };
    }
}

/// A panic of another test's closure leaves data that is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
