//! A server that makes vectors of texts, with the API of OpenAI (`POST /v1/embeddings`) and that of Ollama
//! (`POST /api/embed`), and with everything that can go wrong at one.
//!
//! Its model, `meaning`, knows a few synonyms: texts with words of one meaning are alike although no letter is. Faults are
//! planned for the requests to come, one for each; what was asked is in a log.

mod answer;
mod meaning;
mod server;

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use annals_core::{CancelReason, Cancelled, Code, Coded, NetworkErrorKind, TaskError};
use annals_net_adapter::{Cx, NetError, Region, RegionReport, RegionSpec, SpawnError};

pub use meaning::{DIMS, vector};

/// The model that the server has.
pub const MODEL: &str = "meaning";

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status and nothing to say.
    Status(u16),
    /// 429 with this `Retry-After`.
    RateLimited(&'static str),
    /// One vector too few.
    OneTooFew,
    /// The items in reverse; `index` says which is which.
    Reversed,
    /// `NaN`, which is no JSON.
    NotANumber,
    /// The last vector is `null`s.
    Nulls,
    /// The last vector is zeros.
    Zeros,
    /// Every vector has one number more.
    OtherDimensions,
    /// The connection closes without an answer.
    Closed,
    /// No answer, for as long as the other side waits.
    Silence,
}

/// How the server is, until it is told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manners {
    /// The longest text it takes, in bytes.
    pub longest: usize,
    /// The key it wants.
    pub key: Option<String>,
    /// The models it has.
    pub models: Vec<String>,
    /// A text with this in it has no vector that can be used.
    pub poison: Option<String>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            longest: usize::MAX,
            key: None,
            models: vec![MODEL.to_owned()],
            poison: None,
        }
    }
}

/// One request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// The model.
    pub model: String,
    /// The texts.
    pub texts: Vec<String>,
    /// The members of the body besides those, as JSON.
    pub others: serde_json::Map<String, serde_json::Value>,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened at.
    #[error("listen for the embedder: {0}")]
    Listen(#[from] NetError),
    /// The caller's region takes no tasks.
    #[error("start the embedder: {0}")]
    Spawn(#[from] SpawnError),
    /// The caller was cancelled.
    #[error("serve the embedder: {0}")]
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

/// A server that embeds.
pub struct EmbedderSim {
    shared: Arc<Shared>,
    addr: SocketAddr,
    region: Region,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    manners: Manners,
    faults: VecDeque<Fault>,
    asked: Vec<Asked>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EmbedderSim {
    /// Listens at a free port of the loopback address and serves until it is stopped, dropped, or the caller's region is
    /// cancelled.
    ///
    /// # Errors
    /// [`Error::Listen`], or [`Error::Spawn`] when the caller's region is closing.
    ///
    /// # Cancel safety
    /// A start that does not return has left nothing behind: the listener goes with the future.
    pub async fn start(cx: &Cx) -> Result<Self, Error> {
        let listener = cx.net().listen(cx, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let addr = listener.local_addr();
        let region = cx.open_region(RegionSpec {
            cleanup: Duration::from_secs(1),
            ..RegionSpec::collect_all("embedder-sim")
        })?;
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        region
            .cx()
            .spawn("embedder-sim accept", |cx| server::accept(cx, listener, serving))?;
        Ok(Self { shared, addr, region })
    }

    /// The base URL for the API of OpenAI.
    #[must_use]
    pub fn openai(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// The base URL for the API of Ollama.
    #[must_use]
    pub fn ollama(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Plans faults for the requests to come, one for each; after them all goes well.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().faults.extend(faults);
    }

    /// Changes how it is.
    pub fn with_manners(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.lock().manners);
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.lock().asked)
    }

    /// Ends it: no connection is accepted or answered any more.
    ///
    /// # Cancel safety
    /// If the future is dropped, the caller's region waits for the last connections instead.
    pub async fn stop(self) -> RegionReport {
        self.region.close_within(Duration::from_secs(1)).await
    }
}

impl fmt::Debug for EmbedderSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbedderSim")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}
