//! Completion scripts are what their shells can read.

use std::process::{Command, Stdio};

use crate::support::Desk;

/// How each shell says whether it understands the file named by its last argument. The script of Elvish can only be read
/// in a session of a person, and PowerShell is in no Debian package: theirs are only looked at.
const SHELLS: &[(&str, Option<&[&str]>)] = &[
    ("bash", Some(&["-n"])),
    ("zsh", Some(&["-n"])),
    ("fish", Some(&["--no-execute"])),
    ("elvish", None),
    ("powershell", None),
];

#[test]
fn completions_parse_in_each_shell() {
    let desk = Desk::empty();
    for (shell, check) in SHELLS {
        let ended = desk.run(&format!("completions {shell} --robot"));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{shell}");
        for word in ["sync-runs", "wait-lock", "robot"] {
            assert!(ended.stdout.contains(word), "{shell} does not know {word}");
        }
        let Some(flags) = check else { continue };
        let file = desk.path("script");
        std::fs::write(&file, &ended.stdout).unwrap();
        match Command::new(shell)
            .args(*flags)
            .arg(&file)
            .stdin(Stdio::null())
            .output()
        {
            Ok(output) => assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(_) => crate::support::skip(
                "completions_parse_in_each_shell",
                &format!("no {shell}"),
                &format!("install {shell}"),
            ),
        }
    }
}
