//! A match on a kind of failure names every kind: a new one must not slip through.

use syn::Pat;
use syn::visit::{self, Visit};

use super::finding::Finding;
use super::source::Source;
use super::tree::Tree;

pub const NAME: &str = "match";

/// The types of `core` that decide what a user sees.
const KINDS: &[&str] = &["NetworkErrorKind", "Outcome", "OutcomeKind", "CancelKind", "Code"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources
        .iter()
        .filter(|source| source.is_product())
        .flat_map(in_source)
        .collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut matches = Matches {
        path: &source.path,
        owner: None,
        findings: Vec::new(),
    };
    matches.visit_file(&source.product);
    matches.findings
}

struct Matches<'a> {
    path: &'a str,
    /// What `Self` is.
    owner: Option<String>,
    findings: Vec<Finding>,
}

impl Matches<'_> {
    /// Judges patterns that stand side by side for the same value; those in `Some(…)`, `Ok(…)`, `Err(…)` again.
    fn check(&mut self, patterns: &[&Pat]) {
        let kind = patterns
            .iter()
            .find_map(|pattern| kind_of(pattern, self.owner.as_deref()));
        if let Some(kind) = kind {
            for pattern in patterns.iter().filter(|pattern| catches_all(pattern)) {
                let line = syn::spanned::Spanned::span(pattern).start().line;
                let why = "a wildcard hides kinds that are added later; name them";
                self.findings.push(Finding::new(NAME, self.path, line, kind, why));
            }
            return;
        }
        for wrapper in ["Some", "Ok", "Err"] {
            let inner: Vec<&Pat> = patterns.iter().flat_map(|pattern| wrapped(pattern, wrapper)).collect();
            if !inner.is_empty() {
                self.check(&inner);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Matches<'_> {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let owner = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        let outer = std::mem::replace(&mut self.owner, owner);
        visit::visit_item_impl(self, item);
        self.owner = outer;
    }

    fn visit_expr_match(&mut self, expression: &'ast syn::ExprMatch) {
        let patterns: Vec<&Pat> = expression.arms.iter().map(|arm| &arm.pat).collect();
        self.check(&patterns);
        visit::visit_expr_match(self, expression);
    }
}

/// The watched type that a pattern names a variant of, at its top.
fn kind_of(pattern: &Pat, owner: Option<&str>) -> Option<&'static str> {
    let of_path = |path: &syn::Path| {
        let before_last = path.segments.iter().rev().nth(1)?.ident.to_string();
        let name = if before_last == "Self" {
            owner?.to_owned()
        } else {
            before_last
        };
        KINDS.iter().copied().find(|kind| *kind == name)
    };
    match pattern {
        Pat::Path(path) => of_path(&path.path),
        Pat::TupleStruct(pattern) => of_path(&pattern.path),
        Pat::Struct(pattern) => of_path(&pattern.path),
        Pat::Or(or) => or.cases.iter().find_map(|case| kind_of(case, owner)),
        Pat::Paren(inner) => kind_of(&inner.pat, owner),
        Pat::Reference(inner) => kind_of(&inner.pat, owner),
        Pat::Guard(guarded) => kind_of(&guarded.pat, owner),
        Pat::Ident(binding) => binding.subpat.as_ref().and_then(|(_, inner)| kind_of(inner, owner)),
        _ => None,
    }
}

/// What a pattern has inside of `Some(…)` and the like.
fn wrapped<'p>(pattern: &'p Pat, wrapper: &str) -> Vec<&'p Pat> {
    match pattern {
        Pat::TupleStruct(outer) if outer.path.is_ident(wrapper) => outer.elems.iter().collect(),
        Pat::Or(or) => or.cases.iter().flat_map(|case| wrapped(case, wrapper)).collect(),
        Pat::Paren(inner) => wrapped(&inner.pat, wrapper),
        Pat::Reference(inner) => wrapped(&inner.pat, wrapper),
        _ => Vec::new(),
    }
}

/// `_`, or a name that binds whatever is left. A single capital name is a constant, not a binding.
fn catches_all(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        Pat::Ident(binding) => {
            let constant = binding
                .ident
                .to_string()
                .chars()
                .all(|c| c.is_uppercase() || c.is_numeric() || c == '_');
            binding.subpat.is_none() && !constant
        }
        Pat::Paren(inner) => catches_all(&inner.pat),
        Pat::Or(or) => or.cases.iter().any(catches_all),
        _ => false,
    }
}
