//! A path inside a repository, as people type it.

/// A text that is no path inside a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// There is nothing in it.
    #[error("the path is empty")]
    Empty,
    /// It begins at a drive or is an address.
    #[error("`{0}` is not inside a repository")]
    Absolute(String),
    /// It goes up.
    #[error("`{0}` goes up with `..`")]
    Parent(String),
}

/// The path as forges write it: `./src//a.rs` and `/src/a.rs`, where `/` is the top of the repository,
/// are `src/a.rs`.
///
/// # Errors
/// [`BadPath`] for what cannot lie inside a repository.
pub fn repository_path(text: &str) -> Result<String, BadPath> {
    let shown = || crate::text::cut_chars(text, 120).to_owned();
    let drive = text.split_once(':').is_some_and(|(head, rest)| {
        head.len() == 1 && head.bytes().all(|byte| byte.is_ascii_alphabetic()) && rest.starts_with(['/', '\\'])
    });
    if drive || text.contains("://") {
        return Err(BadPath::Absolute(shown()));
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(BadPath::Parent(shown()));
    }
    if parts.is_empty() {
        return Err(BadPath::Empty);
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_read_from_the_top_of_the_repository() {
        for (typed, path) in [
            ("src/a.rs", "src/a.rs"),
            ("./src/a.rs", "src/a.rs"),
            ("/src/a.rs", "src/a.rs"),
            ("src//./a.rs/", "src/a.rs"),
            ("a b/ü..x", "a b/ü..x"),
            ("notes: 2024", "notes: 2024"),
        ] {
            assert_eq!(repository_path(typed).as_deref(), Ok(path), "{typed}");
        }
    }

    #[test]
    fn what_lies_elsewhere_is_refused() {
        let absolute = |text: &str| Err(BadPath::Absolute(text.to_owned()));
        let parent = |text: &str| Err(BadPath::Parent(text.to_owned()));
        for (typed, refusal) in [
            ("", Err(BadPath::Empty)),
            ("./", Err(BadPath::Empty)),
            ("C:\\a", absolute("C:\\a")),
            ("c:/a", absolute("c:/a")),
            ("https://h/a", absolute("https://h/a")),
            ("../a", parent("../a")),
            ("a/../b", parent("a/../b")),
        ] {
            assert_eq!(repository_path(typed), refusal, "{typed}");
        }
    }

    proptest! {
        #[test]
        fn a_path_that_was_read_stays_as_it_is(text in "\\PC{0,40}") {
            if let Ok(path) = repository_path(&text) {
                prop_assert_eq!(repository_path(&path), Ok(path));
            }
        }
    }
}
