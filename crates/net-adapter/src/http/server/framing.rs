//! Where a body begins and ends.
//!
//! Promise: a decoder takes from its buffer the bytes of one body and never a byte more, so that the bytes of a body are
//! never read as a request; an encoder writes exactly one framing and notices when the body disagrees with it.

mod decode;
mod encode;

pub use decode::{Decoded, Decoder, FramingError};
pub use encode::{BodyMismatch, Encoder};

/// How a request body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// That many bytes; none for a request without a body.
    Known(u64),
    /// Chunks until the last one.
    Chunked,
}
