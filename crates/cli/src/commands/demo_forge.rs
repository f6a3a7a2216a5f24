//! The sample forge of the demo.
//!
//! A mirror knows a forge by its address, so the forge comes back at the address that the file remembers: then a second
//! demo on the same file is a second sync, and mostly hears "not modified".

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use annals_core::config::{BaseUrl, EmbedSettings, ForgeKind, ForgeSettings, Rate};
use annals_core::{Cancelled, Code, Report};
use annals_db::read::{self, Visibility};
use annals_net_adapter::Cx;
use annals_net_adapter::http::{HttpConfig, ProxyConfig, http_client};
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_sync::{Embedding, Hosts, SyncOptions, Target};
use annals_testkit::forge::server::Error as SimError;
use annals_testkit::forge::{SAMPLE_PATH, SimOptions, Simulator, State, sample};

use crate::error::Error;
use crate::session::Session;

/// Where a first demo puts the forge, if it is free: below the range that systems hand out by themselves.
const PREFERRED_PORT: u16 = 18_473;

/// How long a port that is taken is waited for.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// The name of the forge in the file.
const NAME: &str = "sample-forge";

/// The forge, running.
#[derive(Debug)]
pub struct SampleForge {
    simulator: Simulator,
    base_url: BaseUrl,
}

impl SampleForge {
    /// Starts it where the file expects it.
    ///
    /// # Errors
    /// `refused` for a file that holds something else; `address_in_use` when the address that the file expects is taken.
    pub async fn start(cx: &Cx, session: &Session) -> Result<Self, Error> {
        let known = known_port(cx, session).await?;
        let state =
            sample().map_err(|error| Report::new(Code::Internal, format!("the sample cannot be read: {error}")))?;
        let simulator = match known {
            Some(port) => at_port(cx, &state, port).await?,
            None => at_any_port(cx, &state).await?,
        };
        let base_url = simulator.url().parse();
        let base_url =
            base_url.map_err(|_| Report::new(Code::Internal, "the sample forge has an address that is none"))?;
        Ok(Self { simulator, base_url })
    }

    pub fn url(&self) -> String {
        self.simulator.url()
    }

    pub fn project_url(&self) -> String {
        self.simulator.project_url()
    }

    pub fn target(&self) -> Target {
        Target::Url(self.project_url())
    }

    /// How to sync from it: by the configuration, but for this one forge, which needs no politeness and is not to be
    /// looked for behind a proxy.
    ///
    /// # Errors
    /// `internal` if there can be no HTTP client at all.
    pub fn options(&self, cx: &Cx, session: &Session) -> Result<SyncOptions, Report> {
        let no_client = |error: String| Report::new(Code::Internal, format!("no HTTP client: {error}"));
        let tls = TlsClient::new(TlsRoots::Bundled, &[]).map_err(|error| no_client(error.to_string()))?;
        let config = HttpConfig {
            proxy: ProxyConfig::Direct,
            per_host: 8,
            ..HttpConfig::new(tls)
        };
        let client = http_client(cx, config).map_err(|error| no_client(error.to_string()))?;
        let settings = ForgeSettings {
            concurrency: 8,
            window: Rate {
                count: 100_000,
                period: Duration::from_secs(1),
                burst: 0,
            },
            ..ForgeSettings::new(ForgeKind::GitLab, self.base_url.clone())
        };
        let mut options = SyncOptions::new(session.config(), Hosts::through(client));
        options.holder = "annals demo".to_owned();
        // Nothing of a demo leaves this machine, whatever is configured.
        options.embedding = Embedding::With(EmbedSettings::default());
        options.forges.insert(NAME.to_owned(), settings);
        Ok(options)
    }

    /// Ends it.
    pub async fn stop(self, _cx: &Cx) {
        let report = self.simulator.stop().await;
        tracing::debug!(connections = report.drain.completed, "the sample forge has ended");
    }
}

async fn start_at(cx: &Cx, state: &State, port: u16) -> Result<Option<Simulator>, Error> {
    let options = SimOptions {
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        ..SimOptions::default()
    };
    match Simulator::start(cx, state.clone(), options).await {
        Ok(simulator) => Ok(Some(simulator)),
        Err(SimError::Listen(error)) if is_taken(&error) => Ok(None),
        Err(error) => Err(Error::of(&error)),
    }
}

/// At the one port that will do. Another demo needs it for a second or two only.
async fn at_port(cx: &Cx, state: &State, port: u16) -> Result<Simulator, Error> {
    for _ in 0..TRIES {
        if let Some(simulator) = start_at(cx, state, port).await? {
            return Ok(simulator);
        }
        cx.pause(BETWEEN_TRIES)
            .await
            .map_err(|stop| Cancelled(stop.reason().clone()))?;
    }
    Err(taken(port).into())
}

async fn at_any_port(cx: &Cx, state: &State) -> Result<Simulator, Error> {
    if let Some(simulator) = start_at(cx, state, PREFERRED_PORT).await? {
        return Ok(simulator);
    }
    start_at(cx, state, 0).await?.ok_or_else(|| taken(0).into())
}

/// The port that the file remembers; none for a file that is not there yet.
async fn known_port(cx: &Cx, session: &Session) -> Result<Option<u16>, Error> {
    let path = session.db_path()?;
    if !path.exists() {
        return Ok(None);
    }
    let db = match session.mirror(cx).await {
        Ok(db) => db,
        // An empty file is as good as none, and an older one is migrated by the sync.
        Err(Error::Told(report)) if [Code::NotFound, Code::MigrationNeeded].contains(&report.code) => return Ok(None),
        Err(error) => return Err(error),
    };
    let projects = db.read(cx, |conn| read::projects(conn, &Visibility::all())).await;
    let projects = projects.map_err(|error| session.about_mirror(&error))?;
    if projects.iter().any(|row| row.name.path != SAMPLE_PATH) {
        let message = format!(
            "{} is a mirror of other projects, and the demo wants a file of its own",
            path.display()
        );
        return Err(Report::new(Code::Refused, message)
            .with_action("annals demo --db ./annals-demo.db")
            .into());
    }
    let port = |url: &str| url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    Ok(projects.first().and_then(|row| port(&row.name.forge_url)))
}

fn is_taken(error: &annals_net_adapter::NetError) -> bool {
    let io = error.source.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

fn taken(port: u16) -> Report {
    let message = format!("the sample forge of this file was at port {port}, which is taken: does another demo run?");
    Report::new(Code::AddressInUse, message).with_action("annals demo --db ./annals-demo-2.db")
}
