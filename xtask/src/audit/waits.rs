//! A wait can be cancelled: what is awaited was given a context, is a method of one, or stands inside `or_cancel`,
//! `timeout` or `masked`, which give up on it when the context says so.
//!
//! One function is looked at alone, from its top to its end, and by these rules only. Allowed is
//!
//! - a call with a context among its arguments: `cx`, `&request_cx`, `self.cx`, `region.cx()`, a literal, a tuple or a
//!   constructor with one of these in it. So `task.join(&cx)` passes;
//! - a method of a context, `cx.sleep(…)`; in `impl Cx` also of `self`;
//! - a call that is given a future which passes, `Box::pin(open(cx))`, or is a method of one, `open(cx).boxed()`;
//! - an `async` block: its own awaits are looked at where they stand;
//! - a name that was last bound to such a future;
//! - whatever stands in an argument of `or_cancel`, `or_stop`, `timeout` or `masked`, or is bound to a name that does;
//! - `close_within`, which is bounded and must not be cancelled;
//! - a macro whose tokens name a context: what is inside one is not parsed.
//!
//! The backends are what a context is made of; test sources may wait as they like. That a context is called `cx` is what
//! the audit `cx` sees to. The rest stands in `audit.toml`, each with its reason.

use std::collections::{HashMap, HashSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Expr, Member, Pat};

use super::cx::{has_await, type_name};
use super::finding::Finding;
use super::source::Source;
use super::tree::Tree;

pub const NAME: &str = "await";

/// What gives up on the future that it is given.
const GUARDS: &[&str] = &["or_cancel", "or_stop", "timeout", "masked"];

/// Methods of a context that return another.
const DERIVED: &[&str] = &["clone", "with_budget", "without"];

/// Bounded in itself, and the end of what a cancelled context asked for.
const BOUNDED: &str = "close_within";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree
        .sources
        .iter()
        .filter(|source| source.is_product() && !source.is_backend());
    sources.flat_map(in_source).collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut functions = Functions {
        path: &source.path,
        of_context: false,
        findings: Vec::new(),
    };
    functions.visit_file(&source.product);
    functions.findings
}

/// Finds the functions of a file, whose bodies are then looked at one by one.
struct Functions<'a> {
    path: &'a str,
    /// Whether `self` is a context.
    of_context: bool,
    findings: Vec<Finding>,
}

impl Functions<'_> {
    fn check(&mut self, body: &Block) {
        let mut guarded = Guarded::default();
        guarded.visit_block(body);
        let mut awaits = Awaits {
            path: self.path,
            of_context: self.of_context,
            guarded: guarded.0,
            around: 0,
            scopes: Vec::new(),
            findings: Vec::new(),
        };
        awaits.visit_block(body);
        self.findings.append(&mut awaits.findings);
        // Functions inside of functions.
        visit::visit_block(self, body);
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check(&item.block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of_context = type_name(&item.self_ty).as_deref() == Some("Cx");
        let outer = std::mem::replace(&mut self.of_context, of_context);
        visit::visit_item_impl(self, item);
        self.of_context = outer;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.check(body);
        }
    }
}

/// Names that stand in an argument of a guard anywhere in the function.
#[derive(Default)]
struct Guarded(HashSet<String>);

impl<'ast> Visit<'ast> for Guarded {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if is_guard(call) {
            for argument in &call.args {
                self.0.extend(single_names(argument));
            }
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Context,
    /// A future that ends when its context says so.
    Obedient,
    Other,
}

struct Awaits<'a> {
    path: &'a str,
    of_context: bool,
    guarded: HashSet<String>,
    /// How many guards are around.
    around: usize,
    /// The names of each block that is open, innermost last.
    scopes: Vec<HashMap<String, Kind>>,
    findings: Vec<Finding>,
}

