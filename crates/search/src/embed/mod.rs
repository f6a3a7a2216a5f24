//! Embedding: documents become vectors, so that a search can go by likeness and not only by words.
//!
//! **What this promises:** a document has all of its vectors or those it had before; what could not be embedded stays
//! owed; nothing but the embedder that is configured sees a text; and what its server is told as a secret reaches no log
//! and no error.
//!
//! [`Embedder`] is what makes vectors of texts: [`Hashing`] offline, [`OpenAi`] and [`Ollama`] through `http`, whichever
//! the configuration names ([`embedder`]). [`chunks`] cuts a document into what an embedder takes, `settle` gets vectors
//! for the pieces of a document whatever single texts do, and `work` is the loop over what is owed: [`owed`] for all of
//! it, [`documents`] for exactly these. Where vectors are kept is the story of [`vector`](crate::vector).

mod chunks;
mod configured;
mod error;
mod hashing;
mod http;
mod ollama;
mod openai;
mod page;
mod settle;
mod work;

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::pin::Pin;

use annals_core::config::EmbedProvider;
use annals_net_adapter::Cx;

pub use chunks::{CHUNK_BYTES, OVERLAP_CHARS, chunks};
pub use configured::{embedder, embedder_for, is_configured};
pub use error::EmbedError;
pub use hashing::Hashing;
pub use http::Patience;
pub use ollama::Ollama;
pub use openai::OpenAi;
pub use work::{Again, Embedded, Plan, documents, given_up, owe_all, owed};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What tells the vectors of one embedder from those of another, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedderId {
    /// Who makes them.
    pub provider: EmbedProvider,
    /// Of what.
    pub model: String,
    /// Numbers per vector; `None` until the model has told.
    pub dims: Option<usize>,
    /// The longest text to send, in bytes.
    pub max_input: usize,
    /// The most texts to send at once.
    pub batch: NonZeroUsize,
    /// The most requests at once.
    pub concurrency: NonZeroUsize,
}

/// Makes vectors of texts. Fakes for tests implement it too.
pub trait Embedder: Debug + Send + Sync {
    /// What it is.
    fn identity(&self) -> &EmbedderId;

    /// One vector for each text, in their order. They need not be of unit length. A caller that gets
    /// [`EmbedError::is_about_texts`] sends fewer or shorter ones.
    ///
    /// # Errors
    /// [`EmbedError`].
    ///
    /// # Cancel safety
    /// It has no effect but requests that were sent.
    fn embed<'a>(&'a self, cx: &'a Cx, texts: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>>;
}
