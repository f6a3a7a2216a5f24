//! Completion scripts are what their shells can read.

use std::process::{Command, Stdio};

use crate::support::Desk;

#[test]
fn completions_parse_in_each_shell() {
    let desk = Desk::empty();
    for (shell, check) in [
        ("bash", Some(&["-n"][..])),
        ("zsh", Some(&["-n"])),
        ("fish", Some(&["--no-execute"])),
        ("powershell", None),
        ("elvish", None),
    ] {
        let ended = desk.run(&format!("completions {shell} --robot"));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{shell}");
        for word in ["sync-runs", "wait-lock", "robot"] {
            assert!(ended.stdout.contains(word), "{shell} does not know {word}");
        }
        let Some(flags) = check else { continue };
        let file = desk.path("script");
        std::fs::write(&file, &ended.stdout).unwrap();
        match Command::new(shell).args(flags).arg(&file).stdin(Stdio::null()).output() {
            Ok(output) => assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(_) => crate::support::skip(
                "completions_parse_in_each_shell",
                &format!("no {shell}"),
                &format!("apt-get install {shell}"),
            ),
        }
    }
}
