//! `forge-sim` as somebody who starts it by hand meets it.

use std::process::Command;

use annals_testkit::forge::Fault;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_forge-sim"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code().unwrap(), text(ended.stdout), text(ended.stderr))
}

#[test]
fn help_names_every_option_and_every_fault() {
    let source = include_str!("../../src/bin/forge-sim.rs");
    let body = source.split_once("\nfn read(").unwrap().1;
    let options = body
        .split('"')
        .filter(|text| text.starts_with("--") && !text.contains(' '));
    let options: Vec<&str> = options.collect();
    assert!(options.len() >= 11, "{options:?}");
    for ask in [&["--help"][..], &["-h"], &["--port", "0", "--help"]] {
        let (code, help, said) = run(ask);
        assert_eq!((code, said.as_str()), (0, ""), "{ask:?}");
        for name in options
            .iter()
            .copied()
            .chain(Fault::ALL.iter().map(|fault| fault.name()))
        {
            assert!(
                help.split([' ', ',', '\n']).any(|word| word == name),
                "{name} is not in\n{help}"
            );
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }
}

#[test]
fn an_unknown_argument_leads_to_the_help() {
    let (code, out, said) = run(&["--no-such", "x"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        said.contains("--no-such") && said.contains("forge-sim --help"),
        "{said}"
    );
}