impl Awaits<'_> {
    fn add(&mut self, line: usize, what: String) {
        let why = "waits where no context can end it; pass `cx`, or wrap it in `cx.or_cancel(…)`";
        self.findings.push(Finding::new(NAME, self.path, line, what, why));
    }

    fn guard(&mut self, visit: impl FnOnce(&mut Self)) {
        self.around += 1;
        visit(self);
        self.around -= 1;
    }

    fn scope(&mut self, visit: impl FnOnce(&mut Self)) {
        self.scopes.push(HashMap::new());
        visit(self);
        self.scopes.pop();
    }

    fn bind(&mut self, name: String, kind: Kind) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, kind);
        }
    }

    fn kind_of_name(&self, name: &str) -> Kind {
        let bound = self.scopes.iter().rev().find_map(|scope| scope.get(name)).copied();
        match bound {
            Some(kind) if kind != Kind::Other => kind,
            _ if is_context_name(name) || (self.of_context && name == "self") => Kind::Context,
            _ => Kind::Other,
        }
    }

    fn kind(&self, expression: &Expr) -> Kind {
        match expression {
            Expr::Path(path) => path
                .path
                .get_ident()
                .map_or(Kind::Other, |name| self.kind_of_name(&name.to_string())),
            Expr::Reference(inner) => self.kind(&inner.expr),
            Expr::Paren(inner) => self.kind(&inner.expr),
            Expr::Field(field) => match &field.member {
                Member::Named(name) if is_context_name(&name.to_string()) => Kind::Context,
                Member::Named(_) | Member::Unnamed(_) => Kind::Other,
            },
            Expr::Struct(literal) if self.has(Kind::Context, literal.fields.iter().map(|field| &field.expr)) => {
                Kind::Context
            }
            Expr::Tuple(tuple) if self.has(Kind::Context, &tuple.elems) => Kind::Context,
            Expr::Call(call) if is_constructor(&call.func) && self.has(Kind::Context, &call.args) => Kind::Context,
            Expr::Call(call) if self.knows(&call.args) => Kind::Obedient,
            Expr::MethodCall(call) => self.kind_of_method(call),
            Expr::Async(_) => Kind::Obedient,
            Expr::Macro(mac) if names_context(mac.mac.tokens.clone()) => Kind::Obedient,
            _ => Kind::Other,
        }
    }

    fn kind_of_method(&self, call: &syn::ExprMethodCall) -> Kind {
        let (method, receiver) = (call.method.to_string(), self.kind(&call.receiver));
        let derived = DERIVED.contains(&method.as_str()) && receiver == Kind::Context;
        if derived || is_context_name(&method) {
            Kind::Context
        } else if receiver != Kind::Other || self.knows(&call.args) || method == BOUNDED {
            Kind::Obedient
        } else {
            Kind::Other
        }
    }

    fn has<'e>(&self, kind: Kind, parts: impl IntoIterator<Item = &'e Expr>) -> bool {
        parts.into_iter().any(|part| self.kind(part) == kind)
    }

    /// Whether one of them is a context, or a future that has one.
    fn knows<'e>(&self, arguments: impl IntoIterator<Item = &'e Expr>) -> bool {
        arguments.into_iter().any(|argument| self.kind(argument) != Kind::Other)
    }
}

