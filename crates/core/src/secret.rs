//! A text that must not be shown.

use std::fmt;

/// A token or password. `Debug` and `Display` never show it, it cannot be serialised, and it cannot
/// be compared, because `==` on a secret leaks how much of it was guessed:
///
/// ```compile_fail
/// use annals_core::Secret;
/// assert!(Secret::new("a") == Secret::new("a"));
/// ```
///
/// What it holds is reached by name only, so that a search for `expose` finds every use.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into_boxed_str())
    }

    /// The text itself, for the one place that sends or writes it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("glpat-abc");
        let shown = format!("{secret} {secret:?} {secret:#?} {:?}", Some(&secret));
        assert!(!shown.contains("glpat"), "{shown}");
        assert_eq!(secret.clone().expose(), "glpat-abc");
    }
}
