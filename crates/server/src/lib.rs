//! The REST API and the web pages over one store.
//!
//! **What this promises:** nobody sees what they may not see, nothing hostile is more than an error, and stopping takes
//! bounded time.
//!
//! Handlers only read the store; none can reach a forge. Read in this order: [`serve`] runs a listener, [`router`] lists
//! the routes; `http` is what all answers share; `api` answers programs, `web` answers people, with the same queries.

mod api;
mod app;
mod health;
mod http;
mod serve;
mod web;

pub use app::{AppState, router};
pub use serve::{DrainOptions, Error, listen, serve};