impl<'ast> Visit<'ast> for Awaits<'_> {
    fn visit_expr_await(&mut self, wait: &'ast syn::ExprAwait) {
        // A context is no future, but a constructor may look like one: `Page::new(cx)`.
        if self.around == 0 && self.kind(&wait.base) == Kind::Other {
            self.add(wait.await_token.span.start().line, what(&wait.base));
        }
        visit::visit_expr_await(self, wait);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.visit_expr(&call.receiver);
        let arguments = |this: &mut Self| call.args.iter().for_each(|argument| this.visit_expr(argument));
        if is_guard(call) {
            self.guard(arguments);
        } else {
            arguments(self);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let pattern = match &local.pat {
            Pat::Type(typed) => &*typed.pat,
            pattern => pattern,
        };
        let name = match pattern {
            Pat::Ident(name) if name.subpat.is_none() => Some(name.ident.to_string()),
            _ => None,
        };
        let mut kind = Kind::Other;
        if let Some(init) = &local.init {
            if name.as_ref().is_some_and(|name| self.guarded.contains(name)) {
                self.guard(|this| visit::visit_local_init(this, init));
            } else {
                visit::visit_local_init(self, init);
            }
            kind = self.kind(&init.expr);
        }
        // The old meaning of a name ends here, behind the value that may still have used it.
        self.visit_pat(&local.pat);
        if let Some(name) = name {
            self.bind(name, kind);
        }
    }

    fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
        visit::visit_expr_assign(self, assign);
        if let Expr::Path(path) = &*assign.left
            && let Some(name) = path.path.get_ident()
        {
            let (name, kind) = (name.to_string(), self.kind(&assign.right));
            let scope = self.scopes.iter_mut().rev().find(|scope| scope.contains_key(&name));
            if let Some(scope) = scope {
                scope.insert(name, kind);
            }
        }
    }

    fn visit_pat_ident(&mut self, name: &'ast syn::PatIdent) {
        self.bind(name.ident.to_string(), Kind::Other);
        visit::visit_pat_ident(self, name);
    }

    fn visit_block(&mut self, block: &'ast Block) {
        self.scope(|this| visit::visit_block(this, block));
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.scope(|this| visit::visit_arm(this, arm));
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.scope(|this| visit::visit_expr_closure(this, closure));
    }

    fn visit_expr_if(&mut self, branch: &'ast syn::ExprIf) {
        self.scope(|this| visit::visit_expr_if(this, branch));
    }

    fn visit_expr_while(&mut self, looped: &'ast syn::ExprWhile) {
        self.scope(|this| visit::visit_expr_while(this, looped));
    }

    fn visit_expr_for_loop(&mut self, looped: &'ast syn::ExprForLoop) {
        self.scope(|this| visit::visit_expr_for_loop(this, looped));
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let tokens = &mac.tokens;
        if self.around == 0 && has_await(tokens.clone()) && !names_context(tokens.clone()) {
            self.add(mac.span().start().line, "macro".to_owned());
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

fn is_guard(call: &syn::ExprMethodCall) -> bool {
    GUARDS.iter().any(|guard| call.method == guard)
}

fn is_context_name(name: &str) -> bool {
    name == "cx" || name.ends_with("_cx")
}

/// `Some`, `Bound::new` and the like: what they return holds what they were given.
fn is_constructor(function: &Expr) -> bool {
    let Expr::Path(path) = function else { return false };
    let last = path.path.segments.last().map(|segment| segment.ident.to_string());
    last.is_some_and(|name| name == "new" || name.starts_with(char::is_uppercase))
}

/// Names of one segment in an expression: variables.
fn single_names(expression: &Expr) -> HashSet<String> {
    struct Single(HashSet<String>);
    impl<'ast> Visit<'ast> for Single {
        fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
            self.0.extend(path.path.get_ident().map(ToString::to_string));
        }
    }
    let mut single = Single(HashSet::new());
    single.visit_expr(expression);
    single.0
}

fn names_context(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => is_context_name(&ident.to_string()),
        TokenTree::Group(group) => names_context(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// What is awaited, for an exception to name it.
fn what(future: &Expr) -> String {
    match future {
        Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Expr::Call(call) => Some(what(&call.func)),
        Expr::MethodCall(call) => Some(call.method.to_string()),
        Expr::Field(field) => match &field.member {
            Member::Named(name) => Some(name.to_string()),
            Member::Unnamed(_) => None,
        },
        Expr::Reference(inner) => Some(what(&inner.expr)),
        Expr::Paren(inner) => Some(what(&inner.expr)),
        _ => None,
    }
    .unwrap_or_else(|| ".await".to_owned())
}
