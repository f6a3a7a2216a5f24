//! What a person may give to `annals sync`: the address of a project.
//!
//! The promise: a string becomes a forge's base address and a project path, or it is refused with
//! the words that help, and nothing secret that was pasted into it is ever repeated.

use annals_core::config::BaseUrl;
use url::Url;

/// The address of a project at a forge, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectUrl {
    /// The forge.
    pub base_url: BaseUrl,
    /// `group/…/project`, percent-decoded, in the case it was given.
    pub path: String,
}

/// Why a string is not the address of a project. None of these repeats the string itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not an absolute URL.
    #[error("not a project URL: {reason}")]
    NotAUrl {
        /// What is wrong.
        reason: String,
        /// What to write instead, when that can be guessed.
        hint: Option<String>,
    },
    /// A scheme other than http and https.
    #[error("the scheme `{scheme}` cannot be mirrored: use the http or https address of the project page")]
    Scheme {
        /// The scheme that was given.
        scheme: String,
    },
    /// A user name or password inside the URL.
    #[error(
        "a URL with credentials inside is refused: revoke that token if it was one, and put its successor into the environment"
    )]
    Credentials,
    /// The address of something inside a project.
    #[error("this is the address of {what}, not of a project")]
    InsideProject {
        /// For example `issue 12`.
        what: String,
        /// The address of the project itself.
        project: String,
    },
    /// Too few path segments to name a project.
    #[error("`{origin}` is a forge, not a project: add the path of a project, group/project")]
    NoProject {
        /// Scheme, host and port.
        origin: String,
    },
}

impl TargetError {
    /// The next thing to try, when one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAUrl { hint, .. } => hint.clone(),
            Self::InsideProject { project, .. } => Some(format!("annals sync {project}")),
            Self::Scheme { .. } | Self::Credentials | Self::NoProject { .. } => None,
        }
    }
}

