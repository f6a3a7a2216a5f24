//! Transcripts in documents: how they are read, compared and written.

use std::path::{Path, PathBuf};

/// A document and where it is.
pub struct Document {
    path: PathBuf,
    text: String,
}

/// One command of a document and what it is said to print.
///
/// A line `> …` below the command belongs to the command, as a shell shows it. Where a line of the output is `[...]`, lines were
/// left out: only those before and after it are compared.
pub struct Transcript {
    /// The line of the command, from 1.
    pub line: usize,
    pub command: String,
    pub shown: String,
    /// The lines of the document that hold what is shown, from 0.
    at: std::ops::Range<usize>,
}

const CUT: &str = "[...]";

impl Document {
    pub fn read(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            text: std::fs::read_to_string(path).unwrap(),
        }
    }

    pub fn transcripts(&self) -> Vec<Transcript> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut all = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let begins = lines[at] == "```console" && lines.get(at + 1).is_some_and(|line| line.starts_with("$ "));
            at += 1;
            if !begins {
                continue;
            }
            let end = at + lines[at..].iter().position(|line| *line == "```").unwrap();
            while at < end {
                let line = at + 1;
                let mut command = lines[at].strip_prefix("$ ").unwrap().to_owned();
                at += 1;
                while let Some(more) = lines[at].strip_prefix("> ").filter(|_| at < end) {
                    command.push('\n');
                    command.push_str(more);
                    at += 1;
                }
                let next = lines[at..end].iter().position(|line| line.starts_with("$ "));
                let until = next.map_or(end, |next| at + next);
                // An empty line before the next command is only there to be looked at.
                let filled = lines[at..until].iter().rposition(|line| !line.is_empty());
                let filled = at..filled.map_or(at, |last| at + last + 1);
                all.push(Transcript {
                    line,
                    command,
                    shown: lines[filled.clone()].join("\n"),
                    at: filled,
                });
                at = until;
            }
        }
        all
    }

    /// Puts what was printed where the document shows something.
    pub fn write(&mut self, printed: &[String]) {
        let transcripts = self.transcripts();
        let mut lines: Vec<&str> = self.text.lines().collect();
        for (transcript, printed) in transcripts.iter().zip(printed).rev() {
            lines.splice(transcript.at.clone(), printed.lines());
        }
        let text = lines.join("\n") + "\n";
        if text != self.text {
            std::fs::write(&self.path, &text).unwrap();
            self.text = text;
        }
    }
}

impl Transcript {
    /// What was printed, without the lines that the document leaves out.
    pub fn cut_as_shown(&self, printed: &str) -> String {
        let printed: Vec<&str> = printed.trim_end().lines().collect();
        let shown: Vec<&str> = self.shown.lines().collect();
        let Some(cut) = shown.iter().position(|line| *line == CUT) else {
            return printed.join("\n");
        };
        let after = shown.len() - cut - 1;
        if printed.len() <= cut + after {
            return printed.join("\n");
        }
        let (head, tail) = (&printed[..cut], &printed[printed.len() - after..]);
        [head, &[CUT], tail].concat().join("\n")
    }
}

/// The text without what is different in each run: names of runs, ages, how long something took, times of today, sizes of
/// files, checksums, and the room that a column takes because of them.
pub fn lasting(text: &str) -> String {
    text.trim_end().lines().map(lasting_line).collect::<Vec<_>>().join("\n")
}

fn lasting_line(line: &str) -> String {
    let line = without_stamps(line);
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut lasting = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let next = words
            .get(at + 1)
            .map_or("", |next| next.trim_end_matches(|sign: char| !sign.is_alphanumeric()));
        let bare = word.trim_matches(|sign: char| !sign.is_alphanumeric());
        let is_number = bare.starts_with(|sign: char| sign.is_ascii_digit());
        let is_age = is_number && next == "ago" || bare == "just" && next == "now";
        let is_measure = is_number && ["s", "ms", "KiB", "MiB", "GiB"].contains(&next);
        let is_digest = bare.len() == 64 && bare.chars().all(|sign| sign.is_ascii_hexdigit());
        if is_age || is_measure {
            lasting.push(word.replace(bare, "SOME"));
        } else if bare == "now"
            && words
                .get(at.wrapping_sub(1))
                .is_some_and(|before| before.ends_with("just"))
        {
            lasting.push(word.replace(bare, "ago"));
        } else if is_digest {
            lasting.push("DIGEST".to_owned());
        } else {
            lasting.push((*word).to_owned());
        }
    }
    lasting.join(" ")
}

/// Without the times of after the year of the sample project, the names of runs, and the milliseconds that an answer took.
fn without_stamps(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let before = text.chars().next_back();
        let begins = !before.is_some_and(|sign| sign.is_ascii_alphanumeric());
        let (mask, taken) = if begins && is_run(rest) {
            ("RUN", 36)
        } else if let Some(taken) = begins.then(|| stamp(rest)).flatten() {
            ("TIME", taken)
        } else if let Some(after) = rest.strip_prefix("\"elapsed_ms\":") {
            let digits = after.chars().take_while(char::is_ascii_digit).count();
            ("\"elapsed_ms\":0", "\"elapsed_ms\":".len() + digits)
        } else {
            text.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        };
        text.push_str(mask);
        rest = rest.get(taken..).unwrap_or_default();
    }
    text
}

/// Whether an id of a run is at the beginning: `01a1fdd1-e70e-776e-bf5e-26d7fe3eb44e`.
fn is_run(text: &str) -> bool {
    text.get(..36).is_some_and(|id| {
        id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    })
}

/// How long the time at the beginning is, if it is one that the sample project does not have.
fn stamp(text: &str) -> Option<usize> {
    let fits = |from: usize, pattern: &str| {
        let part = text.get(from..from + pattern.len())?;
        let same = part.chars().zip(pattern.chars()).all(|(sign, as_in)| match as_in {
            '0' => sign.is_ascii_digit(),
            _ => sign == as_in,
        });
        same.then_some(from + pattern.len())
    };
    let mut end = fits(0, "0000-00-00").filter(|_| text > "2025")?;
    for part in ["T00:00:00", " 00:00:00", ".000", "Z", " UTC"] {
        end = fits(end, part).unwrap_or(end);
    }
    Some(end)
}
