//! GitLab, API v4, over REST.
//!
//! [`GitLab`] is the client. `url` knows where things are, `payload` the shapes that come back,
//! `project` and `sets` turn them into what the store takes, `list` walks a list to its end.

mod capability;
mod list;
mod page;
mod payload;
mod project;
mod sets;
mod url;

use std::sync::Arc;

use ::url::Url;
use annals_core::{EntityKind, Iid, Secret, UnixMs};
use annals_db::content::blob::{self, Hash};
use annals_db::content::{EventSetIn, FileSetIn, Payload, SetShape};
use annals_db::ids::{Files, GoneReason, JobType};
use annals_net_adapter::Cx;
use annals_net_adapter::http::Validators;
use http::{HeaderName, HeaderValue};

use self::capability::Capabilities;
use self::list::List;
use self::project::{MrShape, Projection};
use self::url::{EventList, Urls};
use super::error::ForgeError;
use super::host::{Ask, Fresh, Host, Reply};
use super::paging::LoopGuard;
use super::raw::RawItem;
use super::{
    Answer, Bad, BoxFuture, Catalogue, CatalogueAnswer, CatalogueRows, EntityRow, Fetch, Forge, Kept, Oddity, Page,
    PageAt, ProjectAnswer, ProjectRef, Question, Row, SetAnswer, SetIn, SetKey, Via,
};

/// How one installation is reached.
#[derive(Debug, Clone)]
pub struct GitLabOptions {
    /// Scheme, host and path of the installation, without `/api/v4`.
    pub base_url: String,
    /// The credential, if there is one.
    pub token: Option<Secret>,
    /// The environment variables it could have come from; for an error only.
    pub token_variables: Vec<String>,
    /// Rows per page to ask for.
    pub page_size: u32,
    /// What an earlier client learnt about the installation.
    pub capabilities: serde_json::Value,
}

/// A client of one installation.
pub struct GitLab {
    host: Arc<Host>,
    urls: Urls,
    auth: Option<(HeaderName, HeaderValue)>,
    token_variables: Vec<String>,
    token_tag: Hash,
    capabilities: Capabilities,
}

impl GitLab {
    /// A client that speaks through `host`.
    ///
    /// # Errors
    /// [`ForgeError::TokenUnusable`] for a token that cannot be a header or has no read access.
    pub fn new(host: Arc<Host>, options: GitLabOptions) -> Result<Self, ForgeError> {
        let auth = options
            .token
            .as_ref()
            .map(|token| auth_header(&host, token))
            .transpose()?;
        let tag = options
            .token
            .as_ref()
            .map_or(&b""[..], |token| token.expose().as_bytes());
        Ok(Self {
            urls: Urls::new(host.name(), &api_url(&options.base_url), options.page_size),
            auth,
            token_variables: options.token_variables,
            token_tag: blob::hash(tag),
            capabilities: Capabilities::read(&options.capabilities),
            host,
        })
    }

