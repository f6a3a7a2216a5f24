//! The configuration reference is made from the table of keys, so it cannot say anything else.

use std::path::Path;

use annals_core::config::reference_markdown;

/// Run with `ANNALS_WRITE_DOCS=1` after a change of the table.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test may be told to write the file it checks"
)]
fn docs_configuration_is_made_from_the_table_of_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let made = reference_markdown();
    if std::env::var_os("ANNALS_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "docs/configuration.md is old: ANNALS_WRITE_DOCS=1 cargo test -p annals-core --test configuration_reference"
    );
}
