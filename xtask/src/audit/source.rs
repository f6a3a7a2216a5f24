//! A Rust file, parsed, with and without its tests.

use std::cell::OnceCell;

use anyhow::Context;
use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, Token, TraitItem};

use super::paths::{Named, named_paths};

/// What a file is for; it decides which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A library module of a crate.
    Product,
    /// A program's entry: it reads the command line, the environment and the clock for everybody else.
    Main,
    /// A build script.
    Build,
    /// Tests, benchmarks, examples.
    Test,
    /// This tool.
    Tool,
}

pub struct Source {
    /// From the top of the repository.
    pub path: String,
    pub role: Role,
    /// The whole file.
    pub ast: syn::File,
    /// The file without what only a test build compiles; empty for a file of tests.
    pub product: syn::File,
    /// As it is written.
    pub text: String,
    paths: OnceCell<Vec<Named>>,
}

impl Source {
    pub fn parse(path: &str, text: &str) -> anyhow::Result<Self> {
        let ast = syn::parse_file(text).with_context(|| format!("{path} is not Rust"))?;
        let mut product = ast.clone();
        if is_test_only(&ast.attrs) {
            product.items.clear();
        }
        strip_tests(&mut product.items);
        Ok(Self {
            path: path.to_owned(),
            role: role(path),
            ast,
            product,
            text: text.to_owned(),
            paths: OnceCell::new(),
        })
    }

    /// The paths that the product names.
    pub fn paths(&self) -> &[Named] {
        self.paths.get_or_init(|| named_paths(&self.product))
    }

    /// The folder under `crates/`, or `xtask`, `tests`.
    pub fn crate_folder(&self) -> &str {
        let mut parts = self.path.split('/');
        match parts.next() {
            Some("crates") => parts.next().unwrap_or_default(),
            first => first.unwrap_or_default(),
        }
    }

    /// Whether the file belongs to the folder where runtimes are named.
    pub fn is_backend(&self) -> bool {
        self.path.starts_with("crates/net-adapter/src/backend/")
    }

    /// Whether the file is part of what users run.
    pub fn is_product(&self) -> bool {
        matches!(self.role, Role::Product | Role::Main)
    }
}

fn role(path: &str) -> Role {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["xtask", ..] => Role::Tool,
        ["tests", ..] | ["crates", _, "tests" | "benches" | "examples", ..] => Role::Test,
        [.., "build.rs"] => Role::Build,
        ["crates", _, "src", "main.rs"] | ["crates", _, "src", "bin", ..] => Role::Main,
        _ => Role::Product,
    }
}

/// Marks the files of modules that are declared `#[cfg(test)] mod name;` in another file.
pub fn mark_test_modules(sources: &mut [Source]) {
    let mut modules = Vec::new();
    for source in &*sources {
        let folder = module_folder(&source.path);
        collect_test_modules(&source.ast.items, &folder, &mut modules);
    }
    for source in sources {
        let within = |module: &String| {
            let file = source.path.strip_prefix(module.as_str());
            file.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if modules.iter().any(within) {
            source.role = Role::Test;
            source.product.items.clear();
        }
    }
}

/// Where the child modules of a file are.
fn module_folder(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ => path.strip_suffix(".rs").unwrap_or(path).to_owned(),
    }
}

fn collect_test_modules(items: &[Item], folder: &str, found: &mut Vec<String>) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let path = format!("{folder}/{}", module.ident);
        match &module.content {
            None if is_test_only(&module.attrs) => found.push(path),
            None => {}
            Some((_, inner)) => collect_test_modules(inner, &path, found),
        }
    }
}

fn strip_tests(items: &mut Vec<Item>) {
    items.retain(|item| !is_test_only(attributes(item)));
    for item in items {
        match item {
            Item::Mod(module) => {
                if let Some((_, inner)) = &mut module.content {
                    strip_tests(inner);
                }
            }
            Item::Impl(block) => block.items.retain(|item| match item {
                ImplItem::Fn(function) => !is_test_only(&function.attrs),
                _ => true,
            }),
            Item::Trait(block) => block.items.retain(|item| match item {
                TraitItem::Fn(function) => !is_test_only(&function.attrs),
                _ => true,
            }),
            _ => {}
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The documentation that attributes hold, line by line.
pub fn doc_lines(attributes: &[Attribute]) -> Vec<String> {
    let texts = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    texts
        .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .collect()
}

/// The tokens of a macro, those in brackets too.
pub fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => found.extend(flat(group.stream())),
            other => found.push(other),
        }
    }
    found
}

/// Whether only a test build compiles what carries these attributes.
fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<Meta>()
                    .is_ok_and(|condition| needs_test(&condition)))
    })
}

/// Whether a `cfg` condition cannot hold without `test`.
fn needs_test(condition: &Meta) -> bool {
    let parts = |list: &syn::MetaList| {
        list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .map(|parts| parts.into_iter().collect::<Vec<_>>())
            .unwrap_or_default()
    };
    match condition {
        Meta::Path(path) => path.is_ident("test") || path.is_ident("doctest"),
        Meta::List(list) if list.path.is_ident("all") => parts(list).iter().any(needs_test),
        Meta::List(list) if list.path.is_ident("any") => {
            let parts = parts(list);
            !parts.is_empty() && parts.iter().all(needs_test)
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_not_product() {
        let source = Source::parse(
            "crates/db/src/x.rs",
            "fn a() {} #[test] fn b() {} #[cfg(test)] mod c {} #[cfg(all(unix, test))] mod d {} \
             #[cfg(any(test, feature = \"lab\"))] mod e {} #[cfg(not(test))] mod f {} mod g { #[cfg(test)] fn h() {} }",
        )
        .unwrap();
        let names: Vec<String> = source
            .product
            .items
            .iter()
            .map(|item| match item {
                Item::Fn(item) => item.sig.ident.to_string(),
                Item::Mod(item) => {
                    assert!(item.content.iter().all(|(_, inner)| inner.is_empty()));
                    item.ident.to_string()
                }
                _ => unreachable!(),
            })
            .collect();
        assert_eq!(names, ["a", "e", "f", "g"]);
    }

    #[test]
    fn a_file_declared_as_test_module_is_a_test() {
        let mut sources = vec![
            Source::parse("crates/db/src/lib.rs", "mod a; #[cfg(test)] mod tests;").unwrap(),
            Source::parse("crates/db/src/tests.rs", "fn x() {}").unwrap(),
            Source::parse("crates/db/src/tests/deep.rs", "fn x() {}").unwrap(),
            Source::parse("crates/db/src/tests_of_time.rs", "fn x() {}").unwrap(),
            Source::parse("crates/db/src/a.rs", "#[cfg(test)] mod b;").unwrap(),
            Source::parse("crates/db/src/a/b.rs", "fn x() {}").unwrap(),
        ];
        mark_test_modules(&mut sources);
        let roles: Vec<Role> = sources.iter().map(|source| source.role).collect();
        use Role::{Product, Test};
        assert_eq!(roles, [Product, Test, Test, Product, Product, Test]);
    }
}
