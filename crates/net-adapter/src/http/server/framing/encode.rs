//! One framing for a response body, and the check that the body keeps to it.

use std::io::Write as _;

use bytes::{BufMut, BytesMut};

/// The body gave more or fewer bytes than its declared length: the answer must be cut, so that the client can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response body does not have the length that was declared")]
pub struct BodyMismatch;

/// How a response body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// No body: `HEAD`, 204, 304. What the handler gives is dropped.
    Nothing,
    /// `Content-Length`; so many bytes are still owed.
    Length(u64),
    /// Chunks, and a last one.
    Chunked,
    /// To an HTTP/1.0 client of unknown length: the end of the connection is the end of the body.
    UntilClose,
}

impl Encoder {
    /// What has to stand in front of `len` bytes of data. `len` is never 0, because an empty chunk would end the body.
    ///
    /// # Errors
    /// More bytes than were declared.
    pub fn before_data(&mut self, len: usize, out: &mut BytesMut) -> Result<(), BodyMismatch> {
        match self {
            Self::Nothing | Self::UntilClose => Ok(()),
            Self::Length(owed) => {
                *owed = owed.checked_sub(len as u64).ok_or(BodyMismatch)?;
                Ok(())
            }
            Self::Chunked => {
                // Writing into memory cannot fail; the size fits the room it makes for itself.
                out.reserve(18);
                write!(out.writer(), "{len:x}\r\n").map_err(|_| BodyMismatch)
            }
        }
    }

    /// What has to stand behind data.
    pub fn after_data(self, out: &mut BytesMut) {
        if self == Self::Chunked {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// What ends the body.
    ///
    /// # Errors
    /// Fewer bytes than were declared.
    pub fn finish(self, out: &mut BytesMut) -> Result<(), BodyMismatch> {
        match self {
            Self::Nothing | Self::UntilClose | Self::Length(0) => Ok(()),
            Self::Length(_) => Err(BodyMismatch),
            Self::Chunked => {
                out.extend_from_slice(b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(mut encoder: Encoder, chunks: &[&[u8]]) -> Result<Vec<u8>, BodyMismatch> {
        let mut out = BytesMut::new();
        for chunk in chunks {
            encoder.before_data(chunk.len(), &mut out)?;
            if encoder != Encoder::Nothing {
                out.extend_from_slice(chunk);
            }
            encoder.after_data(&mut out);
        }
        encoder.finish(&mut out)?;
        Ok(out.to_vec())
    }

    #[test]
    fn each_framing_writes_its_bytes() {
        assert_eq!(encode(Encoder::Length(5), &[b"hel", b"lo"]), Ok(b"hello".to_vec()));
        assert_eq!(encode(Encoder::UntilClose, &[b"hel", b"lo"]), Ok(b"hello".to_vec()));
        assert_eq!(encode(Encoder::Nothing, &[b"hello"]), Ok(Vec::new()));
        assert_eq!(encode(Encoder::Chunked, &[]), Ok(b"0\r\n\r\n".to_vec()));
        let long = [b'x'; 26];
        let expected = [b"3\r\nabc\r\n1a\r\n".as_slice(), &long, b"\r\n0\r\n\r\n"].concat();
        assert_eq!(encode(Encoder::Chunked, &[b"abc", &long]), Ok(expected));
    }

    #[test]
    fn a_body_of_another_length_is_noticed() {
        assert_eq!(encode(Encoder::Length(4), &[b"hello"]), Err(BodyMismatch));
        assert_eq!(encode(Encoder::Length(6), &[b"hello"]), Err(BodyMismatch));
    }
}