    /// The host this client speaks through.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    async fn get(&self, cx: &Cx, via: Via<'_>, url: &Url, kept: Option<&Validators>) -> Result<Reply, ForgeError> {
        let ask = Ask {
            url,
            auth: self.auth.as_ref(),
            token_variables: &self.token_variables,
            validators: kept,
            flight: via.flight,
            meter: via.meter,
        };
        self.host.get(cx, &ask).await
    }

    /// What is kept of an answer that was one request.
    fn kept(&self, url: &Url, validators: &Validators) -> Kept {
        Kept {
            request: url::request_hash(url, &self.token_tag),
            validators: validators.clone(),
        }
    }

    fn refused(&self, status: u16) -> ForgeError {
        ForgeError::Refused {
            host: self.host.name().to_owned(),
            status,
        }
    }

    async fn fetch_project(
        &self,
        cx: &Cx,
        via: Via<'_>,
        at: &ProjectRef,
        kept: Option<&Validators>,
    ) -> Fetch<ProjectAnswer> {
        let url = self.urls.project(at)?;
        let fresh = match self.get(cx, via, &url, kept).await? {
            Reply::Fresh(fresh) => fresh,
            other => return self.other(other),
        };
        let item = RawItem::object(&fresh.body).map_err(|bad| ForgeError::body(self.host.name(), bad))?;
        let mut projection = Projection::new(now(cx, &fresh));
        let project = project::project(&item, &mut projection).map_err(|bad| {
            ForgeError::protocol(self.host.name(), format!("a project that is none: {}", bad.message))
        })?;
        let kept = Some(self.kept(&url, &fresh.validators));
        Ok(Answer::New(ProjectAnswer {
            project,
            odd: projection.odd,
            kept,
        }))
    }

    async fn fetch_catalogue(
        &self,
        cx: &Cx,
        via: Via<'_>,
        project: &str,
        which: Catalogue,
        kept: Option<&Validators>,
    ) -> Fetch<CatalogueAnswer> {
        let url = self.urls.catalogue(project, which)?;
        let list = match self.list(cx, via, url, kept).await? {
            Answer::New(list) => list,
            Answer::NotModified => return Ok(Answer::NotModified),
            Answer::Gone(reason) => return Ok(Answer::Gone(reason)),
            Answer::Hidden => return Ok(Answer::Hidden),
        };
        let mut projection = Projection::new(list.now);
        let mut bad = Vec::new();
        let rows = match which {
            Catalogue::Labels => CatalogueRows::Labels(keep(&mut bad, &list.items, project::label_row)),
            Catalogue::Milestones => CatalogueRows::Milestones(keep(&mut bad, &list.items, |i| {
                project::milestone_row(i, &mut projection)
            })),
        };
        // What could not be read is to be sent again.
        let is_clean = bad.is_empty();
        Ok(Answer::New(CatalogueAnswer {
            rows,
            bad,
            odd: projection.odd,
            shape: list.shape(),
            kept: list.kept.filter(|_| is_clean),
        }))
    }

    async fn fetch_one(
        &self,
        cx: &Cx,
        via: Via<'_>,
        project: &str,
        kind: EntityKind,
        iid: Iid,
    ) -> Fetch<Result<Row, Bad>> {
        let url = self.urls.one(project, kind, iid.0)?;
        let fresh = match self.get(cx, via, &url, None).await? {
            Reply::Fresh(fresh) => fresh,
            other => return self.other(other),
        };
        let item = RawItem::object(&fresh.body).map_err(|bad| ForgeError::body(self.host.name(), bad))?;
        let mut projection = Projection::new(now(cx, &fresh));
        Ok(Answer::New(row(&item, kind, MrShape::Page, &mut projection)))
    }

    async fn fetch_set(
        &self,
        cx: &Cx,
        via: Via<'_>,
        project: &str,
        key: &SetKey,
        kept: Option<&Validators>,
    ) -> Fetch<SetAnswer> {
        let began_at = cx.unix_ms();
        match self.urls.set(project, key)? {
            None => self.fetch_events(cx, via, project, key, began_at).await,
            Some(url) if key.job == JobType::Detail => self.fetch_detail(cx, via, key, &url, kept, began_at).await,
            Some(url) => {
                let list = match self.list(cx, via, url, kept).await? {
                    Answer::New(list) => list,
                    Answer::NotModified => return Ok(Answer::NotModified),
                    Answer::Gone(reason) => return Ok(Answer::Gone(reason)),
                    Answer::Hidden => return Ok(Answer::Hidden),
                };
                Ok(Answer::New(set_of(list, key, began_at)))
            }
        }
    }

    async fn fetch_detail(
        &self,
        cx: &Cx,
        via: Via<'_>,
        key: &SetKey,
        url: &Url,
        kept: Option<&Validators>,
        began_at: UnixMs,
    ) -> Fetch<SetAnswer> {
        let fresh = match self.get(cx, via, url, kept).await? {
            Reply::Fresh(fresh) => fresh,
            other => return self.other(other),
        };
        let item = RawItem::object(&fresh.body).map_err(|bad| ForgeError::body(self.host.name(), bad))?;
        let mut projection = Projection::new(now(cx, &fresh));
        let entity = match project::merge_request(&item, MrShape::Page, &mut projection) {
            Ok(projected) if projected.entity.entity.iid == key.iid => projected.entity,
            Ok(_) => {
                return Err(ForgeError::protocol(
                    self.host.name(),
                    "another merge request than was asked for",
                ));
            }
            Err(bad) => {
                return Err(ForgeError::protocol(
                    self.host.name(),
                    format!("a merge request that cannot be read: {}", bad.message),
                ));
            }
        };
        Ok(Answer::New(SetAnswer {
            set: SetIn::Detail(Box::new(entity)),
            items: 1,
            bad: Vec::new(),
            odd: projection.odd,
            payload: None,
            kept: None,
            began_at,
        }))
    }

    async fn fetch_events(
        &self,
        cx: &Cx,
        via: Via<'_>,
        project: &str,
        key: &SetKey,
        began_at: UnixMs,
    ) -> Fetch<SetAnswer> {
        let mut set = EventSetIn {
            kinds: Vec::new(),
            events: Vec::new(),
            shape: SetShape::OnePage,
        };
        let (mut bad, mut odd, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for which in EventList::ALL {
            if !self.capabilities.has_events(which) {
                continue;
            }
            let url = self.urls.events(project, key, which)?;
            let list = match self.list(cx, via, url, None).await? {
                Answer::New(list) => list,
                Answer::NotModified => continue,
                Answer::Hidden => return Ok(Answer::Hidden),
                // The entity is gone, or this installation has no such list: its own page tells.
                Answer::Gone(reason) => match self.fetch_one(cx, via, project, key.kind, key.iid).await? {
                    Answer::New(_) | Answer::NotModified => {
                        self.capabilities.without_events(which);
                        odd.push(Oddity::new(
                            "the forge has no list of resource events of a kind",
                            which.as_str(),
                        ));
                        continue;
                    }
                    Answer::Gone(_) => return Ok(Answer::Gone(reason)),
                    Answer::Hidden => return Ok(Answer::Hidden),
                },
            };
            let mut projection = Projection::new(list.now);
            set.kinds.push(which.kind());
            set.events.extend(keep(&mut bad, &list.items, |item| {
                sets::event(item, which, &mut projection)
            }));
            if list.shape() == SetShape::ManyPages {
                set.shape = SetShape::ManyPages;
            }
            odd.extend(projection.odd);
            parts.push((which.as_str(), list.raw()));
        }
        let payload = Payload::from_parts(parts.iter().map(|(name, raw)| (*name, raw.as_slice())));
        let items = set.events.len();
        Ok(Answer::New(SetAnswer {
            set: SetIn::Events(set),
            items,
            bad,
            odd,
            payload: Some(payload),
            kept: None,
            began_at,
        }))
    }

    /// The answers without a body.
    fn other<T>(&self, reply: Reply) -> Fetch<T> {
        match reply {
            Reply::NotModified => Ok(Answer::NotModified),
            Reply::Missing => Ok(Answer::Gone(GoneReason::Missing)),
            Reply::Deleted => Ok(Answer::Gone(GoneReason::Deleted)),
            Reply::Forbidden => Ok(Answer::Hidden),
            Reply::Refused(status) => Err(self.refused(status)),
            Reply::Fresh(_) => Err(ForgeError::protocol(
                self.host.name(),
                "an answer that was not expected",
            )),
        }
    }
}

