//! The whole command line as a user can read it, in one file. A change of it is seen in review.
//!
//! To write it anew: `ANNALS_BLESS=1 cargo test -p annals-cli reference`.

use crate::support::Desk;

#[test]
fn the_reference_is_up_to_date() {
    let desk = Desk::empty();
    let main = desk.run("help").stdout;
    let commands = main
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 13, "{commands:?}");
    let mut reference = format!("$ annals help\n{main}");
    for command in commands {
        let help = desk.run(&format!("help {command}")).stdout;
        // What every command takes is said once.
        let own = help.split("\nOptions of every command:").next().unwrap().trim_end();
        let after = help
            .rsplit_once("\n\n")
            .map(|(_, last)| last.trim())
            .filter(|last| !last.starts_with('-'))
            .unwrap_or_default();
        let after = if after.is_empty() || own.contains(after) {
            String::new()
        } else {
            format!("\n\n{after}")
        };
        reference.push_str(&format!("\n$ annals help {command}\n{own}{after}\n"));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/cli-reference.txt");
    if std::env::var_os("ANNALS_BLESS").is_some() {
        std::fs::write(file, &reference).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        known == reference,
        "{file} is not what `annals help` says; write it anew with ANNALS_BLESS=1"
    );
}
