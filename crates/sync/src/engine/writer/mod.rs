//! The transactions of the engine: each is one synchronous function, whole or not at all.
//!
//! Every one begins with the fence, so a run whose lock was taken over writes nothing more. The
//! order inside is that of the specification: entities with all they name, revisions and dirty
//! rows, jobs, cursor, validators.
//!
//! Read [`place`](Place) first; `page` and `set` are the two that matter, with `row`, `children`
//! and `aside` as their parts; `gone` is what sweeps write, `project` and `jobs` are what is left.

mod aside;
mod children;
mod gone;
mod jobs;
mod page;
mod place;
mod project;
mod row;
mod set;

pub use aside::Aside;
pub use children::Absent;
pub use gone::{Departed, write_departed, write_found};
pub use jobs::{entity_at, head_of, let_go, make_due};
pub use page::{
    Found, PageWrite, Standing, begin_pass, count_attempt, end_full, parts, prove, put_again, write_around, write_page,
    write_single,
};
pub use place::{Events, Place, Wrote, fenced};
pub use project::{PROJECT_SCOPE, write_catalogue, write_project};
pub use row::record_version;
pub use set::{SetWrote, read_set_scope, replace_set, set_scope, write_gone, write_set, write_unmodified};
