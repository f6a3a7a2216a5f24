//! What a forge client hands to the engine, in the mirror's words.

use annals_core::{Code, EntityKind, Iid, NativeId, Oid, UnixMs};
use annals_db::content::blob::{self, Hash};
use annals_db::content::{
    DiscussionSetIn, EventSetIn, FileSetIn, IssueIn, LabelIn, MergeRequestIn, MilestoneIn, Payload, ProjectIn,
};
use annals_db::ids::JobType;
use annals_net_adapter::http::Validators;
use bytes::Bytes;
use url::Url;

use super::handle::Handle;
use super::paging::{More, Window};

/// A list of a project that has a cursor, in the order in which they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Issues.
    Issues,
    /// Merge requests.
    MergeRequests,
}

impl Stream {
    /// Every stream, in order.
    pub const ALL: [Self; 2] = [Self::Issues, Self::MergeRequests];

    /// The name in tables and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issues => "issues",
            Self::MergeRequests => "merge_requests",
        }
    }

    /// What its rows are.
    #[must_use]
    pub const fn kind(self) -> EntityKind {
        match self {
            Self::Issues => EntityKind::Issue,
            Self::MergeRequests => EntityKind::MergeRequest,
        }
    }

    /// The stream of a kind.
    #[must_use]
    pub const fn of(kind: EntityKind) -> Self {
        match kind {
            EntityKind::Issue => Self::Issues,
            EntityKind::MergeRequest => Self::MergeRequests,
        }
    }

    /// The stream of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.as_str() == name)
    }
}

/// A list of a project without a cursor, fetched whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Catalogue {
    /// Labels.
    Labels,
    /// Milestones.
    Milestones,
}

impl Catalogue {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Labels, Self::Milestones];

    /// The name in tables and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Milestones => "milestones",
        }
    }
}

/// How a project is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectRef {
    /// By the path a person typed; the first time only.
    Path(String),
    /// By the forge's own id, from then on.
    Id(String),
}

/// Where a stream is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PagePosition {
    /// A page of a window.
    Window(Window),
    /// Where an opaque link leads; for this pass only.
    Opaque(Url),
}

/// Where the index of a sweep is read. Kept as text between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexPosition {
    /// At its beginning.
    Start,
    /// Behind a cursor that only the forge understands.
    Cursor(String),
    /// In a list by creation: the lower bound and the page.
    Window(Window),
}

impl IndexPosition {
    /// Reads what [`Self::write`] made; anything else is the beginning.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let window = |text: &str| {
            let (start, page) = text.split_once(':')?;
            let start = match start {
                "" => None,
                ms => Some(UnixMs(ms.parse().ok()?)),
            };
            Some(Self::Window(Window {
                start,
                page: page.parse().ok().filter(|page| *page > 0)?,
            }))
        };
        match text.split_once(':') {
            Some(("after", cursor)) => Self::Cursor(cursor.to_owned()),
            Some(("created", rest)) => window(rest).unwrap_or(Self::Start),
            _ => Self::Start,
        }
    }

    /// The form that is kept.
    #[must_use]
    pub fn write(&self) -> String {
        match self {
            Self::Start => "start".to_owned(),
            Self::Cursor(cursor) => format!("after:{cursor}"),
            Self::Window(Window { start, page }) => {
                let start = start.map_or_else(String::new, |at| at.0.to_string());
                format!("created:{start}:{page}")
            }
        }
    }
}

/// A page of the index of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPage {
    /// What it names. What cannot be read is left out: whoever misses it asks.
    pub entries: Vec<IndexEntry>,
    /// Where it goes on; none at its end.
    pub next: Option<IndexPosition>,
    /// What was odd about the way to it.
    pub odd: Vec<Oddity>,
}

/// An entity as an index names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its number.
    pub iid: Iid,
    /// Its id, where the index tells it.
    pub native_id: Option<NativeId>,
    /// When it was updated, to the second in some indexes; none where that cannot be trusted.
    pub updated_at: Option<UnixMs>,
}

/// A set to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetKey {
    /// Kind of the parent.
    pub kind: EntityKind,
    /// Its number.
    pub iid: Iid,
    /// Which set.
    pub job: JobType,
    /// The head that is known, for what belongs to one.
    pub head_oid: Option<Oid>,
    /// The parent's time that made it owed.
    pub cause_at: UnixMs,
}

