//! What the engine asks of a forge, whichever it is.

use std::pin::Pin;

use annals_core::{EntityKind, Iid};
use annals_db::content::blob::Hash;
use annals_db::ids::GoneReason;
use annals_net_adapter::Cx;
use annals_net_adapter::http::Validators;

use super::budget::Flight;
use super::error::ForgeError;
use super::meter::Meter;
use super::model::{
    Bad, Catalogue, CatalogueAnswer, IndexPage, IndexPosition, Page, PagePosition, ProjectAnswer, ProjectRef, Row,
    SetAnswer, SetKey, Stream,
};
use super::paging::LoopGuard;

/// The future of a trait method: boxed, so that one engine drives every forge.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a fetch comes back with.
pub type Fetch<T> = Result<Answer<T>, ForgeError>;

/// An answer of a forge.
#[derive(Debug)]
pub enum Answer<T> {
    /// It has something.
    New(T),
    /// Nothing has changed since the validators that were sent.
    NotModified,
    /// It is not there: deleted, or missing, which may also mean hidden.
    Gone(GoneReason),
    /// It is somewhere else now: the path and number there, or the address.
    Moved(String),
    /// It is there, but not for us.
    Hidden,
}

/// What a fetch runs with.
#[derive(Clone, Copy)]
pub struct Via<'a> {
    /// Where its bytes are counted.
    pub flight: &'a Flight,
    /// Where its requests are counted.
    pub meter: &'a Meter,
}

/// A page of a stream of a project.
#[derive(Debug, Clone, Copy)]
pub struct PageAt<'a> {
    /// The forge's id of the project.
    pub project: &'a str,
    /// Which list.
    pub stream: Stream,
    /// Where in it.
    pub at: &'a PagePosition,
}

/// A page of the index of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexAt<'a> {
    /// The forge's id of the project.
    pub project: &'a str,
    /// Its path.
    pub path: &'a str,
    /// Of what.
    pub kind: EntityKind,
    /// Where in it.
    pub at: &'a IndexPosition,
}

/// Something a forge can be asked for; what a validator is remembered for.
#[derive(Debug, Clone)]
pub enum Question<'a> {
    /// A project by id.
    Project(&'a ProjectRef),
    /// A whole list.
    Catalogue(&'a str, Catalogue),
    /// A page of a stream.
    Page(PageAt<'a>),
    /// A set.
    Set(&'a str, &'a SetKey),
}

/// A forge that can be mirrored. Nothing but GETs and GraphQL queries leaves through it.
pub trait Forge: Send + Sync {
    /// Host and port, for events and errors.
    fn host(&self) -> &str;

    /// What was learnt about this installation so far: stored with the forge, given back to the
    /// next client of it.
    fn capabilities(&self) -> serde_json::Value;

    /// What identifies the request behind a question, token included; none if it is several.
    fn request_of(&self, question: &Question<'_>) -> Option<Hash>;

    /// A project.
    fn project<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        at: &'a ProjectRef,
        kept: Option<&'a Validators>,
    ) -> BoxFuture<'a, Fetch<ProjectAnswer>>;

    /// A whole list of a project.
    fn catalogue<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        project: &'a str,
        which: Catalogue,
        kept: Option<&'a Validators>,
    ) -> BoxFuture<'a, Fetch<CatalogueAnswer>>;

    /// One page of a stream. `guard` belongs to the pass that reads it.
    fn page<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        place: PageAt<'a>,
        guard: &'a mut LoopGuard,
        kept: Option<&'a Validators>,
    ) -> BoxFuture<'a, Fetch<Page>>;

    /// One entity by its number.
    fn one<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        project: &'a str,
        kind: EntityKind,
        iid: Iid,
    ) -> BoxFuture<'a, Fetch<Result<Row, Bad>>>;

    /// One page of the index of a sweep: numbers and update times of everything there is. `guard`
    /// belongs to the walk.
    fn index<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        place: IndexAt<'a>,
        guard: &'a mut LoopGuard,
    ) -> BoxFuture<'a, Fetch<IndexPage>>;

    /// All pages of one set.
    fn set<'a>(
        &'a self,
        cx: &'a Cx,
        via: Via<'a>,
        project: &'a str,
        key: &'a SetKey,
        kept: Option<&'a Validators>,
    ) -> BoxFuture<'a, Fetch<SetAnswer>>;
}
