//! Filters: the keys there are, and the values each can have.

use annals_core::time::{When, Zone};
use annals_core::{UnixMs, text};
use annals_db::ids::SourceKind;

use super::scan::{Value, Values};
use super::{Invalid, Sign};

/// A condition on documents other than their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Whether it must hold or must not.
    pub sign: Sign,
    /// What it asks.
    pub condition: Condition,
}

/// What a filter asks: that any of its values fits. Names are folded as `core::text::fold` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `project:` the project's path.
    Project(Vec<Pattern>),
    /// `forge:` the forge's configured name.
    Forge(Vec<String>),
    /// `kind:` the kind of document.
    Kind(Vec<SourceKind>),
    /// `author:`, `assignee:`, `reviewer:` a user name.
    Person(Role, Vec<Name>),
    /// `label:` a label; a discussion has its parent's.
    Label(Vec<Name>),
    /// `milestone:` a milestone's title; a discussion has its parent's.
    Milestone(Vec<Name>),
    /// `state:` of the entity, or of a discussion's parent.
    State(Vec<State>),
    /// `path:` a changed or commented file, by its old or new name.
    Path(Vec<Pattern>),
    /// `after:` and its kin.
    Time(TimeField, Bound, Vec<UnixMs>),
    /// `is:` a fact about the document.
    Is(Vec<Fact>),
}

/// A path or a set of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This one.
    Exact(String),
    /// Everything in this folder; ends with `/`.
    Under(String),
    /// `*` is any run of characters, also across `/` (as in git's pathspecs); `?` is any one.
    Glob(String),
}

/// Somebody or something by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// There is none.
    Nothing,
    /// There is one, whichever.
    Anything,
    /// The one with this folded name.
    Is(String),
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident, $($(#[$vdoc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[$vdoc])* $variant),+ }

        impl $type {
            /// Every one there is.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in tables and robot output.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What a reader may write for it.
            #[must_use]
            pub fn of(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(
    /// Where an entity stands.
    State,
    /// Open.
    Open = "open",
    /// Closed.
    Closed = "closed",
    /// Merged.
    Merged = "merged",
);

words!(
    /// A fact about a document.
    Fact,
    /// A merge request marked as not ready.
    Draft = "draft",
    /// Hidden from most at the forge.
    Confidential = "confidential",
    /// A discussion that was resolved.
    Resolved = "resolved",
    /// A discussion that can be resolved and was not.
    Unresolved = "unresolved",
    /// No longer readable at the forge.
    Gone = "gone",
    /// Written by a program.
    Bot = "bot",
);

words!(
    /// A person's part in an entity.
    Role,
    /// Wrote it.
    Author = "author",
    /// Is to do it.
    Assignee = "assignee",
    /// Is to review it.
    Reviewer = "reviewer",
);

/// Which of a document's times is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeField {
    /// When it last changed at the forge.
    Updated,
    /// When it was made.
    Created,
}

/// On which side of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// At it or later.
    From,
    /// Earlier than it.
    Before,
}

words!(
    /// The keys of filters.
    Key,
    /// `project:`
    Project = "project",
    /// `forge:`
    Forge = "forge",
    /// `kind:`
    Kind = "kind",
    /// `author:`
    Author = "author",
    /// `assignee:`
    Assignee = "assignee",
    /// `reviewer:`
    Reviewer = "reviewer",
    /// `label:`
    Label = "label",
    /// `milestone:`
    Milestone = "milestone",
    /// `state:`
    State = "state",
    /// `path:`
    Path = "path",
    /// `after:`
    After = "after",
    /// `before:`
    Before = "before",
    /// `created-after:`
    CreatedAfter = "created-after",
    /// `created-before:`
    CreatedBefore = "created-before",
    /// `is:`
    Is = "is",
);

impl Key {
    /// What a query with this key may look like.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Project => "project:group/app",
            Self::Forge => "forge:gitlab.com",
            Self::Kind => "kind:issue,mr",
            Self::Author => "author:ada",
            Self::Assignee => "assignee:ada",
            Self::Reviewer => "reviewer:ada",
            Self::Label => "label:\"good first issue\"",
            Self::Milestone => "milestone:1.0",
            Self::State => "state:open,merged",
            Self::Path => "path:src/",
            Self::After => "after:30d",
            Self::Before => "before:2024-05-01",
            Self::CreatedAfter => "created-after:6mo",
            Self::CreatedBefore => "created-before:2024-05-01T12:00:00Z",
            Self::Is => "is:draft",
        }
    }

    fn refuse(self, value: &Value, reason: &'static str) -> Invalid {
        Invalid {
            position: value.position,
            key: self.as_str(),
            found: text::cut_chars(&value.text, 80).to_owned(),
            reason,
            example: self.example(),
        }
    }
}

