//! A public async function says which errors it returns and what has happened if it is cancelled.

use syn::visit::{self, Visit};
use syn::{Attribute, ReturnType, Signature, Visibility};

use super::finding::Finding;
use super::source::{Role, Source, doc_lines};
use super::tree::Tree;

pub const NAME: &str = "docs";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let libraries = tree
        .sources
        .iter()
        .filter(|source| source.role == Role::Product && source.crate_folder() != "cli");
    libraries.flat_map(in_source).collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut functions = Functions {
        path: &source.path,
        public_trait: false,
        findings: Vec::new(),
    };
    functions.visit_file(&source.product);
    functions.findings
}

struct Functions<'a> {
    path: &'a str,
    public_trait: bool,
    findings: Vec<Finding>,
}

impl Functions<'_> {
    fn check(&mut self, attributes: &[Attribute], signature: &Signature) {
        if signature.asyncness.is_none() {
            return;
        }
        let docs = doc_lines(attributes);
        let mut missing = Vec::new();
        if returns_result(&signature.output) && !has_heading(&docs, "# Errors") {
            missing.push("# Errors");
        }
        if !has_heading(&docs, "# Cancel safety") {
            missing.push("# Cancel safety");
        }
        if !missing.is_empty() {
            let why = format!("a public async function without `{}`", missing.join("` and `"));
            let line = signature.ident.span().start().line;
            self.findings
                .push(Finding::new(NAME, self.path, line, signature.ident.to_string(), why));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if matches!(item.vis, Visibility::Public(_)) {
            self.check(&item.attrs, &item.sig);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if matches!(item.vis, Visibility::Public(_)) {
            self.check(&item.attrs, &item.sig);
        }
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.public_trait = matches!(item.vis, Visibility::Public(_));
        visit::visit_item_trait(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if self.public_trait {
            self.check(&item.attrs, &item.sig);
        }
    }
}

/// Whether the heading is there, and text beneath it.
fn has_heading(docs: &[String], heading: &str) -> bool {
    let beneath = docs.iter().skip_while(|line| *line != heading).skip(1);
    let mut text = beneath.take_while(|line| !line.starts_with("# "));
    text.any(|line| !line.is_empty())
}

/// Whether an error can come back: `Result`, an alias of it, or `Outcome`.
fn returns_result(output: &ReturnType) -> bool {
    let ReturnType::Type(_, of) = output else { return false };
    let syn::Type::Path(path) = &**of else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|segment| segment.ident.to_string().ends_with("Result") || segment.ident == "Outcome")
}
