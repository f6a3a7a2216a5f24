//! Nothing waits inside a transaction, and transactions begin and end only in db.

use syn::visit::{self, Visit};
use syn::{Expr, Member};

use super::cx::has_await;
use super::finding::Finding;
use super::source::Source;
use super::tree::Tree;

pub const NAME: &str = "tx";

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources
        .iter()
        .filter(|source| source.is_product())
        .flat_map(in_source)
        .collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut visitor = Transactions {
        path: &source.path,
        owns_transactions: source.crate_folder() == "db",
        inside: 0,
        findings: Vec::new(),
    };
    visitor.visit_file(&source.product);
    visitor.findings
}

struct Transactions<'a> {
    path: &'a str,
    owns_transactions: bool,
    /// How many closures given to `db.write` or `db.read` are around.
    inside: usize,
    findings: Vec<Finding>,
}

impl Transactions<'_> {
    fn wait(&mut self, line: usize, what: &str) {
        if self.inside > 0 {
            let why = "waits inside a transaction; do it before or after";
            self.findings.push(Finding::new(NAME, self.path, line, what, why));
        }
    }
}

impl<'ast> Visit<'ast> for Transactions<'_> {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        if name == "block_on" {
            self.wait(call.method.span().start().line, &name);
        }
        self.visit_expr(&call.receiver);
        let opens = (name == "write" || name == "read") && is_db(&call.receiver);
        for argument in &call.args {
            let closure = opens && matches!(argument, Expr::Closure(_));
            self.inside += usize::from(closure);
            self.visit_expr(argument);
            self.inside -= usize::from(closure);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(path) = &*call.func
            && let Some(last) = path.path.segments.last()
            && last.ident == "block_on"
        {
            self.wait(last.ident.span().start().line, "block_on");
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_await(&mut self, wait: &'ast syn::ExprAwait) {
        self.wait(wait.await_token.span.start().line, ".await");
        visit::visit_expr_await(self, wait);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if has_await(mac.tokens.clone()) {
            self.wait(mac.bang_token.span.start().line, ".await");
        }
        visit::visit_macro(self, mac);
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        let value = literal.value();
        let first = value
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .unwrap_or_default();
        let statement = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"]
            .iter()
            .find(|word| **word == first);
        if let (Some(statement), false) = (statement, self.owns_transactions) {
            let why = "only db begins and ends transactions; use `db.write(cx, |tx| …)`";
            let line = literal.span().start().line;
            self.findings.push(Finding::new(NAME, self.path, line, *statement, why));
        }
    }
}

/// `db`, `self.db`, `state.db()`, `content_db`.
fn is_db(expression: &Expr) -> bool {
    let named = |name: &str| name == "db" || name.ends_with("_db");
    match expression {
        Expr::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|segment| named(&segment.ident.to_string())),
        Expr::Field(field) => matches!(&field.member, Member::Named(name) if named(&name.to_string())),
        Expr::MethodCall(call) => named(&call.method.to_string()),
        Expr::Reference(reference) => is_db(&reference.expr),
        Expr::Paren(inner) => is_db(&inner.expr),
        _ => false,
    }
}