/// Validators together with the very request they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Method, URL and token identity.
    pub request: Hash,
    /// What to send with it next time.
    pub validators: Validators,
}

/// An issue or a merge request, in the words of the store.
#[derive(Debug, Clone)]
pub enum EntityRow {
    /// An issue.
    Issue(Box<IssueIn>),
    /// A merge request.
    MergeRequest(Box<MergeRequestIn>),
}

impl EntityRow {
    /// Which of the two it is.
    #[must_use]
    pub const fn kind(&self) -> EntityKind {
        match self {
            Self::Issue(_) => EntityKind::Issue,
            Self::MergeRequest(_) => EntityKind::MergeRequest,
        }
    }
}

/// A row of a page.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it says.
    pub entity: EntityRow,
    /// Its id, which decides ties.
    pub native_id: NativeId,
    /// Its number.
    pub iid: Iid,
    /// When it was updated, where that can be trusted: only such rows move a cursor.
    pub at: Option<UnixMs>,
    /// Its bytes.
    pub raw: Bytes,
}

/// Something odd that was kept; one warning per value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oddity {
    /// What was odd.
    pub what: &'static str,
    /// The word that was not known.
    pub value: String,
}

impl Oddity {
    /// An oddity; a long value is cut.
    #[must_use]
    pub fn new(what: &'static str, value: &str) -> Self {
        Self {
            what,
            value: value.chars().take(40).collect(),
        }
    }
}

/// An item that could not be projected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// The forge's id; without a number the hash of the bytes, where to look for it again, and the
    /// id if there is one: `<hash>@<ms>[@<id>]` comes after the rows of that update time.
    pub native_ref: String,
    /// Its number, where that can be read: it can then be fetched alone.
    pub iid: Option<Iid>,
    /// Its bytes.
    pub raw: Bytes,
    /// `transform` or `iid_conflict`.
    pub code: Code,
    /// What is wrong, without a word of the item.
    pub message: String,
}

impl Page {
    /// Says that rows of an earlier page of the same list come before these: an item without a number
    /// at the head of this page is behind them.
    #[must_use]
    pub fn behind(mut self, before: Option<UnixMs>) -> Self {
        for bad in &mut self.bad {
            let name = Numberless::read(&bad.native_ref).filter(|name| Some(name.after) < before);
            if let (Some(name), Some(before)) = (name, before) {
                let id = name.id.map_or_else(String::new, |id| format!("@{id}"));
                bad.native_ref = format!("{}@{}{id}", name.hash, before.0);
            }
        }
        self
    }
}

impl Bad {
    /// An item that cannot be read. Without id or number it is named by the hash of its bytes.
    #[must_use]
    pub fn unreadable(id: Option<String>, iid: Option<Iid>, raw: &Bytes, message: impl Into<String>) -> Self {
        let native_ref = id
            .filter(|_| iid.is_some())
            .unwrap_or_else(|| blob::hex(&blob::hash(raw)));
        Self {
            native_ref,
            iid,
            raw: raw.clone(),
            code: Code::Transform,
            message: message.into(),
        }
    }

    /// An item that cannot be fetched alone is found again behind the row before it.
    #[must_use]
    pub fn near(mut self, before: Option<UnixMs>) -> Self {
        if self.iid.is_none() {
            let place = before.unwrap_or(UnixMs(0)).0;
            self.native_ref = format!("{}@{place}", self.native_ref);
            let id = Handle::of(&String::from_utf8_lossy(&self.raw)).id;
            if let Some(id) = id.filter(|id| !id.contains('\0')) {
                self.native_ref = format!("{}@{id}", self.native_ref);
            }
        }
        self
    }
}

/// What the name of an item without a number says, as [`Bad::near`] gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numberless<'a> {
    /// The hash of its bytes.
    pub hash: &'a str,
    /// The update time of the row before it.
    pub after: UnixMs,
    /// The forge's id.
    pub id: Option<&'a str>,
}

