//! The text of a file's change, in the form GitLab sends it.

use super::super::generate::code_line;
use super::super::project::{DiffText, FileChange};
use super::super::rng::Rng;

/// The unified diff from its first `@@` on; empty when there is nothing to show.
pub(super) fn text(change: &FileChange) -> String {
    let DiffText::Lines { added, removed } = change.text else {
        return match change.text {
            DiffText::Binary => format!("Binary files a/{} and b/{} differ\n", change.old_path, change.new_path),
            _ => String::new(),
        };
    };
    if added + removed == 0 {
        return String::new();
    }
    let mut rng = Rng::new(change.seed);
    let context = if added == 0 || removed == 0 { 0 } else { 2 };
    let (old_start, new_start) = (1 + rng.below(200), 1 + rng.below(200));
    let mut text = format!(
        "@@ -{old_start},{} +{new_start},{} @@\n",
        removed + context,
        added + context
    );
    let mut line = |sign: char| {
        text.push(sign);
        text.push_str(code_line(&mut rng));
        text.push('\n');
    };
    for _ in 0..context / 2 {
        line(' ');
    }
    for _ in 0..removed {
        line('-');
    }
    for _ in 0..added {
        line('+');
    }
    for _ in 0..context / 2 {
        line(' ');
    }
    text
}
