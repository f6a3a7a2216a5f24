//! Who reads decides how a command answers.

use crate::support::{Desk, Ended};

/// Standard output is no terminal in a test; what a terminal changes is tested where the mode is chosen.
#[test]
fn robot_mode_matrix_tty_env_flag() {
    let desk = Desk::with_mirror();
    for (flags, variable, robot) in [
        (&[][..], None, true),
        (&["--human"], None, false),
        (&["--robot"], None, true),
        (&["-J"], None, true),
        (&["--json"], None, true),
        (&["-qJ"], None, true),
        (&["--robot", "--human"], None, false),
        (&["--human", "--robot"], None, true),
        (&[], Some("0"), false),
        (&[], Some("1"), true),
        (&["--human"], Some("1"), false),
        (&["--robot"], Some("0"), true),
    ] {
        for line in [&["version"][..], &["show", "9999"], &["serach"]] {
            let mut command = desk.annals(line.iter().chain(flags));
            if let Some(variable) = variable {
                command.env("ANNALS_ROBOT", variable);
            }
            let ended = Ended::of(command.output().unwrap());
            let told = if ended.code == 0 { &ended.stdout } else { &ended.stderr };
            assert_eq!(
                told.starts_with('{'),
                robot,
                "{line:?} {flags:?} {variable:?}: {ended:?}"
            );
        }
    }
}

#[test]
fn no_color_and_force_color() {
    let desk = Desk::with_mirror();
    let coloured = |flags: &[&str], variables: &[(&str, &str)]| {
        let mut command = desk.annals(["issues", "--human"].iter().chain(flags));
        command.envs(variables.iter().copied());
        Ended::of(command.output().unwrap()).stdout.contains('\x1b')
    };
    assert!(!coloured(&[], &[]), "no terminal, no colour");
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(
        !coloured(&["--robot"], &[("CLICOLOR_FORCE", "1")]),
        "programs get no colour"
    );
    assert!(coloured(&[], &[("ANNALS_CLI__COLOR", "always")]));
}

#[test]
fn terminal_escape_in_title_is_inert() {
    let desk = Desk::with_mirror();
    let evil = "'a' || char(27) || ']0;owned' || char(7) || char(27) || '[31m' || char(8238) || 'b'";
    desk.sql(&format!(
        "UPDATE issues SET title = {evil}, body = {evil} WHERE iid = 12;
         UPDATE documents SET title = {evil}, body = {evil};
         UPDATE notes SET body = {evil};
         UPDATE users SET username = {evil};
         UPDATE labels SET name = {evil};
         UPDATE milestones SET title = {evil};
         UPDATE projects SET path = {evil};
         UPDATE mr_file_changes SET new_path = {evil};"
    ));
    for line in [
        &["issues"][..],
        &["issues", "--fields", "title,author"],
        &["show", "12", "--discussions", "--events", "--revisions"],
        &["show", "!4", "--discussions", "--files"],
        &["search", "race", "--facets", "label,author,project"],
        &["projects"],
        &["sync-runs"],
        &["show", "-p", "x\x1b[31m", "9"],
        &["search", "after:\x1b[31m"],
        &["\x1b[31m"],
        &["issues", "--fields", "\x1b[31m"],
        &["sync-runs", "--run-id", "\x1b[31m"],
        &["explain", "\x1b[31m"],
    ] {
        let ended = desk.run_words(line.iter().chain(&["--human"]));
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!told.contains(['\x1b', '\x07', '\u{202e}']), "{line:?}: {told:?}");
    }
    let shown = desk.run("show 12 --human").stdout;
    assert!(shown.contains(r"\x1b]0;owned\x07"), "{shown}");
    // A program gets the text as it is, escaped by JSON alone.
    assert!(
        desk.run("show 12").data()["entity"]["title"]
            .as_str()
            .unwrap()
            .contains('\x1b')
    );
}