impl<'a> Numberless<'a> {
    /// Takes a name apart; `None` for an item that has a number.
    #[must_use]
    pub fn read(native_ref: &'a str) -> Option<Self> {
        let (hash, rest) = native_ref.split_once('@')?;
        let (after, id) = rest.split_once('@').map_or((rest, None), |(ms, id)| (ms, Some(id)));
        let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        let after = after.parse().ok().filter(|_| is_hash).map(UnixMs)?;
        Some(Self { hash, after, id })
    }
}

/// One page of a stream.
#[derive(Debug)]
pub struct Page {
    /// Rows that could be read, in the order they came.
    pub rows: Vec<Row>,
    /// Items that could not.
    pub bad: Vec<Bad>,
    /// What was odd about them.
    pub odd: Vec<Oddity>,
    /// Where the list goes on.
    pub more: More,
    /// Validators, where this page is the whole answer.
    pub kept: Option<Kept>,
    /// The server's time.
    pub date: Option<UnixMs>,
    /// Decoded bytes.
    pub bytes: u64,
}

/// A project's own payload.
#[derive(Debug)]
pub struct ProjectAnswer {
    /// What it says.
    pub project: ProjectIn,
    /// What was odd about it.
    pub odd: Vec<Oddity>,
    /// Validators.
    pub kept: Option<Kept>,
}

/// A whole catalogue.
#[derive(Debug)]
pub struct CatalogueAnswer {
    /// Its rows.
    pub rows: CatalogueRows,
    /// Rows that could not be read.
    pub bad: Vec<Bad>,
    /// What was odd about them.
    pub odd: Vec<Oddity>,
    /// In how many pages it came.
    pub shape: annals_db::content::SetShape,
    /// Validators, if in one.
    pub kept: Option<Kept>,
}

/// The rows of a catalogue.
#[derive(Debug)]
pub enum CatalogueRows {
    /// Labels.
    Labels(Vec<LabelIn>),
    /// Milestones.
    Milestones(Vec<MilestoneIn>),
}

/// A whole set.
#[derive(Debug)]
pub struct SetAnswer {
    /// Its children.
    pub set: SetIn,
    /// How many.
    pub items: usize,
    /// Children that could not be read.
    pub bad: Vec<Bad>,
    /// What was odd about them.
    pub odd: Vec<Oddity>,
    /// Its raw pages, where no child keeps its own.
    pub payload: Option<Payload>,
    /// Validators, if it was one answer.
    pub kept: Option<Kept>,
    /// When the fetch began.
    pub began_at: UnixMs,
}

/// The children of a set.
#[derive(Debug)]
pub enum SetIn {
    /// The page of a merge request.
    Detail(Box<MergeRequestIn>),
    /// Discussions with their notes.
    Discussions(DiscussionSetIn),
    /// Resource events.
    Events(EventSetIn),
    /// Changed files.
    Diffs(FileSetIn),
    /// Commits, newest first as the forge lists them.
    Commits(Vec<CommitIn>),
    /// What a merge closes.
    Closes(Vec<ReferenceIn>),
}

/// A commit of a merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitIn {
    /// Its id.
    pub oid: Oid,
    /// First line of its message.
    pub title: String,
    /// All of it.
    pub message: String,
    /// Who wrote it.
    pub author_name: Option<String>,
    /// Their address.
    pub author_email: Option<String>,
    /// When it was written.
    pub author_at: Option<UnixMs>,
    /// When it was committed.
    pub committer_at: Option<UnixMs>,
    /// Ids of its parents.
    pub parents: Vec<Oid>,
}

/// An entity that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceIn {
    /// The project, as people write it.
    pub path: String,
    /// Issue or merge request.
    pub kind: EntityKind,
    /// Its number there.
    pub iid: Iid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_an_index_reads_back() {
        let window = |start, page| IndexPosition::Window(Window { start, page });
        for at in [
            IndexPosition::Start,
            IndexPosition::Cursor("eyJpZCI6Ijci:x".to_owned()),
            window(None, 1),
            window(Some(UnixMs(-5)), 3),
        ] {
            assert_eq!(IndexPosition::read(&at.write()), at);
        }
        for odd in ["", "created:x:1", "created:1:0", "created:1", "before:7"] {
            assert_eq!(IndexPosition::read(odd), IndexPosition::Start, "{odd}");
        }
    }
}
