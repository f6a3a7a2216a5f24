//! The vocabulary of generated projects: sentences an engineer might write, about nothing real.

use crate::forge::rng::Rng;

const PARTS: &[&str] = &[
    "scheduler",
    "write-ahead log",
    "snapshot reader",
    "tokenizer",
    "connection pool",
    "rate limiter",
    "router",
    "config loader",
    "metrics exporter",
    "shard balancer",
    "query planner",
    "page cache",
    "retry queue",
    "CLI",
    "health endpoint",
    "migration runner",
    "backup job",
    "webhook sender",
    "session store",
    "import worker",
];
const TROUBLES: &[&str] = &[
    "loses the last batch",
    "returns rows twice",
    "blocks every writer",
    "leaks a file handle",
    "reports a stale total",
    "ignores the configured timeout",
    "retries for ever",
    "drops the trailing newline",
    "is slow with many labels",
    "forgets its position",
    "panics on an empty page",
    "mixes two time zones",
    "sorts equal dates at random",
    "holds its lock across the network call",
    "truncates the message",
    "answers before it is ready",
];
const WHENS: &[&str] = &[
    "after a restart",
    "when the disk is full",
    "under load",
    "on the second run",
    "with an empty table",
    "when two runs overlap",
    "behind a proxy",
    "with a page size of one",
    "on a slow link",
    "after the clock jumps",
    "when the index is rebuilt",
    "during a rolling upgrade",
    "with more than 10,000 rows",
    "after a failed login",
];
const DEEDS: &[&str] = &[
    "Bound", "Simplify", "Test", "Document", "Speed up", "Split", "Cache", "Validate", "Trace", "Remove", "Harden",
    "Rewrite",
];
const THINGS: &[&str] = &[
    "the retry loop",
    "page parsing",
    "the start-up check",
    "cursor handling",
    "error messages",
    "the snapshot format",
    "shutdown",
    "the lock file",
    "label matching",
    "the upload path",
    "time handling",
    "the connection limit",
];
const SENTENCES: &[&str] = &[
    "It happens about once in fifty runs, never twice in a row.",
    "The log shows the request, but not the answer.",
    "I could not reproduce it on my machine with the default settings.",
    "A second run repairs it, which is why nobody noticed for so long.",
    "The counter is read outside the lock, so it may be one behind.",
    "We agreed to keep the old behaviour for one more release.",
    "Expected: an error that names the file. Actual: silence.",
    "The timeout is counted from the first byte, not from the request.",
    "This is only visible when the page is exactly full.",
    "Raising the limit hides it; the cause is the missing index.",
    "Both branches are correct alone and wrong together.",
    "The test passes because it never reaches the second page.",
    "Memory stays flat now, but the first request takes longer.",
    "I would rather fail at start than guess a value.",
    "The field is optional in the protocol and required in our parser.",
    "It would help to print the offset next to the message.",
    "Please see the numbers below before and after the change.",
    "The same pattern exists in two other places.",
];
const REPLIES: &[&str] = &[
    "Good catch, fixed in the last push.",
    "Can you add a test for the empty case?",
    "I see the same with 0.4.2.",
    "Let us split this; the second half is not urgent.",
    "Done.",
    "Why not return early here?",
    "This name is misleading now that it also deletes.",
    "LGTM apart from the comment below.",
    "I measured it again: no difference within noise.",
    "Agreed, the simpler version is easier to explain.",
    "Reverting this part, it broke the nightly run.",
    "Could we use the existing helper instead?",
    "The off-by-one is in the caller, not here.",
    "Thanks, that explains what I saw yesterday.",
    "I will take this one.",
    "Is this still happening with the latest build?",
];
const UNUSUAL: &[&str] = &[
    "検索結果が重複して表示されます。再起動すると直ります。",
    "搜索结果在索引切换期间丢失了一半。",
    "검색 색인이 갱신되지 않습니다.",
    "התוצאות מופיעות בסדר הפוך לאחר הרענון.",
    "تظهر النتائج مرتين بعد إعادة التشغيل.",
    "Le résumé coupe au milieu d’un mot accentué : « élève ».",
    "Größenänderung überschreitet die Längenbeschränkung.",
    "Works for me 🎉🚀, but the flag 🏳️‍🌈 and 👩🏽‍💻 are cut in half.",
    "A combining accent: e\u{301}cole, a zero\u{200b}width space, a \u{202e}right-to-left override.",
    "An escape \u{1b}[31mred\u{1b}[0m and a bell \u{7} from a pasted terminal.",
];
const CODE: &[&str] = &[
    "let page = client.fetch(cursor)?;\nif page.rows.is_empty() {\n    return Ok(Done);\n}\nstore(&page)?;",
    "thread 'worker-3' panicked at src/page.rs:118:\nindex out of bounds: the len is 0 but the index is 0",
    "$ tool sync --since 2023-01-01\nerror: cursor is ahead of the server's date\n$ echo $?\n8",
    "SELECT id, updated_at FROM rows\n WHERE updated_at >= ?1\n ORDER BY updated_at, id LIMIT 100;",
    "{\n  \"status\": \"degraded\",\n  \"lag_ms\": 4210\n}",
    "- retries: 0\n+ retries: 3\n+ backoff: full-jitter",
];
const LINES: &[&str] = &[
    "let mut rows = Vec::with_capacity(page.len());",
    "if cursor > newest {",
    "    return Err(Error::Moved { at });",
    "}",
    "for row in page.rows() {",
    "    rows.push(row?);",
    "tracing::debug!(rows = rows.len(), \"stored\");",
    "// The order matters: the cursor moves last.",
    "Ok(rows)",
    "assert_eq!(rows.len(), 3);",
    "",
    "fn resume(&self) {",
    "    self.notify.notify_one();",
    "timeout_ms = 30000",
    "match state {",
    "    State::Ready => {}",
];
const FOLDERS: &[&str] = &[
    "src",
    "src/store",
    "src/net",
    "src/query",
    "tests",
    "docs",
    "src/cli",
    "ops/charts",
    "web/assets",
    "benches",
];
const NAMES: &[&str] = &[
    "cursor", "page", "retry", "lock", "index", "merge", "window", "label", "route", "limit", "batch", "clock",
];

