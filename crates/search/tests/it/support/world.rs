//! A file, an embedder behind a socket, and documents to embed.

use std::sync::Arc;

use annals_core::ProjectId;
use annals_core::config::{EmbedProvider, EmbedSettings, SearchMode};
use annals_db::content::{IssueIn, upsert_forge, upsert_issue, upsert_project};
use annals_db::control::{Alive, ProcessId};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::Cx;
use annals_search::answer::{SearchRequest, SearchResults};
use annals_search::documents::{Drained, drain};
use annals_search::embed::{self, Again, Embedded, Embedder, Patience, Plan};
use annals_search::{Error, Way, run_as};
use annals_testkit::embedder::{EmbedderSim, MODEL};

use super::NOW;

pub struct World {
    _folder: tempfile::TempDir,
    pub db: Db,
    pub sim: EmbedderSim,
    pub project: ProjectId,
    pub settings: EmbedSettings,
}

impl World {
    /// With an embedder that speaks as OpenAI does.
    pub async fn openai(cx: &Cx) -> Self {
        Self::with(cx, EmbedProvider::OpenAi).await
    }

    /// With an embedder that speaks as Ollama does.
    pub async fn ollama(cx: &Cx) -> Self {
        Self::with(cx, EmbedProvider::Ollama).await
    }

    async fn with(cx: &Cx, provider: EmbedProvider) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let me = ProcessId {
            host: "here".to_owned(),
            pid: 1,
            process_start: 1,
        };
        let options = OpenOptions::write(Alive::new(me, |_, _| true));
        let db = Db::open(cx, &folder.path().join("annals.db"), options).await.unwrap();
        let made = db.write(cx, |tx| {
            let (forge, _) = upsert_forge(tx, &super::forge())?;
            upsert_project(tx, forge, &super::project("group/app", "100"))
        });
        let (project, _) = made.await.unwrap();
        let sim = EmbedderSim::start(cx).await.unwrap();
        let base = match provider {
            EmbedProvider::Ollama => sim.ollama(),
            _ => sim.openai(),
        };
        let settings = EmbedSettings {
            provider,
            base_url: Some(base.parse().unwrap()),
            model: Some(MODEL.to_owned()),
            ..EmbedSettings::default()
        };
        Self {
            _folder: folder,
            db,
            sim,
            project,
            settings,
        }
    }

    /// Stores issues and makes their documents.
    pub async fn store(&self, cx: &Cx, issues: Vec<IssueIn>) -> Drained {
        let project = self.project;
        let stored = self.db.write(cx, move |tx| {
            for issue in &issues {
                upsert_issue(tx, project, issue)?;
            }
            Ok(())
        });
        stored.await.unwrap();
        drain(cx, &self.db).await.unwrap()
    }

    pub fn embedder(&self, cx: &Cx) -> Arc<dyn Embedder> {
        embed::embedder(cx, &self.settings, Patience::Work).unwrap().unwrap()
    }

    /// Embeds what is owed.
    pub async fn embed(&self, cx: &Cx) -> Result<Embedded, Error> {
        self.embed_some(cx, None).await
    }

    pub async fn embed_some(&self, cx: &Cx, limit: Option<u64>) -> Result<Embedded, Error> {
        let plan = Plan {
            limit,
            again: Again::Always,
        };
        let mut total = Embedded::default();
        embed::owed(cx, &self.db, &self.embedder(cx), plan, &mut total, &|_| {}).await?;
        Ok(total)
    }

    pub async fn search(&self, cx: &Cx, mode: SearchMode, query: &str) -> Result<SearchResults, Error> {
        self.ask(cx, mode, &SearchRequest::new(query, NOW)).await
    }

    pub async fn ask(&self, cx: &Cx, mode: SearchMode, request: &SearchRequest) -> Result<SearchResults, Error> {
        let way = Way {
            mode,
            embed: self.settings.clone(),
        };
        Box::pin(run_as(cx, &self.db, request, &way)).await
    }

    pub async fn number(&self, cx: &Cx, sql: &'static str) -> i64 {
        let read = self
            .db
            .read(cx, move |conn| Ok(conn.query_row(sql, [], |row| row.get(0))?));
        read.await.unwrap()
    }

    /// Every vector with the number of its issue, its part and the set it is in.
    pub async fn vectors(&self, cx: &Cx) -> Vec<(i64, i64, i64, Vec<f32>)> {
        let read = self.db.read(cx, |conn| {
            let mut select = conn.prepare(
                "SELECT i.iid, e.chunk, e.set_id, e.vector FROM embeddings e JOIN documents d ON d.id = e.document_id
                   JOIN issues i ON d.kind = 'issue' AND i.id = d.source_id ORDER BY 1, 3, 2",
            )?;
            let rows = select.query_map([], |row| {
                let vector = annals_search::vector::from_bytes(row.get_ref(3)?.as_blob()?);
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, vector))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        read.await.unwrap()
    }

    pub async fn sql(&self, cx: &Cx, sql: &'static str) {
        self.db.write(cx, move |tx| Ok(tx.execute_batch(sql)?)).await.unwrap();
    }

    pub async fn close(self, cx: &Cx) {
        self.db.close(cx).await.unwrap();
        let _report = self.sim.stop().await;
    }
}
