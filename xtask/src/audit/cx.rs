//! An async function that can wait takes `cx: &Cx` first. The body of a task is given its own context and takes it by
//! value; an axum handler takes `ReqCx`.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Block, Expr, FnArg, Pat, ReturnType, Signature, Type, TypeParamBound};

use super::finding::Finding;
use super::source::Source;
use super::tree::Tree;

pub const NAME: &str = "cx";

pub fn check(tree: &Tree) -> Vec<Finding> {
    // The context is made of what a backend supplies.
    let sources = tree
        .sources
        .iter()
        .filter(|source| source.is_product() && !source.is_backend());
    sources.flat_map(in_source).collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut functions = Functions {
        path: &source.path,
        owner: String::new(),
        findings: Vec::new(),
    };
    functions.visit_file(&source.product);
    functions.findings
}

struct Functions<'a> {
    path: &'a str,
    /// The type or trait whose block is being read.
    owner: String,
    findings: Vec<Finding>,
}

impl Functions<'_> {
    fn check(&mut self, signature: &Signature, body: Option<&Block>) {
        let wait = match (signature.asyncness.is_some(), returns_future(&signature.output)) {
            (true, _) => body.is_none_or(|body| waits(body, Depth::OwnBody)),
            (false, true) => body.is_none_or(|body| waits(body, Depth::AsyncBlocks)),
            (false, false) => false,
        };
        if wait && !self.is_exempt(signature) && !takes_context(signature) {
            let why = "can wait, so its first parameter is `cx: &Cx` (a handler's: `ReqCx`)";
            let line = signature.ident.span().start().line;
            self.findings
                .push(Finding::new(NAME, self.path, line, signature.ident.to_string(), why));
        }
    }

    /// The context itself, the clock it is made of, and the close that must not be cancelled.
    fn is_exempt(&self, signature: &Signature) -> bool {
        matches!(self.owner.as_str(), "Cx" | "Clock") || (self.owner == "Region" && signature.ident == "close_within")
    }

    fn within(&mut self, owner: String, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.owner, owner);
        visit(self);
        self.owner = outer;
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check(&item.sig, Some(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of = item.trait_.as_ref().map(|(path, _)| path).and_then(last_name);
        let owner = of
            .filter(|name| name == "Clock")
            .or_else(|| type_name(&item.self_ty))
            .unwrap_or_default();
        self.within(owner, |this| visit::visit_item_impl(this, item));
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(item.ident.to_string(), |this| visit::visit_item_trait(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.sig, Some(&item.block));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.check(&item.sig, item.default.as_ref());
        visit::visit_trait_item_fn(self, item);
    }
}

fn takes_context(signature: &Signature) -> bool {
    let first = signature.inputs.iter().find_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    first.is_some_and(|first| {
        let named_cx = matches!(&*first.pat, Pat::Ident(name) if name.ident == "cx" || name.ident == "_cx");
        match &*first.ty {
            Type::Reference(reference) if reference.mutability.is_some() => false,
            of => match type_name(of).as_deref() {
                Some("Cx") => named_cx,
                Some("ReqCx") => true,
                _ => false,
            },
        }
    })
}

fn returns_future(output: &ReturnType) -> bool {
    struct Futures(bool);
    impl<'ast> Visit<'ast> for Futures {
        fn visit_type_param_bound(&mut self, bound: &'ast TypeParamBound) {
            if let TypeParamBound::Trait(bound) = bound {
                self.0 |= last_name(&bound.path).is_some_and(|name| name == "Future");
            }
            visit::visit_type_param_bound(self, bound);
        }

        fn visit_type_path(&mut self, path: &'ast syn::TypePath) {
            self.0 |= last_name(&path.path).is_some_and(|name| name == "BoxFuture" || name == "LocalBoxFuture");
            visit::visit_type_path(self, path);
        }
    }
    let mut futures = Futures(false);
    futures.visit_return_type(output);
    futures.0
}

/// Where an await counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Of an async function: blocks and closures inside are somebody else's to poll.
    OwnBody,
    /// Of a function that returns a future: the blocks inside are what it returns.
    AsyncBlocks,
}

fn waits(body: &Block, depth: Depth) -> bool {
    struct Awaits {
        depth: Depth,
        found: bool,
    }
    impl<'ast> Visit<'ast> for Awaits {
        fn visit_expr_await(&mut self, wait: &'ast syn::ExprAwait) {
            // Bounded, and not to be cancelled: the close itself.
            let closes = matches!(&*wait.base, Expr::MethodCall(call) if call.method == "close_within");
            self.found |= !closes;
            visit::visit_expr_await(self, wait);
        }

        fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
            if self.depth == Depth::AsyncBlocks {
                visit::visit_expr_async(self, block);
            }
        }

        fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
            if self.depth == Depth::AsyncBlocks {
                visit::visit_expr_closure(self, closure);
            }
        }

        fn visit_item(&mut self, _: &'ast syn::Item) {}

        fn visit_macro(&mut self, mac: &'ast syn::Macro) {
            self.found |= has_await(mac.tokens.clone());
        }
    }
    let mut awaits = Awaits { depth, found: false };
    awaits.visit_block(body);
    awaits.found
}

/// Whether `.await` stands in the tokens of a macro.
pub fn has_await(tokens: TokenStream) -> bool {
    let mut after_dot = false;
    tokens.into_iter().any(|token| {
        let found = match &token {
            TokenTree::Ident(ident) => after_dot && ident == "await",
            TokenTree::Group(group) => has_await(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        };
        after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
        found
    })
}

fn last_name(path: &syn::Path) -> Option<String> {
    path.segments.last().map(|segment| segment.ident.to_string())
}

/// The last name of a type, under references.
pub fn type_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => last_name(&path.path),
        Type::Reference(reference) => type_name(&reference.elem),
        _ => None,
    }
}