pub(super) fn issue_title(rng: &mut Rng) -> String {
    let text = format!("{} {} {}", rng.pick(PARTS), rng.pick(TROUBLES), rng.pick(WHENS));
    if rng.permille(15) {
        format!("{} {text}", rng.pick(UNUSUAL))
    } else {
        upper_first(&text)
    }
}

pub(super) fn mr_title(rng: &mut Rng) -> String {
    format!("{} {} in the {}", rng.pick(DEEDS), rng.pick(THINGS), rng.pick(PARTS))
}

pub(super) fn branch(rng: &mut Rng, iid: i64) -> String {
    format!(
        "{}-{}-{iid}",
        rng.pick(DEEDS).to_lowercase().replace(' ', "-"),
        rng.pick(NAMES)
    )
}

/// A description of a few paragraphs; now and then a very long one.
pub(super) fn body(rng: &mut Rng) -> Option<String> {
    if rng.permille(40) {
        return None;
    }
    if rng.permille(20) {
        return Some(String::new());
    }
    let paragraphs = if rng.permille(5) {
        rng.within(80, 240)
    } else {
        rng.within(1, 4)
    };
    let line_end = if rng.permille(30) { "\r\n" } else { "\n" };
    let mut text = String::new();
    for number in 0..paragraphs {
        if number > 0 {
            text.push_str(line_end);
            text.push_str(line_end);
        }
        if rng.permille(150) {
            text.push_str("```\n");
            text.push_str(rng.pick(CODE));
            text.push_str("\n```");
        } else {
            paragraph(rng, &mut text);
        }
    }
    Some(text)
}

fn paragraph(rng: &mut Rng, text: &mut String) {
    for number in 0..rng.within(1, 4) {
        if number > 0 {
            text.push(' ');
        }
        text.push_str(if rng.permille(20) {
            rng.pick(UNUSUAL)
        } else {
            rng.pick(SENTENCES)
        });
    }
}

pub(super) fn note(rng: &mut Rng) -> String {
    match rng.below(10) {
        0 => format!("{}\n\n```\n{}\n```", rng.pick(REPLIES), rng.pick(CODE)),
        1..=3 => {
            let mut text = String::new();
            paragraph(rng, &mut text);
            text
        }
        4 if rng.permille(200) => rng.pick(UNUSUAL).to_owned(),
        _ => rng.pick(REPLIES).to_owned(),
    }
}

pub(super) fn commit_title(rng: &mut Rng) -> String {
    format!("{} {}", rng.pick(DEEDS), rng.pick(THINGS))
}

pub(super) fn sentence(rng: &mut Rng) -> &'static str {
    rng.pick(SENTENCES)
}

/// A line of a diff, without its sign.
pub(in crate::forge) fn code_line(rng: &mut Rng) -> &'static str {
    rng.pick(LINES)
}

/// File number `number` of the project, under the name it had in `era`.
///
/// Every seventh file changes its name from era to era, which is where rename chains come from.
pub(super) fn path(number: u64, era: u64) -> String {
    let folder = FOLDERS[usize::try_from(number).unwrap_or(0) % FOLDERS.len()];
    let name = NAMES[usize::try_from(number / 3).unwrap_or(0) % NAMES.len()];
    match number % 97 {
        40 => format!("{folder}/notes on {name} {number}.md"),
        41 => format!("{folder}/größe-{name}-{number}.rs"),
        _ if number % 7 == 3 && era > 0 => format!("{folder}/{name}_{number}_v{era}.rs"),
        _ => format!("{folder}/{name}_{number}.rs"),
    }
}

pub(super) fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
