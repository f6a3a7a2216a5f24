//! Says once, at build time, that the second runtime comes under a licence of its own.

#[expect(
    clippy::disallowed_methods,
    reason = "how cargo tells a build script which features are on"
)]
fn main() {
    // The models of channels and locks: src/sync/loom_models.rs.
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_ASUPERSYNC").is_some() {
        println!(
            "cargo:warning=feature `asupersync`: that crate's licence is MIT plus a rider which grants some parties \
             no rights and must accompany every copy; read docs/licensing.md before you use or distribute this build"
        );
    }
}
