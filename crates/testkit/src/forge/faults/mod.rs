//! Everything that can go wrong between a forge and its reader, by name.
//!
//! A [`Fault`] is one misbehaviour; its [`Effect`] is what a correct reader makes of it, so that a
//! test can run them all and know what to expect of each. A [`FaultPlan`] says which requests are
//! hit. [`apply`] turns a good reply into a bad one; how the bytes travel is a [`Delivery`], and
//! what happens to the forge behind the reader's back is an [`Aftermath`].

mod apply;
mod plan;

pub use apply::{Aftermath, Answer, Delivery, apply};
pub(super) use apply::{listed, page_before};
pub use plan::{Context, FaultPlan, Rule, When};

/// What a correct reader makes of a fault that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does not notice, or copes at once: the run succeeds.
    Harmless,
    /// It tries again in the same run, which succeeds: the fault is transient.
    Retried,
    /// Something ends with one of these error codes; the next run is whole.
    NextRun(&'static [&'static str]),
    /// One item is set aside and named, everything around it is stored; a later run is whole.
    Quarantined,
}

impl Effect {
    /// Whether trying again in the same run helps.
    #[must_use]
    pub fn is_transient(self) -> bool {
        self == Self::Retried
    }
}

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal => $effect:expr;)+) => {
        /// One misbehaviour of the forge or of the way to it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name on a command line and in a log.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What a correct reader makes of it.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self { $(Self::$variant => $effect,)+ }
            }
        }
    };
}

const PROTOCOL: Effect = Effect::NextRun(&["protocol"]);
const NETWORK: Effect = Effect::NextRun(&["network"]);

faults! {
    /// 429 with `Retry-After`.
    TooManyRequests = "too-many-requests" => Effect::Retried;
    /// 503 with `Retry-After`.
    Unavailable = "unavailable" => Effect::Retried;
    /// 500.
    InternalError = "internal-error" => Effect::Retried;
    /// 502 with an HTML page, as a proxy sends it.
    BadGateway = "bad-gateway" => Effect::Retried;
    /// 401 although the token was right.
    Unauthorized = "unauthorized" => Effect::NextRun(&["auth_rejected"]);
    /// 403 without any rate header.
    Forbidden = "forbidden" => Effect::NextRun(&["forbidden"]);
    /// The connection ends before a byte of the answer.
    CloseBeforeHead = "close-before-head" => Effect::Retried;
    /// The connection is reset before a byte of the answer.
    ResetBeforeHead = "reset-before-head" => Effect::Retried;
    /// The connection ends in the middle of the head.
    CloseInHead = "close-in-head" => Effect::Retried;
    /// The connection ends in the middle of a body whose length was announced.
    CloseInBody = "close-in-body" => Effect::Retried;
    /// The connection is reset in the middle of the body.
    ResetInBody = "reset-in-body" => Effect::Retried;
    /// The connection ends between two chunks of a chunked body.
    CloseInChunks = "close-in-chunks" => Effect::Retried;
    /// The announced length is longer than the body; then the connection ends.
    LongLength = "long-length" => Effect::Retried;
    /// The announced length is shorter than the body: what counts as the body is not whole JSON.
    ShortLength = "short-length" => PROTOCOL;
    /// Half of the JSON, with the length of that half.
    TruncatedJson = "truncated-json" => PROTOCOL;
    /// A body that is no JSON at all.
    MalformedJson = "malformed-json" => PROTOCOL;
    /// A page for people, with status 200.
    HtmlPage = "html-page" => PROTOCOL;
    /// The right body under the wrong content type.
    WrongContentType = "wrong-content-type" => PROTOCOL;
    /// 304 although nothing was asked conditionally.
    NotModifiedUnasked = "not-modified-unasked" => PROTOCOL;
    /// The answer comes a few bytes at a time.
    SlowBytes = "slow-bytes" => Effect::Harmless;
    /// The answer never comes; the connection stays open.
    Stall = "stall" => Effect::Retried;
    /// Half of the body comes and no more; the connection stays open. It counts once that half was sent.
    StallInBody = "stall-in-body" => Effect::Retried;
    /// The right body, chunked, in small pieces.
    SmallChunks = "small-chunks" => Effect::Harmless;
    /// A body of more than 64 MiB, with its length announced.
    OversizeBody = "oversize-body" => NETWORK;
    /// A chunked body that does not end.
    EndlessBody = "endless-body" => NETWORK;
    /// A small compressed body that unpacks to more than 64 MiB.
    GzipBomb = "gzip-bomb" => NETWORK;
    /// A redirect to the same resource on the same origin, once.
    RedirectOnce = "redirect-once" => Effect::Harmless;
    /// A redirect that leads to itself.
    RedirectLoop = "redirect-loop" => NETWORK;
    /// A redirect to another origin.
    RedirectElsewhere = "redirect-elsewhere" => NETWORK;
    /// Totals and page counts that are too small.
    WrongTotals = "wrong-totals" => Effect::Harmless;
    /// No totals, as above ten thousand rows.
    NoTotals = "no-totals" => Effect::Harmless;
    /// Neither `Link` nor any `X-` header of paging.
    NoPagingHeaders = "no-paging-headers" => Effect::Harmless;
    /// `X-` headers of paging, but no `Link`.
    NoLink = "no-link" => Effect::Harmless;
    /// No validator.
    NoValidator = "no-validator" => Effect::Harmless;
    /// After this page its first row is updated and moves to the end of the list.
    RowMoves = "row-moves" => Effect::Harmless;
    /// After this page the newest row of the list gets another title.
    ItemEdited = "item-edited" => Effect::Harmless;
    /// The first row stands in the page twice.
    DuplicateRow = "duplicate-row" => Effect::Harmless;
    /// The next page repeats this one.
    RepeatedPage = "repeated-page" => Effect::NextRun(&["page_loop"]);
    /// The next page is this page, by its own link.
    NextIsHere = "next-is-here" => Effect::NextRun(&["page_loop"]);
    /// The next page is on another host.
    ForeignNext = "foreign-next" => Effect::NextRun(&["page_link_foreign"]);
    /// An empty list of entities, with status 200, where there are rows.
    EmptyList = "empty-list" => Effect::NextRun(&[]);
    /// The first row lacks its ids.
    ItemWithoutId = "item-without-id" => Effect::Quarantined;
    /// The number of the first row is text; where its id is text, it is a list.
    ItemOfWrongType = "item-of-wrong-type" => Effect::Quarantined;
    /// The first row is not an object.
    ItemNotAnObject = "item-not-an-object" => Effect::Quarantined;
}

impl Fault {
    /// The fault of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }

    /// Whether a correct reader tries again in the same run and succeeds.
    #[must_use]
    pub fn is_transient(self) -> bool {
        self.effect().is_transient()
    }
}
