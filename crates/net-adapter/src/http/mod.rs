//! HTTP, client and server, above both runtimes.

pub mod server;
