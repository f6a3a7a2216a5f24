//! What the README shows is what the commands print.

use annals_testkit::forge::SimOptions;

use crate::support::Desk;
use crate::support::forge::sample_forge;

const README: &str = include_str!("../../../../README.md");

/// The commands of the transcript, each with what it printed.
fn transcript() -> Vec<(&'static str, &'static str)> {
    let mut blocks = README.split("```console\n");
    let block = blocks.find(|block| block.starts_with("$ annals sync")).unwrap();
    let block = block.split("```").next().unwrap();
    let parts = block.trim_start_matches("$ ").split("\n$ ");
    let parts = parts.map(|part| part.split_once('\n').unwrap());
    parts.map(|(command, output)| (command, output.trim_end())).collect()
}

/// The words of a line of a shell that has no quotes but single ones.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, part) in line.split('\'').enumerate() {
        let mut pieces = if at % 2 == 0 {
            part.split(' ').collect()
        } else {
            vec![part]
        }
        .into_iter();
        words.last_mut().unwrap().push_str(pieces.next().unwrap());
        words.extend(pieces.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The text without what is different in each run: names of runs and ages.
fn lasting(text: &str) -> String {
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        for at in 0..words.len() {
            let before_ago = words.get(at + 1).is_some_and(|next| next.starts_with("ago"));
            let is_run = words[at].len() == 36 && words[at].matches('-').count() == 4;
            if is_run {
                words[at] = "RUN";
            } else if before_ago {
                words[at] = if words[at].starts_with('(') { "(AGE" } else { "AGE" };
            }
        }
        words.join(" ")
    };
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_transcript_of_the_readme_is_what_the_commands_print() {
    let desk = Desk::empty();
    let forge = sample_forge(SimOptions::default());
    let transcript = transcript();
    assert_eq!(transcript.len(), 3, "{transcript:?}");
    for (command, shown) in transcript {
        let words = words(command).into_iter().skip(1);
        let words = words.map(|word| word.replace("http://127.0.0.1:18473", &forge));
        let ended = desk.run_words(words.chain(["--human".to_owned()]));
        assert_eq!(ended.code, 0, "{command}: {ended:?}");
        assert_eq!(lasting(&ended.stdout), lasting(shown), "{command}");
    }
}

#[test]
fn the_demo_shows_the_search_of_the_readme() {
    let desk = Desk::empty();
    let ended = desk.run("demo --exit --human");
    assert_eq!(ended.code, 0, "{ended:?}");
    let transcript = transcript();
    let (command, shown) = transcript
        .iter()
        .find(|(command, _)| command.contains("search"))
        .unwrap();
    let demo = lasting(&ended.stdout);
    assert!(demo.contains(command), "{demo}");
    let first = lasting(shown).lines().take(3).collect::<Vec<_>>().join("\n");
    assert!(demo.contains(&first), "{first} is not in {demo}");
}
