//! Forge clients: from HTTP answers to what the store takes.
//!
//! **What this promises:** only GETs leave, and GraphQL queries, politely; a page is read whole or refused; one bad item
//! costs one item; and a secret goes to its own origin or nowhere.
//!
//! Read in this order: [`api`] has the trait [`Forge`], [`model`] everything that goes through it;
//! [`gitlab`] is the first that implements it. Below them are decisions without I/O: [`paging`]
//! walks lists, [`raw`] takes bodies apart, [`rate`] and [`retry`] read what a host says about
//! limits. [`host`] is where they meet the network, with the [`sliding_window`] of requests, the [`budget`]
//! of bytes and the [`meter`].

pub mod api;
pub mod budget;
mod confirm;
pub mod error;
pub mod gitlab;
mod handle;
pub mod host;
pub mod meter;
pub mod model;
mod pace;
pub mod paging;
pub mod rate;
pub mod raw;
pub mod retry;
pub mod sliding_window;

pub use api::{Answer, BoxFuture, Fetch, Forge, IndexAt, PageAt, Question, Via};
pub use confirm::confirm;
pub use error::ForgeError;
pub use handle::Handle;
pub use model::{
    Bad, Catalogue, CatalogueAnswer, CatalogueRows, CommitIn, EntityRow, IndexEntry, IndexPage, IndexPosition, Kept,
    Numberless, Oddity, Page, PagePosition, ProjectAnswer, ProjectRef, ReferenceIn, Row, SetAnswer, SetIn, SetKey,
    Stream,
};