/// Whether "not modified" is an answer to a job. A new head needs its files recorded even where
/// they are the same as before, and the page of a merge request moves with what made it owed.
const fn can_be_unmodified(job: JobType) -> bool {
    match job {
        JobType::Discussions | JobType::Commits | JobType::Closes => true,
        JobType::Detail | JobType::Diffs | JobType::Events => false,
    }
}

/// What a list under a merge request or issue says.
fn set_of(list: List, key: &SetKey, began_at: UnixMs) -> SetAnswer {
    let mut projection = Projection::new(list.now);
    let mut bad = Vec::new();
    let shape = list.shape();
    let mut payload = None;
    let set = match key.job {
        JobType::Diffs => {
            let files = keep(&mut bad, &list.items, sets::file);
            let cut = files.iter().any(|file| file.too_large);
            SetIn::Diffs(FileSetIn {
                files,
                extent: if cut { Files::Truncated } else { Files::Complete },
                head_oid: key.head_oid.clone(),
                at: Some(key.cause_at),
            })
        }
        JobType::Commits => {
            payload = Some(Payload::from_parts([("commits", list.raw().as_slice())]));
            let mut commits = keep(&mut bad, &list.items, |item| sets::commit(item, &mut projection));
            let mut seen = std::collections::BTreeSet::new();
            commits.retain(|commit| seen.insert(commit.oid.clone()));
            SetIn::Commits(commits)
        }
        JobType::Closes => {
            payload = Some(Payload::from_parts([("closes_issues", list.raw().as_slice())]));
            SetIn::Closes(keep(&mut bad, &list.items, sets::closes))
        }
        // `Detail` and `Events` are not lists of their own; they do not come here.
        JobType::Discussions | JobType::Detail | JobType::Events => {
            let mut notes = Vec::new();
            let discussions = keep(&mut bad, &list.items, |i| {
                sets::discussion(i, &mut projection, &mut notes)
            });
            bad.extend(notes);
            SetIn::Discussions(annals_db::content::DiscussionSetIn { discussions, shape })
        }
    };
    let kept = list.kept.filter(|_| can_be_unmodified(key.job) && bad.is_empty());
    SetAnswer {
        set,
        items: list.items.len(),
        bad,
        odd: projection.odd,
        payload,
        kept,
        began_at,
    }
}

