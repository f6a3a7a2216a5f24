//! GitLab, API v4, over REST, and one query of GraphQL.
//!
//! [`GitLab`] in `client` is the client. `url` knows where things are, `payload` the shapes that come back,
//! `project` and `sets` turn them into what the store takes, `list` walks a list to its end; `page`,
//! `index` and `fetch` answer the engine's questions.

mod account;
mod capability;
mod client;
mod fetch;
mod index;
mod list;
mod page;
mod payload;
mod project;
mod sets;
mod url;

pub use client::{GitLab, GitLabOptions, api_url};
