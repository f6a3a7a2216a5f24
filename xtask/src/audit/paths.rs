//! The paths that a file names, with imports and type aliases followed.
//!
//! Inside macros, which are not parsed, every run of `name::name` counts.

use std::collections::{HashMap, HashSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Type, UseTree};

/// A path as the file means it: `Instant::now` after `use std::time::Instant` is `std::time::Instant::now`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub segments: Vec<String>,
    pub line: usize,
    pub place: Place,
}

/// How a path comes to stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `use`, `extern crate`: the first name is a crate or a module.
    Import,
    /// Anywhere else: a single name may be a variable.
    Mention,
}

impl Named {
    pub fn text(&self) -> String {
        self.segments.join("::")
    }

    /// Whether the path ends with these names.
    pub fn ends_with(&self, tail: &[&str]) -> bool {
        self.segments.len() >= tail.len() && self.segments.iter().rev().zip(tail.iter().rev()).all(|(a, b)| a == b)
    }

    /// The name before the last `n`, if there is one.
    pub fn before(&self, n: usize) -> Option<&str> {
        let at = self.segments.len().checked_sub(n + 1)?;
        self.segments.get(at).map(String::as_str)
    }

    pub fn root(&self) -> &str {
        self.segments.first().map_or("", String::as_str)
    }

    pub fn last(&self) -> &str {
        self.segments.last().map_or("", String::as_str)
    }
}

/// Every path of the file, in the order of the file.
pub fn named_paths(file: &syn::File) -> Vec<Named> {
    let mut scope = Scope::default();
    scope.visit_file(file);
    let mut collector = Collector {
        scope,
        found: Vec::new(),
    };
    collector.visit_file(file);
    collector.found
}

/// Names that a file gives to things of elsewhere, and modules of its own.
#[derive(Default)]
struct Scope {
    imports: HashMap<String, Vec<String>>,
    modules: HashSet<String>,
}

impl Scope {
    fn resolve(&self, segments: Vec<String>) -> Vec<String> {
        let Some(first) = segments.first() else { return segments };
        if let Some(full) = self.imports.get(first) {
            return full.iter().chain(segments.iter().skip(1)).cloned().collect();
        }
        if self.modules.contains(first) {
            return std::iter::once("self".to_owned()).chain(segments).collect();
        }
        segments
    }
}

impl<'ast> Visit<'ast> for Scope {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for (alias, named) in leaves(&item.tree, &mut Vec::new()) {
            self.imports.insert(alias, named.segments);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.modules.insert(item.ident.to_string());
        visit::visit_item_mod(self, item);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        if let Some((_, alias)) = &item.rename {
            self.imports.insert(alias.to_string(), vec![item.ident.to_string()]);
        }
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        if let Type::Path(path) = &*item.ty
            && path.path.segments.len() > 1
        {
            self.imports.insert(item.ident.to_string(), names(&path.path));
        }
    }
}

struct Collector {
    scope: Scope,
    found: Vec<Named>,
}

impl Collector {
    fn push(&mut self, segments: Vec<String>, line: usize) {
        let segments = self.scope.resolve(segments);
        self.found.push(Named {
            segments,
            line,
            place: Place::Mention,
        });
    }

