//! How a command answers: a page for a person, or one envelope line for a program.
//!
//! [`Mode`] says which; [`envelope`] is the line, [`fields`] picks parts of it and [`budget`] keeps it short; [`page`] is what a person reads, made of
//! [`table`]s and wrapped text in a [`style`]. [`stdout`] takes data and nothing else, [`Console`] is standard error,
//! and [`progress`] draws what a sync does on it.

pub mod answer;
pub mod budget;
mod console;
pub mod envelope;
pub mod fields;
mod mode;
pub mod page;
pub mod progress;
pub mod stdout;
pub mod style;
pub mod table;
pub mod width;

pub use answer::{Output, Reply};
pub use console::Console;
pub use envelope::{Meta, Ran};
pub use fields::Shape;
pub use mode::{Mode, Terminals};
pub use page::{Page, Show};
pub use style::{Palette, Style};
