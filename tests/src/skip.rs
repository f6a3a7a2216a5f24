//! Saying that a test cannot run here.

use std::io::Write;

/// Names the file that collects what was left out. A test of another crate appends the line itself:
/// `name<TAB>reason<TAB>how to get it`.
pub const SKIP_LOG: &str = "ANNALS_SKIP_LOG";

/// Records that `test` cannot run because this machine lacks something, and how to get it; the test then returns.
/// `cargo xtask test` lists it in its summary.
///
/// ```no_run
/// fn search_page_has_no_axe_violation() {
///     let Some(chromium) = find_chromium() else {
///         return annals_tests::skip(
///             "search_page_has_no_axe_violation",
///             "no Chromium",
///             "apt-get install chromium",
///         );
///     };
///     drop(chromium);
/// }
/// # fn find_chromium() -> Option<()> { None }
/// # search_page_has_no_axe_violation();
/// ```
///
/// # Panics
/// When the file cannot be written: a test that is left out silently would be a lie.
pub fn skip(test: &str, reason: &str, how_to_get_it: &str) {
    eprintln!("SKIPPED {test}: {reason}; to run it: {how_to_get_it}");
    let Some(file) = std::env::var_os(SKIP_LOG) else { return };
    let line = line(test, reason, how_to_get_it);
    let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
    // One write, so that lines of tests that run at the same time stay whole.
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("the list of skipped tests can be written");
}

fn line(test: &str, reason: &str, how_to_get_it: &str) -> String {
    let parts = [test, reason, how_to_get_it].map(|part| part.replace(['\t', '\n', '\r'], " "));
    parts.join("\t") + "\n"
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_skip_is_one_line_of_three_columns() {
        assert_eq!(line("a", "no\ttool\n", "get it"), "a\tno tool \tget it\n");
    }
}