#[test]
fn broken_pipe_is_silent() {
    let desk = Desk::with_mirror();
    for line in [
        &["issues", "--human", "-n", "500"][..],
        &["issues", "-n", "500"],
        &["completions", "bash"],
        &["help"],
        &["version"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = desk.annals(line).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line:?}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return crate::support::skip(
            "a_full_disk_behind_standard_output_is_an_error",
            "no /dev/full",
            "run it on Linux",
        );
    };
    let desk = Desk::with_mirror();
    let output = desk.annals(["issues", "--robot"]).stdout(full).output().unwrap();
    assert_eq!(Ended::of(output).code_of_error(), "io");
}

#[test]
fn times_are_shown_as_asked_for() {
    let desk = Desk::with_mirror();
    let shown = |flags: &str| desk.run(&format!("issues 12 --human {flags}")).stdout;
    assert!(shown("").contains("opened 2024-04-02 08:50:00 UTC ("));
    assert!(shown("--time local --tz Europe/Berlin").contains("opened 2024-04-02 10:50:00 +02:00 ("));
    let listed = |flags: &str| {
        desk.run(&format!("issues --sort created --asc -n 1 --human {flags}"))
            .stdout
    };
    assert!(listed("").contains(" ago"), "{}", listed(""));
    assert!(listed("--time iso").contains("Z\n"), "{}", listed("--time iso"));
    assert_eq!(desk.run("issues --tz Mars/Olympus").code_of_error(), "config_invalid");
}

#[test]
fn what_is_shown_of_one_thing_has_its_times_in_full() {
    let desk = Desk::with_mirror();
    for line in [
        "show 12 --discussions --events --revisions",
        "show !7 --discussions --events --revisions",
    ] {
        let shown = desk.run(&format!("{line} --human")).stdout;
        let aged: Vec<&str> = shown.lines().filter(|line| line.contains(" ago)")).collect();
        assert!(aged.len() > 5, "{shown}");
        for line in shown
            .lines()
            .filter(|line| line.contains(" ago") && !line.starts_with("    "))
        {
            assert!(line.contains(" UTC ("), "{line}");
        }
    }
}

/// `script` gives a command a terminal of its own.
#[test]
fn pager_only_on_terminal() {
    let desk = Desk::with_mirror();
    let seen = desk.path("paged");
    let pager = format!("tee {}", seen.display());
    let on_terminal = |line: &str, rows: u16| {
        drop(std::fs::remove_file(&seen));
        let annals = env!("CARGO_BIN_EXE_annals");
        let inner = format!("stty rows {rows} cols 80; {annals} {line}");
        let mut command = std::process::Command::new("script");
        command
            .args(["-qec", &inner, "/dev/null"])
            .env("ANNALS_PAGER", &pager)
            .env("TERM", "xterm");
        command.env("HOME", desk.folder.path()).current_dir(desk.folder.path());
        command.stdin(std::process::Stdio::null()).output().ok()?;
        Some(std::fs::read_to_string(&seen).ok())
    };
    let Some(paged) = on_terminal("issues -n 40", 10) else {
        return crate::support::skip("pager_only_on_terminal", "no script", "apt-get install bsdutils");
    };
    let paged = paged.unwrap();
    assert!(paged.contains("40 issues") && paged.contains("REF"), "{paged}");
    // A screen that is large enough, a flag, or a program that reads: no pager.
    for (line, rows) in [
        ("issues -n 3", 50),
        ("issues -n 40 --no-pager", 10),
        ("issues -n 40 --robot", 10),
        ("migrate --check", 2),
    ] {
        assert_eq!(on_terminal(line, rows), Some(None), "{line}");
    }
    let mut command = desk.annals(["issues", "-n", "40", "--human"]);
    let piped = Ended::of(command.env("ANNALS_PAGER", &pager).output().unwrap());
    assert!(
        piped.stdout.contains("40 issues") && !seen.exists(),
        "a pipe is no screen"
    );
}
