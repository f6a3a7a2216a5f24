//! What a person calls a project, an issue or a merge request.

use annals_core::text::{fold, nearest};
use annals_core::{Code, EntityKind, Iid, Report};
use annals_db::ReadConn;
use annals_db::read::{self, ProjectName, Visibility};

/// An issue or merge request as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What it says of the kind; a bare number says nothing.
    pub kind: Option<EntityKind>,
    pub iid: Iid,
    /// The project, if it was named: a path, `host/path`, or its address.
    pub project: Option<String>,
}

/// What can be typed.
pub const EXAMPLES: &str =
    "issue 12, mr 42, '#12', '!42', group/project#12, group/project!42, or the address at the forge";

impl Reference {
    /// Reads `issue 12`, `mr 42`, `12`, `#12`, `!42`, `group/project#12`, `host/group/project!42` or a forge's address.
    ///
    /// # Errors
    /// `usage`, with examples.
    pub fn parse(words: &[String]) -> Result<Self, Report> {
        let wrong = || {
            let shown: String = words.join(" ").chars().take(120).collect();
            let message = format!("`{shown}` is not an issue or merge request");
            Report::new(Code::Usage, message).with_suggestion(format!("write {EXAMPLES}"))
        };
        let found = match words {
            [word] => one_word(word),
            [kind, word] => kind_of(kind).and_then(|kind| {
                let reference = one_word(word)?;
                let agrees = reference.kind.is_none_or(|said| said == kind);
                agrees.then_some(Self {
                    kind: Some(kind),
                    ..reference
                })
            }),
            _ => None,
        };
        found.ok_or_else(wrong)
    }

    /// The command that shows it in this project; a bare number is an issue.
    pub fn command(&self, project: &str) -> String {
        self.command_of("show", project)
    }

    /// The same with another command.
    pub fn command_of(&self, name: &str, project: &str) -> String {
        let kind = match self.kind {
            Some(EntityKind::MergeRequest) => "mr",
            Some(EntityKind::Issue) | None => "issue",
        };
        format!("annals {name} {kind} {} -p {project}", self.iid)
    }
}

fn kind_of(word: &str) -> Option<EntityKind> {
    match word.to_lowercase().as_str() {
        "issue" | "issues" | "work_item" | "work_items" | "incident" => Some(EntityKind::Issue),
        "mr" | "mrs" | "pr" | "merge_request" | "merge-request" | "merge_requests" => Some(EntityKind::MergeRequest),
        _ => None,
    }
}

fn one_word(word: &str) -> Option<Reference> {
    let word = word.trim();
    if word.contains("://") {
        return address(word);
    }
    if let Some(iid) = number(word) {
        return Some(Reference {
            kind: None,
            iid,
            project: None,
        });
    }
    let at = word.rfind(['#', '!'])?;
    let (project, rest) = (word.get(..at)?, word.get(at..)?);
    let kind = if rest.starts_with('#') {
        EntityKind::Issue
    } else {
        EntityKind::MergeRequest
    };
    let iid = number(rest.get(1..)?)?;
    let project = (!project.is_empty()).then(|| project.to_owned());
    if project.as_ref().is_some_and(|project| !project.contains('/')) {
        return None;
    }
    Some(Reference {
        kind: Some(kind),
        iid,
        project,
    })
}

/// `https://host/group/project/-/issues/12#note_5`, and the form without `-` that older addresses have.
fn address(word: &str) -> Option<Reference> {
    let plain = word.split(['?', '#']).next()?.trim_end_matches('/');
    let (project, rest) = match plain.split_once("/-/") {
        Some((project, rest)) => (project.to_owned(), rest.to_owned()),
        None => {
            let mut parts = plain.rsplitn(3, '/');
            let (iid, kind, project) = (parts.next()?, parts.next()?, parts.next()?);
            (project.to_owned(), format!("{kind}/{iid}"))
        }
    };
    // `issues/12`, `issues/incident/12`, `merge_requests/7/diffs`.
    let mut parts = rest.split('/');
    let kind = kind_of(parts.next()?)?;
    let iid = parts.find_map(number)?;
    Some(Reference {
        kind: Some(kind),
        iid,
        project: Some(project),
    })
}

