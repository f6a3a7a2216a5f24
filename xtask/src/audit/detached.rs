//! A task starts only in a region, and its handle is not thrown away.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, Pat};

use super::finding::Finding;
use super::paths::Named;
use super::source::Source;
use super::tree::Tree;

pub const NAME: &str = "detached";

const IN_A_REGION: &str = "starts work that no region owns; use `cx.spawn`, `cx.blocking`, `cx.group` or `cx.process`";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.sources.iter().filter(|source| source.is_product());
    sources
        .filter(|source| source.crate_folder() != "net-adapter")
        .flat_map(in_source)
        .collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let named = source.paths().iter().filter(|named| starts_work(named));
    let mut findings: Vec<Finding> = named
        .map(|named| Finding::new(NAME, &source.path, named.line, named.text(), IN_A_REGION))
        .collect();
    let mut calls = Calls {
        path: &source.path,
        findings: Vec::new(),
    };
    calls.visit_file(&source.product);
    findings.append(&mut calls.findings);
    findings
}

fn starts_work(named: &Named) -> bool {
    const NAMES: &[&str] = &[
        "spawn_local",
        "spawn_blocking",
        "JoinSet",
        "AbortHandle",
        "FuturesUnordered",
        "join_all",
        "try_join_all",
    ];
    let thread = named.before(1) == Some("thread") && ["spawn", "scope", "Builder"].contains(&named.last());
    let builder = named.ends_with(&["thread", "Builder", "new"]);
    let free_spawn = named.last() == "spawn" && named.segments.len() > 1;
    // `Group::join_all` waits for what a region owns.
    let in_group = named.before(1) == Some("Group");
    let command =
        named.segments.iter().any(|name| name == "Command") && named.segments.iter().any(|name| name == "process");
    (NAMES.contains(&named.last()) && !in_group) || thread || builder || (free_spawn && !in_group) || command
}

struct Calls<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Calls<'_> {
    fn add(&mut self, span: Span, what: &str, why: &str) {
        self.findings
            .push(Finding::new(NAME, self.path, span.start().line, what, why));
    }

    fn check_thrown_away(&mut self, span: Span, value: &Expr) {
        if let Some(what) = handle_of(value) {
            self.add(
                span,
                what,
                "the handle is thrown away; keep it and wait for it, or close the region",
            );
        }
    }
}

impl<'ast> Visit<'ast> for Calls<'_> {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        let with_context = is_context(&call.receiver) || call.args.first().is_some_and(is_context);
        match name.as_str() {
            "spawn" | "join_all" if !with_context => self.add(call.method.span(), &name, IN_A_REGION),
            "spawn_local" | "spawn_blocking" => self.add(call.method.span(), &name, IN_A_REGION),
            _ => {}
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let pattern = match &local.pat {
            Pat::Type(typed) => &*typed.pat,
            pattern => pattern,
        };
        if let (Pat::Wild(wild), Some(init)) = (pattern, &local.init) {
            self.check_thrown_away(wild.span(), &init.expr);
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
        if matches!(&*assign.left, Expr::Infer(_)) {
            self.check_thrown_away(assign.left.span(), &assign.right);
        }
        visit::visit_expr_assign(self, assign);
    }
}

/// Whether an expression is a context: `cx`, `&child_cx`, `self.cx`, `region.cx()`.
fn is_context(expression: &Expr) -> bool {
    let named = |name: &str| name == "cx" || name.ends_with("_cx");
    match expression {
        Expr::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|segment| named(&segment.ident.to_string())),
        Expr::Reference(reference) => is_context(&reference.expr),
        Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => named(&name.to_string()),
            syn::Member::Unnamed(_) => false,
        },
        Expr::MethodCall(call) => {
            named(&call.method.to_string()) || (call.method == "clone" && is_context(&call.receiver))
        }
        Expr::Paren(inner) => is_context(&inner.expr),
        _ => false,
    }
}

/// The call that made a task or a region, under `?`, `.await` and further calls.
fn handle_of(expression: &Expr) -> Option<&'static str> {
    match expression {
        Expr::MethodCall(call) => match call.method.to_string().as_str() {
            "spawn" => Some("TaskHandle"),
            "spawn_thread" => Some("TaskHandle"),
            "open_region" | "open_slice" => Some("Region"),
            "unwrap" | "expect" | "map_err" | "ok" => handle_of(&call.receiver),
            _ => None,
        },
        Expr::Try(inner) => handle_of(&inner.expr),
        Expr::Await(inner) => handle_of(&inner.base),
        Expr::Paren(inner) => handle_of(&inner.expr),
        _ => None,
    }
}