    /// Paths in the tokens of a macro or an attribute.
    fn scan(&mut self, tokens: TokenStream) {
        let mut run = Run::default();
        let mut link = Link::Apart;
        for token in tokens {
            link = match token {
                TokenTree::Ident(ident) => {
                    if link != Link::PathSep {
                        self.end(&mut run);
                        run.is_method = link == Link::Dot;
                    }
                    if run.segments.is_empty() {
                        run.line = ident.span().start().line;
                    }
                    run.segments.push(ident.to_string());
                    Link::Apart
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => match link {
                    Link::Colon => Link::PathSep,
                    _ => Link::Colon,
                },
                TokenTree::Punct(punct) => {
                    self.end(&mut run);
                    if punct.as_char() == '.' { Link::Dot } else { Link::Apart }
                }
                TokenTree::Group(group) => {
                    self.end(&mut run);
                    self.scan(group.stream());
                    Link::Apart
                }
                TokenTree::Literal(_) => {
                    self.end(&mut run);
                    Link::Apart
                }
            };
        }
        self.end(&mut run);
    }

    fn end(&mut self, run: &mut Run) {
        let Run {
            segments,
            line,
            is_method,
        } = std::mem::take(run);
        let known = segments.len() > 1
            || segments
                .first()
                .is_some_and(|name| self.scope.imports.contains_key(name));
        if known && !is_method {
            self.push(segments, line);
        }
    }
}

/// A path that is being read from tokens.
#[derive(Default)]
struct Run {
    segments: Vec<String>,
    line: usize,
    is_method: bool,
}

/// What stands between two names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Apart,
    Colon,
    PathSep,
    Dot,
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for (_, named) in leaves(&item.tree, &mut Vec::new()) {
            let local = item.leading_colon.is_none() && self.scope.modules.contains(named.root());
            if !local {
                self.found.push(named);
            }
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.found.push(Named {
            segments: vec![item.ident.to_string()],
            line: item.ident.span().start().line,
            place: Place::Import,
        });
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.push(names(path), path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        // `<Instant>::now` is `Instant::now`.
        if let Some(qself) = &path.qself
            && qself.position == 0
            && let Type::Path(of) = &*qself.ty
        {
            let segments = names(&of.path).into_iter().chain(names(&path.path)).collect();
            self.push(segments, path.span().start().line);
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        visit::visit_macro(self, mac);
        self.scan(mac.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        visit::visit_attribute(self, attribute);
        if let syn::Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }
}

fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// The names that a `use` brings in, each with the path it stands for.
fn leaves(tree: &UseTree, prefix: &mut Vec<String>) -> Vec<(String, Named)> {
    let leaf = |prefix: &[String], name: &str, alias: &str, line: usize| {
        let mut segments = prefix.to_vec();
        if name != "self" || segments.is_empty() {
            segments.push(name.to_owned());
        }
        let alias = if alias == "self" {
            segments.last().map_or("", String::as_str)
        } else {
            alias
        };
        (
            alias.to_owned(),
            Named {
                segments: segments.clone(),
                line,
                place: Place::Import,
            },
        )
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            let found = leaves(&path.tree, prefix);
            prefix.pop();
            found
        }
        UseTree::Name(name) => {
            let (text, line) = (name.ident.to_string(), name.ident.span().start().line);
            vec![leaf(prefix, &text, &text, line)]
        }
        UseTree::Rename(rename) => {
            let line = rename.ident.span().start().line;
            vec![leaf(
                prefix,
                &rename.ident.to_string(),
                &rename.rename.to_string(),
                line,
            )]
        }
        UseTree::Glob(glob) => vec![leaf(prefix, "*", "*", glob.star_token.span().start().line)],
        UseTree::Group(group) => group.items.iter().flat_map(|tree| leaves(tree, prefix)).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        named_paths(&syn::parse_file(text).unwrap())
            .iter()
            .map(Named::text)
            .collect()
    }

    #[test]
    fn imports_and_aliases_are_followed() {
        let text = "use std::time::{self, Instant as Now}; type T = std::time::SystemTime; \
                    fn f() { Now::now(); time::Instant::now(); T::now(); <Now>::now(); }";
        let found = found(text);
        assert_eq!(
            found.iter().filter(|path| *path == "std::time::Instant::now").count(),
            3,
            "{found:?}"
        );
        assert!(found.contains(&"std::time::SystemTime::now".to_owned()), "{found:?}");
    }

    #[test]
    fn macros_are_searched_but_strings_and_comments_are_not() {
        let text = "fn f() { log!(a, tokio::spawn(b::c), \"smol::x\", x.rand::<T>()); /* hyper::y */ }";
        let found = found(text);
        assert!(
            found.contains(&"tokio::spawn".to_owned()) && found.contains(&"b::c".to_owned()),
            "{found:?}"
        );
        assert!(
            !found.iter().any(|path| path.contains("smol") || path.contains("hyper")),
            "{found:?}"
        );
    }

    #[test]
    fn a_module_of_the_file_is_not_a_crate() {
        assert!(
            found("mod tokio; use tokio::A; fn f() { tokio::g() }")
                .iter()
                .all(|path| !path.starts_with("tokio"))
        );
    }
}