fn number(text: &str) -> Option<Iid> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|iid| digits && *iid > 0).map(Iid)
}

/// Finds a project by what it is called, or the only one there is.
///
/// # Errors
/// A failure of the file; inside, `not_found` or `ambiguous` with the candidates.
pub fn project(conn: &ReadConn<'_>, called: Option<&str>) -> Result<Result<ProjectName, Report>, annals_db::Error> {
    let Some(text) = called else {
        return only(conn);
    };
    one_of(conn, text, &candidates(conn, text)?)
}

/// Finds the project that a reference and `-p` name together: where one of them could mean several, the other decides.
///
/// # Errors
/// As [`project`]; and inside, `usage` where they name different ones.
pub fn both(conn: &ReadConn<'_>, named: &str, flag: &str) -> Result<Result<ProjectName, Report>, annals_db::Error> {
    let (of_name, mut found) = (candidates(conn, named)?, candidates(conn, flag)?);
    for (text, none) in [(named, of_name.is_empty()), (flag, found.is_empty())] {
        if none {
            return Ok(Err(unknown(conn, text)?));
        }
    }
    found.retain(|project| of_name.iter().any(|other| other.id == project.id));
    if found.is_empty() {
        let message = format!("the reference is to `{named}`, and -p says `{flag}`");
        return Ok(Err(
            Report::new(Code::Usage, message).with_suggestion("name the project once, or the same one twice")
        ));
    }
    one_of(conn, named, &found)
}

fn candidates(conn: &ReadConn<'_>, text: &str) -> Result<Vec<ProjectName>, annals_db::Error> {
    let found = read::find_projects(conn, &Visibility::all(), text)?;
    if found.is_empty() {
        ending_with(conn, text)
    } else {
        Ok(found)
    }
}

fn one_of(
    conn: &ReadConn<'_>,
    text: &str,
    found: &[ProjectName],
) -> Result<Result<ProjectName, Report>, annals_db::Error> {
    Ok(match found {
        [one] => Ok(one.clone()),
        [] => Err(unknown(conn, text)?),
        several => Err(ambiguous(
            &format!("`{text}` names {} projects", several.len()),
            several,
        )),
    })
}

/// An ambiguity with the commands that would settle it, one for each candidate; any other report as it is.
pub fn with_actions(mut report: Report, command: impl Fn(&str) -> String) -> Report {
    if report.code == Code::Ambiguous {
        let candidates = report.details.get("candidates").and_then(|list| list.as_array());
        let names = candidates.into_iter().flatten().filter_map(|name| name.as_str());
        report.actions = names.map(|name| command(&shell_word(name))).collect();
    }
    report
}

/// Flags as they are typed; one whose value begins with a dash is no other flag.
pub fn flags(all: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let typed = all.into_iter().map(|(name, value)| {
        let between = if name.starts_with("--") { "=" } else { " " };
        format!(" {name}{between}{}", shell_word(&value))
    });
    typed.collect()
}

/// A text as one word of a shell.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn only(conn: &ReadConn<'_>) -> Result<Result<ProjectName, Report>, annals_db::Error> {
    let mut all: Vec<ProjectName> = names(conn)?;
    Ok(match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(Report::new(Code::NotFound, "no project is mirrored yet").with_suggestion("annals sync URL")),
        (Some(last), false) => {
            all.push(last);
            Err(ambiguous(
                &format!("there are {} projects: say which with -p", all.len()),
                &all,
            ))
        }
    })
}

fn names(conn: &ReadConn<'_>) -> Result<Vec<ProjectName>, annals_db::Error> {
    Ok(read::projects(conn, &Visibility::all())?
        .into_iter()
        .map(|row| row.name)
        .collect())
}

/// Projects whose path ends with these segments.
fn ending_with(conn: &ReadConn<'_>, text: &str) -> Result<Vec<ProjectName>, annals_db::Error> {
    let end = format!("/{}", fold(text.trim_matches('/')));
    let mut all = names(conn)?;
    all.retain(|project| end.len() > 1 && fold(&project.path).ends_with(&end));
    Ok(all)
}

