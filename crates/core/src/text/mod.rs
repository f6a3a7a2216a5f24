//! What a word is, which words are equal, what a reader is shown of a text and what is safe to print.
//!
//! [`fold`] makes names comparable and [`tokens`] cuts a text into folded words; indexes and queries
//! both use them, so that whatever is indexed can be found. [`snippet`] picks the part of a text
//! that answers a query. [`visible`] makes forge text harmless on a terminal. [`nearest`] guesses
//! what somebody meant to type.

mod clean;
mod cut;
mod fold;
mod similar;
mod snippet;
mod tokens;
mod visible;

pub use clean::{DOCUMENT_LIMIT, searchable, without_nul};
pub use cut::{cut, cut_chars};
pub use fold::{fold, is_cjk};
pub use similar::{closeness, nearest, one_edit_apart};
pub use snippet::{SNIPPET_CHARS, Snippet, snippet};
pub use tokens::{MAX_TOKEN_CHARS, Term, Token, Tokens, indexable, tokens};
pub use visible::{visible, visible_line};
