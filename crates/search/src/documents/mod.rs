//! Documents: what one entity, discussion or commit looks like to a search.
//!
//! A document is rendered from the current rows of the mirror and nothing else, so that rendering it again gives the
//! same bytes. Whatever changes content leaves a dirty row in the same transaction; [`drain`] turns dirty rows into
//! documents and index entries, and [`rebuild`] makes all of them anew.
//!
//! Read [`render`] for what a document holds, `store` for how it is written, then [`drain`] and [`rebuild`].
//! [`check_page`] compares what is held with what would be rendered, [`check_index`] the index with what is held.

mod check;
mod discussion;
mod drain;
mod entity;
mod rebuild;
mod render;
mod store;

pub use check::{Checked, IndexChecked, check_index, check_page, remove_strays};
pub use drain::{Drained, DrainedExactly, drain, drain_exactly, drain_page};
pub use rebuild::{Rebuilt, owe_anew, owe_everything, rebuild};
pub use render::{Flags, Rendered, Source, Text, render};
