//! Completion scripts are what their shells can read.

use std::process::{Command, Stdio};

use crate::support::Desk;

/// How each shell says whether it understands the file named by its last argument.
const SHELLS: &[(&str, &str, &[&str])] = &[
    ("bash", "bash", &["-n"]),
    ("zsh", "zsh", &["-n"]),
    ("fish", "fish", &["--no-execute"]),
    ("elvish", "elvish", &["-compileonly"]),
    (
        "powershell",
        "pwsh",
        &[
            "-NoProfile",
            "-NonInteractive",
            "-Command",
            "& { $errors = $null; [void][System.Management.Automation.Language.Parser]::ParseFile((Resolve-Path $args[0]), \
             [ref]$null, [ref]$errors); exit $errors.Count }",
        ],
    ),
];

#[test]
fn completions_parse_in_each_shell() {
    let desk = Desk::empty();
    for (shell, program, check) in SHELLS {
        let ended = desk.run(&format!("completions {shell} --robot"));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{shell}");
        for word in ["sync-runs", "wait-lock", "robot"] {
            assert!(ended.stdout.contains(word), "{shell} does not know {word}");
        }
        let file = desk.path("script");
        std::fs::write(&file, &ended.stdout).unwrap();
        match Command::new(program)
            .args(*check)
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
                &format!("no {program}"),
                &format!("install {program}"),
            ),
        }
    }
}
