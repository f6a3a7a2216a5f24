//! The names of tests, as far as a file shows them: functions with `#[test]`, also inside of macros, the bodies that an
//! `on_every_…!` macro makes into one test per host, and documented items that must not compile.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Meta};

use super::source::{Source, doc_lines};

/// A test that a file has.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownTest {
    pub name: String,
    pub line: usize,
    pub runs: Runs,
}

/// Whether `cargo test` runs it unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    Always,
    /// `#[ignore]`.
    WhenAsked,
}

/// The tests of a file, in its order.
pub fn known_tests(source: &Source) -> Vec<KnownTest> {
    let mut finder = Finder { found: Vec::new() };
    finder.visit_file(&source.ast);
    finder.found
}

struct Finder {
    found: Vec<KnownTest>,
}

impl Finder {
    fn add(&mut self, name: &syn::Ident, runs: Runs) {
        self.found.push(KnownTest {
            name: name.to_string(),
            line: name.span().start().line,
            runs,
        });
    }

    /// `#[test] … fn name` in the tokens of a macro such as `proptest!`.
    fn scan(&mut self, tokens: TokenStream) {
        let mut attributes: Vec<String> = Vec::new();
        let mut after = After::Other;
        for token in tokens {
            after = match (&token, after) {
                (TokenTree::Punct(punct), _) if punct.as_char() == '#' => After::Hash,
                (TokenTree::Group(group), After::Hash) if group.delimiter() == Delimiter::Bracket => {
                    let first = group.stream().into_iter().next();
                    attributes.extend(first.map(|first| first.to_string()));
                    After::Other
                }
                (TokenTree::Group(group), _) => {
                    self.scan(group.stream());
                    attributes.clear();
                    After::Other
                }
                (TokenTree::Ident(ident), After::Fn) => {
                    let has = |name: &str| attributes.iter().any(|attribute| attribute == name);
                    if has("test") {
                        self.add(ident, if has("ignore") { Runs::WhenAsked } else { Runs::Always });
                    }
                    attributes.clear();
                    After::Other
                }
                (TokenTree::Ident(ident), _) if ident == "fn" => After::Fn,
                _ => After::Other,
            };
        }
    }
}

#[derive(Clone, Copy)]
enum After {
    Hash,
    Fn,
    Other,
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let has = |name: &str| item.attrs.iter().any(|attribute| attribute.path().is_ident(name));
        if has("test") {
            let runs = if has("ignore") { Runs::WhenAsked } else { Runs::Always };
            self.add(&item.sig.ident, runs);
        } else if is_for_doctests(&item.attrs)
            && doc_lines(&item.attrs).iter().any(|line| line.contains("compile_fail"))
        {
            self.add(&item.sig.ident, Runs::Always);
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let name = mac.path.segments.last().map(|segment| segment.ident.to_string());
        if name.is_some_and(|name| name.starts_with("on_every_")) {
            for token in mac.tokens.clone() {
                if let TokenTree::Ident(ident) = token {
                    self.add(&ident, Runs::Always);
                }
            }
        } else {
            self.scan(mac.tokens.clone());
        }
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        // What a `macro_rules!` would make has no name yet.
        if item.ident.is_none() {
            visit::visit_item_macro(self, item);
        }
    }
}

/// `#[cfg(doctest)]`: nothing but the examples of its documentation.
fn is_for_doctests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<Meta>()
                .is_ok_and(|condition| condition.path().is_ident("doctest"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_wherever_they_are_declared() {
        let text = "#[test] fn plain() {} #[test] #[ignore] fn sleeping() {} fn helper() {} \
                    mod inner { #[cfg(unix)] #[test] fn nested() {} } \
                    proptest! { #[test] fn property(x in any::<u8>()) { f(x) } fn no_test() {} } \
                    annals_net_adapter::on_every_host!(body, other,); \
                    macro_rules! make { () => { #[test] fn template() {} } } \
                    #[cfg(doctest)] /// ```compile_fail\n fn must_not_compile() {}";
        let source = Source::parse("crates/db/tests/x.rs", text).unwrap();
        let found: Vec<(String, Runs)> = known_tests(&source)
            .into_iter()
            .map(|test| (test.name, test.runs))
            .collect();
        let always = |name: &str| (name.to_owned(), Runs::Always);
        assert_eq!(
            found,
            [
                always("plain"),
                ("sleeping".to_owned(), Runs::WhenAsked),
                always("nested"),
                always("property"),
                always("body"),
                always("other"),
                always("must_not_compile"),
            ]
        );
    }
}
