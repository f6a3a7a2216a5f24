//! Nothing waits inside a transaction, and transactions begin and end only in db: neither by a statement nor by a method of
//! the connection.

use std::collections::HashSet;

use syn::visit::{self, Visit};
use syn::{Expr, Member, Pat};

use super::cx::has_await;
use super::finding::Finding;
use super::source::{Source, flat};
use super::tree::Tree;

pub const NAME: &str = "tx";

/// Methods of a connection that begin a transaction.
const BEGIN: &[&str] = &["unchecked_transaction", "transaction_with_behavior", "savepoint"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources
        .iter()
        .filter(|source| source.is_product())
        .flat_map(in_source)
        .collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut given = Given::default();
    given.visit_file(&source.product);
    let mut visitor = Transactions {
        given: given.0,
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
    /// Names of closures that become transactions.
    given: HashSet<String>,
    /// How many closures given to `db.write` or `db.read` are around.
    inside: usize,
    findings: Vec<Finding>,
}

impl Transactions<'_> {
    fn owns(&mut self, line: usize, what: &str) {
        if !self.owns_transactions {
            let why = "only db begins and ends transactions; use `db.write(cx, |tx| …)`";
            self.findings.push(Finding::new(NAME, self.path, line, what, why));
        }
    }

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
        if BEGIN.contains(&name.as_str()) {
            self.owns(call.method.span().start().line, &name);
        }
        self.visit_expr(&call.receiver);
        let opens = opens(call);
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
        for token in flat(mac.tokens.clone()) {
            if let Ok(literal) = syn::parse2::<syn::LitStr>(token.into()) {
                self.visit_lit_str(&literal);
            }
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let closure = match (&local.pat, &local.init) {
            (Pat::Ident(name), Some(init)) if matches!(&*init.expr, Expr::Closure(_)) => Some(name.ident.to_string()),
            _ => None,
        };
        let given = closure.is_some_and(|name| self.given.contains(&name));
        self.inside += usize::from(given);
        visit::visit_local(self, local);
        self.inside -= usize::from(given);
    }

    // Documentation is an attribute.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        let value = literal.value();
        if let Some(statement) = value.split(';').find(|statement| is_of_a_transaction(statement)) {
            self.owns(literal.span().start().line, statement.trim());
        }
    }
}

/// Closures that are given to `db.write` or `db.read` by name.
#[derive(Default)]
struct Given(HashSet<String>);

impl<'ast> Visit<'ast> for Given {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if opens(call) {
            let names = call.args.iter().filter_map(|argument| match argument {
                Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
                _ => None,
            });
            self.0.extend(names);
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// `BEGIN IMMEDIATE`, `commit transaction`; one word alone counts only in capitals, because `commit` is also a word.
fn is_of_a_transaction(statement: &str) -> bool {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    match upper.as_slice() {
        ["BEGIN" | "COMMIT" | "ROLLBACK"] => words == upper,
        ["BEGIN", "DEFERRED" | "IMMEDIATE" | "EXCLUSIVE" | "TRANSACTION", ..]
        | ["COMMIT" | "END" | "ROLLBACK", "TRANSACTION"]
        | ["ROLLBACK", "TO", ..] => true,
        ["SAVEPOINT" | "RELEASE", _] => words.first() == upper.first(),
        _ => false,
    }
}

fn opens(call: &syn::ExprMethodCall) -> bool {
    (call.method == "write" || call.method == "read") && is_db(&call.receiver)
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
