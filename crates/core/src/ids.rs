//! Identifiers, each a type of its own so that one cannot stand in for another.

use std::fmt;
use std::str::FromStr;

use crate::time::UnixMs;

macro_rules! integer_id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

integer_id! {
    /// The local row id of a project.
    ProjectId,
    /// The number of an issue or merge request within its project.
    Iid,
}

macro_rules! text_id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )+};
}

text_id! {
    /// The forge's own id, with a type prefix where a forge has several id spaces.
    NativeId,
    /// The id of a sync run: a UUIDv7, so that ids sort by the time they were made.
    RunId,
}

impl NativeId {
    /// The number, where the id is nothing but digits: such ids are ordered as numbers.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        let all_digits = !self.0.is_empty() && self.0.bytes().all(|byte| byte.is_ascii_digit());
        if all_digits { self.0.parse().ok() } else { None }
    }

    /// The order of ties in a list: by number when both are numbers, else by text.
    #[must_use]
    pub fn tie_order(&self, other: &Self) -> std::cmp::Ordering {
        match (self.as_number(), other.as_number()) {
            (Some(ours), Some(theirs)) => ours.cmp(&theirs).then_with(|| self.cmp(other)),
            _ => self.cmp(other),
        }
    }
}

impl RunId {
    /// A new id for a run that starts at `at`; `random` is ten bytes nobody can guess.
    #[must_use]
    pub fn new(at: UnixMs, random: [u8; 10]) -> Self {
        let [_, _, a, b, c, d, e, f] = at.0.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        let (version, variant) = (0x70 | (r0 & 0x0f), 0x80 | (r2 & 0x3f));
        Self(format!(
            "{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{f:02x}-{version:02x}{r1:02x}-{variant:02x}{r3:02x}-\
             {r4:02x}{r5:02x}{r6:02x}{r7:02x}{r8:02x}{r9:02x}"
        ))
    }
}

/// A text that is no id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct BadId {
    expected: &'static str,
}

impl FromStr for RunId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if is_uuid {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadId { expected: "a run id" })
        }
    }
}

/// The id of a git object: 40 or 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

impl Oid {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Oid {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadId {
                expected: "a git object id",
            })
        }
    }
}

impl TryFrom<String> for Oid {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Oid> for String {
    fn from(oid: Oid) -> Self {
        oid.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether an entity is an issue or a merge request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// An issue.
    Issue,
    /// A merge request; a pull request is one.
    MergeRequest,
}

impl EntityKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Issue, Self::MergeRequest];

    /// The name used in tables, JSON and robot output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::MergeRequest => "merge_request",
        }
    }

    /// The mark between a project's path and a number: `group/project#12`, `group/project!7`.
    #[must_use]
    pub const fn sigil(self) -> char {
        match self {
            Self::Issue => '#',
            Self::MergeRequest => '!',
        }
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EntityKind {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(BadId {
            expected: "issue or merge_request",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    #[test]
    fn run_id_is_a_uuid_of_version_7() {
        let id = RunId::new(UnixMs(0x0190_1234_5678), [0xff; 10]);
        assert_eq!(id.as_str(), "01901234-5678-7fff-bfff-ffffffffffff");
        assert_eq!("01901234-5678-7FFF-BFFF-FFFFFFFFFFFF".parse(), Ok(id));
        for text in [
            "",
            "01901234",
            "01901234-5678-7fff-bfff-fffffffffffg",
            "01901234x5678-7fff-bfff-ffffffffffff",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }

    #[test]
    fn ties_are_ordered_as_numbers_when_both_are() {
        let order = |a: &str, b: &str| NativeId(a.to_owned()).tie_order(&NativeId(b.to_owned()));
        assert_eq!(order("9", "10"), Ordering::Less);
        assert_eq!(order("ic:9", "ic:10"), Ordering::Greater);
        assert_eq!(order("9", "ic:10"), Ordering::Less);
        assert_eq!(order("7", "7"), Ordering::Equal);
    }

    #[test]
    fn oid_is_forty_or_sixty_four_hex_digits() {
        for length in [40, 64] {
            let oid: Oid = "A".repeat(length).parse().unwrap();
            assert_eq!(oid.as_str(), "a".repeat(length));
        }
        for text in ["", "abc", &"g".repeat(40), &"a".repeat(41)] {
            assert!(text.parse::<Oid>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Oid>("\"abc\"").is_err());
    }

    #[test]
    fn kinds_read_back() {
        for kind in EntityKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("mr".parse::<EntityKind>().is_err());
    }

    proptest! {
        #[test]
        fn run_ids_sort_by_time(a in 0_i64..1 << 47, b in 0_i64..1 << 47, random: [u8; 10]) {
            let (first, second) = (RunId::new(UnixMs(a), random), RunId::new(UnixMs(b), random));
            prop_assert_eq!(a.cmp(&b), first.cmp(&second));
            prop_assert_eq!(first.as_str().parse::<RunId>(), Ok(first.clone()));
        }
    }
}
