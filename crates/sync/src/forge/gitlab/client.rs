//! A client of one installation: its host, its credential, and what was learnt about it.

use std::sync::Arc;

use ::url::Url;
use annals_core::{EntityKind, Iid, Secret, UnixMs};
use annals_db::content::blob::{self, Hash};
use annals_db::ids::GoneReason;
use annals_net_adapter::Cx;
use annals_net_adapter::http::Validators;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::capability::Capabilities;
use super::fetch::can_be_unmodified;
use super::project::{self, MrShape, Projection};
use super::url::{self, Urls};
use crate::forge::error::ForgeError;
use crate::forge::host::{Ask, Fresh, Host, Reply};
use crate::forge::paging::LoopGuard;
use crate::forge::raw::RawItem;
use crate::forge::{
    Answer, Bad, BoxFuture, Catalogue, CatalogueAnswer, EntityRow, Fetch, Forge, IndexAt, IndexPage, Kept, Page,
    PageAt, ProjectAnswer, ProjectRef, Question, Row, SetAnswer, SetKey, Via,
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
    pub(super) host: Arc<Host>,
    pub(super) urls: Urls,
    auth: Option<(HeaderName, HeaderValue)>,
    bearer: Option<(HeaderName, HeaderValue)>,
    token_variables: Vec<String>,
    token_tag: Hash,
    pub(super) capabilities: Capabilities,
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
        let bearer = options.token.as_ref().map(|token| bearer(&host, token)).transpose()?;
        let tag = options
            .token
            .as_ref()
            .map_or(&b""[..], |token| token.expose().as_bytes());
        Ok(Self {
            urls: Urls::new(host.name(), &options.base_url, options.page_size),
            auth,
            bearer,
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

    pub(super) async fn get(
        &self,
        cx: &Cx,
        via: Via<'_>,
        url: &Url,
        kept: Option<&Validators>,
    ) -> Result<Reply, ForgeError> {
        let ask = Ask {
            url,
            query: None,
            auth: self.auth.as_ref(),
            token_variables: &self.token_variables,
            validators: kept,
            flight: via.flight,
            meter: via.meter,
        };
        self.host.ask(cx, &ask).await
    }

    /// Whether GraphQL is worth asking.
    pub(super) fn may_query(&self) -> bool {
        self.bearer.is_some() && self.capabilities.has_graphql()
    }

    /// Posts a GraphQL query, which takes any token as a bearer's.
    pub(super) async fn query(&self, cx: &Cx, via: Via<'_>, url: &Url, query: &Bytes) -> Result<Reply, ForgeError> {
        let ask = Ask {
            url,
            query: Some(query),
            auth: self.bearer.as_ref(),
            token_variables: &self.token_variables,
            validators: None,
            flight: via.flight,
            meter: via.meter,
        };
        self.host.ask(cx, &ask).await
    }

    /// What is kept of an answer that was one request.
    pub(super) fn kept(&self, url: &Url, validators: &Validators) -> Kept {
        Kept {
            request: url::request_hash(url, &self.token_tag),
            validators: validators.clone(),
        }
    }

    pub(super) fn refused(&self, status: u16) -> ForgeError {
        ForgeError::Refused {
            host: self.host.name().to_owned(),
            status,
        }
    }

    /// The answers without a body.
    pub(super) fn other<T>(&self, reply: Reply) -> Fetch<T> {
        match reply {
            Reply::NotModified => Ok(Answer::NotModified),
            Reply::Missing | Reply::Elsewhere(_) => Ok(Answer::Gone(GoneReason::Missing)),
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

/// Reads the items that can be read; the others go to `bad`.
pub(super) fn keep<T>(
    bad: &mut Vec<Bad>,
    items: &[RawItem],
    mut read: impl FnMut(&RawItem) -> Result<T, Bad>,
) -> Vec<T> {
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
pub(super) fn row(item: &RawItem, kind: EntityKind, shape: MrShape, projection: &mut Projection) -> Result<Row, Bad> {
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
pub(super) fn now(cx: &Cx, fresh: &Fresh) -> UnixMs {
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
    if is_oauth {
        return bearer(host, token);
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| unusable("it cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static("private-token"), value))
}

/// The header that OAuth tokens need and that GraphQL takes for all.
fn bearer(host: &Host, token: &Secret) -> Result<(HeaderName, HeaderValue), ForgeError> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| ForgeError::TokenUnusable {
            host: host.name().to_owned(),
            why: "it cannot be sent in a header",
        })?;
    value.set_sensitive(true);
    Ok((http::header::AUTHORIZATION, value))
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

    fn index<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        place: IndexAt<'a>,
        guard: &'a mut LoopGuard,
    ) -> BoxFuture<'a, Fetch<IndexPage>> {
        Box::pin(self.fetch_index(cx, via, place, guard))
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
