//! A simulated forge, a store and a run of the engine between them.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its part; a test may panic"
)]

pub mod file;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use annals_core::config::{Config, EmbedSettings, ForgeKind, ForgeSettings};
use annals_core::{ProjectId, UnixMs};
use annals_db::control::{Alive, ProcessId};
use annals_db::{Db, OpenOptions, dump};
use annals_net_adapter::Cx;
use annals_sync::{Embedding, Error, Event, Hosts, Progress, SyncOptions, SyncResult, Target};
use annals_testkit::forge::model::{self, sql};
use annals_testkit::forge::{FaultPlan, GenSpec, SimOptions, Simulator, State, Viewer};

/// A folder that lives as long as the test.
pub struct Place {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("annals.db");
        Self { _dir: dir, path }
    }
}

/// Process `pid` of this machine; no other one runs.
pub fn process(pid: i64) -> Alive {
    let me = ProcessId {
        host: "here".to_owned(),
        pid,
        process_start: 1,
    };
    Alive::new(me, |_, _| false)
}

pub struct World {
    pub place: Place,
    pub db: Db,
    pub sim: Simulator,
    pub options: SyncOptions,
}

impl World {
    pub async fn new(cx: &Cx, state: State) -> Self {
        Self::with(cx, state, SimOptions::default()).await
    }

    pub async fn with(cx: &Cx, state: State, options: SimOptions) -> Self {
        let place = Place::new();
        let db = Db::open(cx, &place.path, OpenOptions::write(process(1))).await.unwrap();
        let sim = Simulator::start(cx, state, options).await.unwrap();
        let options = options_for(&sim);
        Self {
            place,
            db,
            sim,
            options,
        }
    }

    /// One run over the simulated project.
    pub async fn sync(&self, cx: &Cx) -> Result<SyncResult, Error> {
        self.sync_as(cx, self.options.clone()).await
    }

    pub async fn sync_as(&self, cx: &Cx, options: SyncOptions) -> Result<SyncResult, Error> {
        let target = Target::Url(self.sim.project_url());
        annals_sync::sync(cx, &self.db, vec![target], options, Progress::silent()).await
    }

    /// One run, with everything it told.
    pub async fn sync_told(&self, cx: &Cx) -> (Result<SyncResult, Error>, Vec<Event>) {
        let (progress, mut events) = Progress::channel(NonZeroUsize::new(100_000).unwrap());
        let target = Target::Url(self.sim.project_url());
        let result = annals_sync::sync(cx, &self.db, vec![target], self.options.clone(), progress).await;
        (result, events.drain())
    }

    /// The mirror in the words of the model.
    pub async fn mirror(&self, cx: &Cx) -> String {
        let native = self.sim.with_state(|state| state.project().id).to_string();
        mirror_of(cx, &self.db, native).await
    }

    /// What a whole mirror of the forge holds.
    pub fn model(&self) -> String {
        model::expected_dump(&self.sim.state())
    }

    /// The mirror equals the model, and nothing is owed.
    pub async fn assert_whole(&self, cx: &Cx, why: &str) {
        let (expected, found) = (self.model(), self.mirror(cx).await);
        if let Some(difference) = model::first_difference(&expected, &found) {
            panic!("{why}: the mirror differs from the model {difference}");
        }
        assert_eq!(self.owed(cx).await, 0, "{why}: something is still owed");
    }

    pub async fn owed(&self, cx: &Cx) -> i64 {
        let id = project_id(cx, &self.db).await;
        self.db
            .read(cx, move |conn| Ok(conn.query_row(sql::OWED, (id,), |row| row.get(0))?))
            .await
            .unwrap()
    }

    pub async fn raw_dump(&self, cx: &Cx) -> String {
        self.db.read(cx, |conn| dump::raw(conn)).await.unwrap()
    }

    pub async fn canonical_dump(&self, cx: &Cx) -> String {
        self.db.read(cx, |conn| dump::canonical(conn)).await.unwrap()
    }

    /// One number from the file.
    pub async fn number(&self, cx: &Cx, sql: &'static str) -> i64 {
        self.db
            .read(cx, move |conn| Ok(conn.query_row(sql, (), |row| row.get(0))?))
            .await
            .unwrap()
    }

    /// One text from the file.
    pub async fn text(&self, cx: &Cx, sql: &'static str) -> Option<String> {
        self.db
            .read(cx, move |conn| Ok(conn.query_row(sql, (), |row| row.get(0))?))
            .await
            .unwrap()
    }

    pub async fn close(self, cx: &Cx) {
        self.db.close(cx).await.unwrap();
        let _report = self.sim.stop().await;
    }
}

pub async fn project_id(cx: &Cx, db: &Db) -> i64 {
    db.read(cx, |conn| {
        Ok(conn.query_row("SELECT min(id) FROM projects", (), |row| row.get(0))?)
    })
    .await
    .unwrap()
}

pub async fn mirror_of(cx: &Cx, db: &Db, native: String) -> String {
    let found = db.read(cx, move |conn| {
        let id: i64 = conn.query_row(sql::PROJECT, (native,), |row| row.get(0))?;
        sql::dump(|query| {
            let mut select = conn.prepare(query)?;
            let lines = select.query_map((id,), |row| row.get(0))?;
            lines
                .collect::<Result<Vec<String>, _>>()
                .map_err(annals_db::Error::from)
        })
    });
    found.await.unwrap()
}

/// Options for a simulator: as polite as it likes, and no politeness of our own.
pub fn options_for(sim: &Simulator) -> SyncOptions {
    let mut settings = ForgeSettings::new(ForgeKind::GitLab, sim.url().parse().unwrap());
    settings.window = "1000000/1s".parse().unwrap();
    settings.token_env = Some("ANNALS_TEST_TOKEN".to_owned());
    let mut config = Config::default();
    config.forges.insert("sim".to_owned(), settings);
    let mut options = SyncOptions::new(&config, Hosts::new());
    options.lock_wait = Duration::ZERO;
    // Whatever the default: every run here ends with its last phase.
    options.embedding = Embedding::With(EmbedSettings::default());
    options
}

/// A project of a few of everything.
pub fn small(seed: u64) -> State {
    State::generated(GenSpec::new(seed).sized(12, 8))
}

pub fn sized(seed: u64, issues: u32, merge_requests: u32) -> State {
    State::generated(GenSpec::new(seed).sized(issues, merge_requests))
}

pub fn faulty(plan: FaultPlan) -> SimOptions {
    SimOptions {
        faults: plan,
        ..SimOptions::default()
    }
}

pub fn row_of(id: i64) -> ProjectId {
    ProjectId(id)
}

pub const MEMBER: Viewer = Viewer::Member;
pub const ZERO: UnixMs = UnixMs(0);