impl ProjectUrl {
    /// Takes `text` apart. `known_bases` are the base addresses of forges that are configured or
    /// already in the file; the longest one that is a prefix decides where the project path
    /// begins, because only they can tell a base path from a group.
    ///
    /// # Errors
    /// [`TargetError`], each variant a way in which the text is not a project's address.
    pub fn parse<'a>(text: &str, known_bases: impl IntoIterator<Item = &'a str>) -> Result<Self, TargetError> {
        let text = text.trim();
        let url = Url::parse(text).map_err(|e| not_a_url(text, &e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(if url.cannot_be_a_base() || url.host_str().is_none() {
                not_a_url(text, "it has no http:// or https:// in front")
            } else {
                TargetError::Scheme {
                    scheme: url.scheme().to_owned(),
                }
            });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        let origin = url.origin().ascii_serialization();
        let path = url.path().trim_matches('/');
        let base_path = known_bases
            .into_iter()
            .filter_map(|base| base_path_of(base, &origin))
            .filter(|base| is_segment_prefix(base, path))
            .max_by_key(String::len)
            .unwrap_or_default();
        let rest = path.strip_prefix(base_path.as_str()).unwrap_or(path);
        let segments: Vec<String> = rest.split('/').filter(|s| !s.is_empty()).map(decode_segment).collect();
        let base_url = if base_path.is_empty() {
            origin.clone()
        } else {
            format!("{origin}/{base_path}")
        };
        let (project, what) = split_inside(&segments);
        if project.len() < 2 {
            return Err(TargetError::NoProject { origin });
        }
        let mut path = project.join("/");
        if let Some(what) = what {
            return Err(TargetError::InsideProject {
                what,
                project: format!("{base_url}/{path}"),
            });
        }
        if let Some(bare) = path.strip_suffix(".git") {
            path.truncate(bare.len());
        }
        let base_url = base_url.parse().map_err(|error| not_a_url(text, &format!("{error}")))?;
        Ok(Self { base_url, path })
    }

    /// The address a person would open.
    #[must_use]
    pub fn web_url(&self) -> String {
        format!("{}/{}", self.base_url.as_str(), self.path)
    }
}

fn not_a_url(text: &str, reason: &str) -> TargetError {
    // `host/group/project` without a scheme is the common slip; a string with `@` or a query may hold a secret.
    let looks_like_host = text
        .split('/')
        .next()
        .is_some_and(|h| h.contains('.') && !h.contains(char::is_whitespace));
    let hint = (looks_like_host && !text.contains(['@', '?', '#']) && text.matches('/').count() >= 2)
        .then(|| format!("annals sync https://{text}"));
    TargetError::NotAUrl {
        reason: reason.to_owned(),
        hint,
    }
}

fn base_path_of(base: &str, origin: &str) -> Option<String> {
    let url = Url::parse(base).ok()?;
    (url.origin().ascii_serialization() == origin).then(|| url.path().trim_matches('/').to_owned())
}

fn is_segment_prefix(base: &str, path: &str) -> bool {
    base.is_empty()
        || path
            .strip_prefix(base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The segments that name the project, and what the rest points at, if there is a rest.
fn split_inside(segments: &[String]) -> (&[String], Option<String>) {
    if let Some(at) = segments.iter().position(|s| s == "-") {
        let (project, rest) = segments.split_at(at);
        return (project, Some(describe(rest.get(1..).unwrap_or_default())));
    }
    // Addresses from before GitLab had the `-` separator; as short as `group/project/issues/7`.
    if let [project @ .., kind, number] = segments
        && project.len() >= 2
        && matches!(kind.as_str(), "issues" | "merge_requests")
        && number.parse::<u64>().is_ok()
    {
        return (project, Some(describe(&[kind.clone(), number.clone()])));
    }
    (segments, None)
}

fn describe(rest: &[String]) -> String {
    match rest {
        [kind, number, ..] if kind == "issues" || kind == "work_items" => format!("issue {number}"),
        [kind, number, ..] if kind == "merge_requests" => format!("merge request {number}"),
        [kind, ..] => format!("the page `{kind}` of a project"),
        [] => "a page of a project".to_owned(),
    }
}

fn decode_segment(segment: &str) -> String {
    let mut out = Vec::with_capacity(segment.len());
    let bytes = segment.as_bytes();
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let hex = (b == b'%').then(|| bytes.get(i + 1..i + 3)).flatten().and_then(|h| {
            let text = std::str::from_utf8(h).ok()?;
            u8::from_str_radix(text, 16).ok()
        });
        match hex {
            Some(value) => {
                out.push(value);
                i += 3;
            }
            None => {
                out.push(b);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<(String, String), TargetError> {
        ProjectUrl::parse(text, ["https://code.example.org/git", "https://code.example.org"])
            .map(|u| (u.base_url.as_str().to_owned(), u.path))
    }

    #[test]
    fn project_urls_are_taken_apart() {
        for (text, base, path) in [
            (
                "https://gitlab.com/group/project",
                "https://gitlab.com",
                "group/project",
            ),
            (
                "https://GitLab.COM:443/Group/Sub/project/",
                "https://gitlab.com",
                "Group/Sub/project",
            ),
            (
                "http://127.0.0.1:18080/fdroid/fdroiddata",
                "http://127.0.0.1:18080",
                "fdroid/fdroiddata",
            ),
            (
                "https://gitlab.com/group/project.git",
                "https://gitlab.com",
                "group/project",
            ),
            (
                "https://gitlab.com//group//project?x=1#y",
                "https://gitlab.com",
                "group/project",
            ),
            (
                "https://code.example.org/git/team/tool",
                "https://code.example.org/git",
                "team/tool",
            ),
            (
                "https://code.example.org/github/tool",
                "https://code.example.org",
                "github/tool",
            ),
            (
                "https://gitlab.com/gr%C3%BCn/project",
                "https://gitlab.com",
                "grün/project",
            ),
            ("http://[::1]:8080/g/p", "http://[::1]:8080", "g/p"),
            ("  https://gitlab.com/g/p\n", "https://gitlab.com", "g/p"),
            ("https://gitlab.com/group/issues", "https://gitlab.com", "group/issues"),
        ] {
            assert_eq!(parse(text), Ok((base.to_owned(), path.to_owned())), "{text}");
        }
    }

    #[test]
    fn pages_inside_a_project_are_refused_with_the_project() {
        for (text, what) in [
            ("https://gitlab.com/g/p/-/issues/12", "issue 12"),
            ("https://gitlab.com/g/p/-/merge_requests/7/diffs", "merge request 7"),
            ("https://gitlab.com/g/p/issues/12", "issue 12"),
            ("https://gitlab.com/g/p/merge_requests/3", "merge request 3"),
            ("https://gitlab.com/g/p/-/work_items/5", "issue 5"),
            ("https://gitlab.com/g/p/-/tree/main", "the page `tree` of a project"),
            ("https://gitlab.com/g/p/-/", "a page of a project"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(
                error,
                TargetError::InsideProject {
                    what: what.into(),
                    project: "https://gitlab.com/g/p".into()
                },
                "{text}"
            );
            assert_eq!(error.hint().as_deref(), Some("annals sync https://gitlab.com/g/p"));
        }
    }

    #[test]
    fn what_is_no_project_says_why() {
        assert!(
            matches!(parse("https://gitlab.com/"), Err(TargetError::NoProject { origin }) if origin == "https://gitlab.com")
        );
        assert!(matches!(
            parse("https://gitlab.com/alone"),
            Err(TargetError::NoProject { .. })
        ));
        assert!(matches!(parse("ssh://git@gitlab.com/g/p"), Err(TargetError::Scheme { scheme }) if scheme == "ssh"));
        assert!(matches!(
            parse("git@gitlab.com:g/p.git"),
            Err(TargetError::NotAUrl { hint: None, .. })
        ));
        let error = parse("gitlab.com/g/p").unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("annals sync https://gitlab.com/g/p"));
        assert!(matches!(
            parse("no url at all"),
            Err(TargetError::NotAUrl { hint: None, .. })
        ));
        assert!(matches!(parse(""), Err(TargetError::NotAUrl { .. })));
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_repeated() {
        let error = parse("https://me:glpat-secret@gitlab.com/g/p").unwrap_err();
        assert_eq!(error, TargetError::Credentials);
        assert!(!format!("{error} {error:?}").contains("glpat"));
    }

    proptest! {
        #[test]
        fn no_address_makes_it_panic_or_repeats_a_secret(text in "(https?|ssh)?(://)?[a-z]{0,5}(:secret@)?[a-z.:/%0-9-]{0,40}") {
            if let Err(error) = parse(&text) {
                let told = format!("{error} {:?}", error.hint());
                prop_assert!(!told.contains("secret@"), "it repeats the secret");
            }
        }
    }
}
