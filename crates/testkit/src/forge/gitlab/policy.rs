//! How the forge behaves where GitLab installations differ.

/// Who is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody, as a member.
    Open,
    /// Members with this token; anybody else is told 401.
    TokenRequired(String),
    /// Everybody as a stranger, members with this token; a wrong token is told 401.
    TokenForMembers(String),
}

/// What the forge does when a client asks for keyset paging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyset {
    /// Pages by it.
    Supported,
    /// Pages by offset all the same.
    Ignored,
    /// Says 405.
    Refused,
}

/// Whether GraphQL queries are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graphql {
    /// They are.
    Served,
    /// There is nothing at that path.
    Missing,
}

/// Whether responses can be asked for conditionally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Etags {
    /// They carry a validator.
    Sent,
    /// They do not.
    Left,
}

/// What the rate headers say. They are words only: nothing is refused by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests per window.
    pub limit: u64,
    /// Requests left in it.
    pub remaining: u64,
    /// Seconds until the next window, from the response's `Date`.
    pub resets_in_s: i64,
}

/// How the forge behaves where GitLab installations differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Who is let in.
    pub access: Access,
    /// What becomes of keyset paging.
    pub keyset: Keyset,
    /// What becomes of GraphQL.
    pub graphql: Graphql,
    /// Whether validators are sent.
    pub etags: Etags,
    /// Rate headers, if any.
    pub rate: Option<RateHeaders>,
    /// Lists longer than this carry no totals.
    pub totals_up_to: usize,
    /// No list can be read by page number beyond this many rows.
    pub offsets_up_to: usize,
    /// What `/version` says.
    pub version: String,
    /// The path of an installation that is not at the root, such as `/forge`.
    pub base_path: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            access: Access::Open,
            keyset: Keyset::Supported,
            graphql: Graphql::Served,
            etags: Etags::Sent,
            rate: Some(RateHeaders {
                limit: 2000,
                remaining: 1999,
                resets_in_s: 60,
            }),
            totals_up_to: 10_000,
            offsets_up_to: 50_000,
            version: "18.5.0".to_owned(),
            base_path: String::new(),
        }
    }
}