/// Reads the items that can be read; the others go to `bad`.
fn keep<T>(bad: &mut Vec<Bad>, items: &[RawItem], mut read: impl FnMut(&RawItem) -> Result<T, Bad>) -> Vec<T> {
    items
        .iter()
        .filter_map(|item| match read(item) {
            Ok(value) => Some(value),
            Err(one) => {
                bad.push(one);
                None
            }
        })
        .collect()
}

/// A row of a stream.
fn row(item: &RawItem, kind: EntityKind, shape: MrShape, projection: &mut Projection) -> Result<Row, Bad> {
    Ok(match kind {
        EntityKind::Issue => {
            let project::Projected { entity, at } = project::issue(item, projection)?;
            Row {
                native_id: entity.native_id.clone(),
                iid: entity.iid,
                at,
                raw: item.bytes().clone(),
                entity: EntityRow::Issue(Box::new(entity)),
            }
        }
        EntityKind::MergeRequest => {
            let project::Projected { entity, at } = project::merge_request(item, shape, projection)?;
            Row {
                native_id: entity.entity.native_id.clone(),
                iid: entity.entity.iid,
                at,
                raw: item.bytes().clone(),
                entity: EntityRow::MergeRequest(Box::new(entity)),
            }
        }
    })
}

/// The forge's own clock where it shows it: its times are judged by it.
fn now(cx: &Cx, fresh: &Fresh) -> UnixMs {
    fresh.date.unwrap_or_else(|| cx.unix_ms())
}

/// Where the API of an installation is.
#[must_use]
pub fn api_url(base_url: &str) -> String {
    format!("{}/api/v4", base_url.trim_end_matches('/'))
}

/// The header for a token. OAuth tokens are told by their form; the token of a CI job cannot read
/// what a mirror needs.
fn auth_header(host: &Host, token: &Secret) -> Result<(HeaderName, HeaderValue), ForgeError> {
    let text = token.expose();
    let unusable = |why| ForgeError::TokenUnusable {
        host: host.name().to_owned(),
        why,
    };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(unusable("it holds a character that no token has"));
    }
    if text.starts_with("glcbt-") {
        return Err(unusable(
            "it is the token of a CI job, which cannot read issues and merge requests",
        ));
    }
    let is_oauth = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let (name, value) = if is_oauth {
        (
            http::header::AUTHORIZATION,
            HeaderValue::from_str(&format!("Bearer {text}")),
        )
    } else {
        (HeaderName::from_static("private-token"), HeaderValue::from_str(text))
    };
    let mut value = value.map_err(|_| unusable("it cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

impl Forge for GitLab {
    fn host(&self) -> &str {
        self.host.name()
    }

    fn capabilities(&self) -> serde_json::Value {
        self.capabilities.write()
    }

    fn request_of(&self, question: &Question<'_>) -> Option<Hash> {
        let url = match question {
            Question::Project(at) => self.urls.project(at),
            Question::Catalogue(project, which) => self.urls.catalogue(project, *which),
            Question::Page(place) => self.urls.page(*place, self.capabilities.keyset(place.stream)),
            Question::Set(_, key) if !can_be_unmodified(key.job) => return None,
            Question::Set(project, key) => self.urls.set(project, key).transpose()?,
        };
        url.ok().map(|url| url::request_hash(&url, &self.token_tag))
    }

    fn project<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        at: &'a ProjectRef,
        kept: Option<&'a Validators>,
    ) -> BoxFuture<'a, Fetch<ProjectAnswer>> {
        Box::pin(self.fetch_project(cx, via, at, kept))
    }

    fn catalogue<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        project: &'a str,
        which: Catalogue,
        kept: Option<&'a Validators>,
    ) -> BoxFuture<'a, Fetch<CatalogueAnswer>> {
        Box::pin(self.fetch_catalogue(cx, via, project, which, kept))
    }

    fn page<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        place: PageAt<'a>,
        guard: &'a mut LoopGuard,
        kept: Option<&'a Validators>,
    ) -> BoxFuture<'a, Fetch<Page>> {
        Box::pin(self.fetch_page(cx, via, place, guard, kept))
    }

    fn one<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        project: &'a str,
        kind: EntityKind,
        iid: Iid,
    ) -> BoxFuture<'a, Fetch<Result<Row, Bad>>> {
        Box::pin(self.fetch_one(cx, via, project, kind, iid))
    }

    fn set<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        project: &'a str,
        key: &'a SetKey,
        kept: Option<&'a Validators>,
    ) -> BoxFuture<'a, Fetch<SetAnswer>> {
        Box::pin(self.fetch_set(cx, via, project, key, kept))
    }
}