fn unknown(conn: &ReadConn<'_>, text: &str) -> Result<Report, annals_db::Error> {
    let all = names(conn)?;
    let shown: String = text.chars().take(120).collect();
    let mut report =
        Report::new(Code::NotFound, format!("no project `{shown}` is mirrored here")).with_action("annals projects");
    report.suggestion = nearest(text, all.iter().map(|project| project.path.as_str())).map(str::to_owned);
    Ok(report)
}

/// An ambiguity with its candidates, each called so that it is clear.
pub fn ambiguous(message: &str, found: &[ProjectName]) -> Report {
    let host = |url: &str| {
        url.split_once("://")
            .map_or(url.to_owned(), |(_, rest)| rest.to_owned())
    };
    let full = |project: &ProjectName| format!("{}/{}", host(&project.forge_url), project.path);
    let shared = |of: &dyn Fn(&ProjectName) -> String, name: &str| {
        found.iter().filter(|project| fold(&of(project)) == fold(name)).count() > 1
    };
    let called = found.iter().map(|project| {
        let name = full(project);
        if !shared(&|other| other.path.clone(), &project.path) {
            project.path.clone()
        } else if !shared(&full, &name) {
            name
        } else {
            // Of two former projects of one address only the row tells.
            project.id.0.to_string()
        }
    });
    Report::new(Code::Ambiguous, message).with_detail("candidates", called.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_are_read_as_people_write_them() {
        use EntityKind::{Issue, MergeRequest};
        for (words, kind, iid, project) in [
            (&["issue", "12"][..], Some(Issue), 12, None),
            (&["mr", "42"], Some(MergeRequest), 42, None),
            (&["mr", "!42"], Some(MergeRequest), 42, None),
            (&["12"], None, 12, None),
            (&["#12"], Some(Issue), 12, None),
            (&["!7"], Some(MergeRequest), 7, None),
            (&["a/b#12"], Some(Issue), 12, Some("a/b")),
            (&["issue", "a/b#12"], Some(Issue), 12, Some("a/b")),
            (&["a/b/c!7"], Some(MergeRequest), 7, Some("a/b/c")),
            (&["gitlab.com/a/b!7"], Some(MergeRequest), 7, Some("gitlab.com/a/b")),
            (
                &["https://h/a/b/-/issues/12#note_5"],
                Some(Issue),
                12,
                Some("https://h/a/b"),
            ),
            (
                &["https://h/a/b/-/work_items/12"],
                Some(Issue),
                12,
                Some("https://h/a/b"),
            ),
            (
                &["https://h/a/b/-/issues/incident/12"],
                Some(Issue),
                12,
                Some("https://h/a/b"),
            ),
            (
                &["https://h/a/b/-/merge_requests/7/diffs?x=1"],
                Some(MergeRequest),
                7,
                Some("https://h/a/b"),
            ),
            (
                &["http://h:80/base/a/b/merge_requests/7/"],
                Some(MergeRequest),
                7,
                Some("http://h:80/base/a/b"),
            ),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let expected = Reference {
                kind,
                iid: Iid(iid),
                project: project.map(str::to_owned),
            };
            assert_eq!(Reference::parse(&words), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_examples() {
        for words in [
            &["x"][..],
            &["0"],
            &["-1"],
            &["#"],
            &["a#1"],
            &["issue"],
            &["issue", "!7"],
            &["mr", "x"],
            &["a/b"],
            &["12.0"],
            &["99999999999999999999"],
            &["https://h/a/b"],
            &["https://h/a/b/-/tree/main"],
            &["https://"],
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let report = Reference::parse(&words).err();
            assert_eq!(
                report.as_ref().map(|report| report.code),
                Some(Code::Usage),
                "{words:?}"
            );
            assert!(
                report
                    .and_then(|report| report.suggestion)
                    .is_some_and(|hint| hint.contains("group/project#12"))
            );
        }
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec("\\PC{0,20}", 0..3)) {
            let _parsed = Reference::parse(&words);
        }
    }
}