/// The condition that `key` makes of its values.
pub(super) fn condition(key: Key, values: &Values, now: UnixMs) -> Result<Condition, Invalid> {
    let items = &values.items;
    if items.is_empty() {
        let nothing = Value {
            position: values.position,
            text: format!("{}:", key.as_str()),
            quoted: false,
        };
        return Err(key.refuse(&nothing, "the filter has no value"));
    }
    let times = |field, bound| {
        let read = |v: &Value| instant(&v.text, now).ok_or_else(|| key.refuse(v, DATES));
        Ok(Condition::Time(
            field,
            bound,
            items.iter().map(read).collect::<Result<_, _>>()?,
        ))
    };
    Ok(match key {
        Key::Project => Condition::Project(each(items, |v| project(key, v))?),
        Key::Forge => Condition::Forge(each(items, |v| Ok(text::fold(&v.text)))?),
        Key::Kind => Condition::Kind(each(items, |v| {
            let kind = match lower(v).as_str() {
                "mr" => Some(SourceKind::MergeRequest),
                word => SourceKind::parse(word),
            };
            kind.ok_or_else(|| key.refuse(v, "kinds are issue, mr, discussion and commit"))
        })?),
        Key::Author => Condition::Person(Role::Author, people(items)),
        Key::Assignee => Condition::Person(Role::Assignee, people(items)),
        Key::Reviewer => Condition::Person(Role::Reviewer, people(items)),
        Key::Label => Condition::Label(items.iter().map(name).collect()),
        Key::Milestone => Condition::Milestone(items.iter().map(name).collect()),
        Key::State => Condition::State(each(items, |v| {
            State::of(&lower(v)).ok_or_else(|| key.refuse(v, "states are open, closed and merged"))
        })?),
        Key::Path => Condition::Path(each(items, |v| path(key, v))?),
        Key::After => times(TimeField::Updated, Bound::From)?,
        Key::Before => times(TimeField::Updated, Bound::Before)?,
        Key::CreatedAfter => times(TimeField::Created, Bound::From)?,
        Key::CreatedBefore => times(TimeField::Created, Bound::Before)?,
        Key::Is => Condition::Is(each(items, |v| {
            Fact::of(&lower(v))
                .ok_or_else(|| key.refuse(v, "facts are draft, confidential, resolved, unresolved, gone and bot"))
        })?),
    })
}

const DATES: &str = "a time is a date, a date with time, or an age: 12h, 7d, 3w, 6mo, 1y";

/// A day begins at its first instant, UTC.
fn instant(text: &str, now: UnixMs) -> Option<UnixMs> {
    let utc = Zone::utc();
    let when = When::parse(text, now, &utc).or_else(|_| When::parse(&text.to_ascii_lowercase(), now, &utc));
    when.ok().map(When::first)
}

fn each<T>(items: &[Value], read: impl Fn(&Value) -> Result<T, Invalid>) -> Result<Vec<T>, Invalid> {
    items.iter().map(read).collect()
}

fn lower(value: &Value) -> String {
    value.text.to_ascii_lowercase()
}

fn name(value: &Value) -> Name {
    match lower(value).as_str() {
        "none" if !value.quoted => Name::Nothing,
        "any" if !value.quoted => Name::Anything,
        _ => Name::Is(text::fold(&value.text)),
    }
}

fn people(items: &[Value]) -> Vec<Name> {
    let person = |v: &Value| match v.text.strip_prefix('@') {
        Some(handle) if !v.quoted => Name::Is(text::fold(handle)),
        _ => name(v),
    };
    items.iter().map(person).collect()
}

/// No system has longer paths, and SQLite compares none with a pattern of more than 50,000 bytes.
const LONGEST_PATH: usize = 4_096;

fn project(key: Key, value: &Value) -> Result<Pattern, Invalid> {
    if value.text.len() > LONGEST_PATH {
        return Err(key.refuse(value, TOO_LONG));
    }
    // Paths differ by accents, not by case.
    let folded = value.text.to_lowercase();
    let path = folded.trim_matches('/');
    if path.is_empty() {
        return Err(key.refuse(value, "a project is named by its path"));
    }
    let inside = folded.ends_with('/') && !is_glob(path);
    Ok(if inside {
        Pattern::Under(format!("{path}/"))
    } else {
        pattern(path.to_owned())
    })
}

const TOO_LONG: &str = "a path has at most 4,096 bytes";

fn path(key: Key, value: &Value) -> Result<Pattern, Invalid> {
    if value.text.len() > LONGEST_PATH {
        return Err(key.refuse(value, TOO_LONG));
    }
    // As a shell or `git` would print it: `./a//b` and `/a/b` are `a/b`.
    let parts: Vec<&str> = value
        .text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let path = parts.join("/");
    if path.is_empty() {
        return Err(key.refuse(value, "a path names a file or folder of the repository"));
    }
    if parts.contains(&"..") {
        return Err(key.refuse(value, "paths start at the repository's root and have no `..`"));
    }
    let inside = value.text.ends_with('/') && !is_glob(&path);
    Ok(if inside {
        Pattern::Under(format!("{path}/"))
    } else {
        pattern(path)
    })
}

fn pattern(path: String) -> Pattern {
    if is_glob(&path) {
        Pattern::Glob(path)
    } else {
        Pattern::Exact(path)
    }
}

fn is_glob(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// What to say about a word that begins with an unknown key one letter off a known one.
pub(super) fn misspelt_key(word: &str) -> Option<String> {
    let (written, _) = word.split_once(':')?;
    let lower = written.to_ascii_lowercase();
    let meant = Key::ALL.iter().find(|key| text::one_edit_apart(&lower, key.as_str()))?;
    Some(format!(
        "`{}:` is no filter and was searched as text; `{}:` is one",
        text::visible_line(written),
        meant.as_str()
    ))
}
