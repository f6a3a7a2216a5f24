//! gzip, undone piece by piece.
//!
//! No piece that comes out is larger than 64 KiB, whatever went in, so that the reader can count
//! and stop: a bomb is never unfolded further than its limit.

use std::io::{self, BufRead, Read};

use annals_core::NetworkErrorKind;
use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;

use super::error::WireFault;

const PIECE: usize = 64 * 1024;

/// Turns pieces of a gzip stream into pieces of what was compressed.
pub(crate) struct Gunzip {
    decoder: MultiGzDecoder<Fed>,
    out: Box<[u8]>,
    fed: Started,
}

#[derive(PartialEq, Eq)]
enum Started {
    No,
    Yes,
}

/// What one step gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Decoded bytes, never empty.
    Data(Bytes),
    /// More compressed bytes are needed.
    More,
    /// The stream is complete.
    End,
}

impl Gunzip {
    pub(crate) fn new() -> Self {
        let fed = Fed {
            bytes: Bytes::new(),
            ended: false,
        };
        Self {
            decoder: MultiGzDecoder::new(fed),
            out: vec![0; PIECE].into_boxed_slice(),
            fed: Started::No,
        }
    }

    /// Gives the next compressed bytes; call it only after [`Step::More`].
    pub(crate) fn feed(&mut self, bytes: Bytes) {
        self.fed = Started::Yes;
        self.decoder.get_mut().bytes = bytes;
    }

    /// No more compressed bytes will come.
    pub(crate) fn end(&mut self) {
        self.decoder.get_mut().ended = true;
    }

    pub(crate) fn step(&mut self) -> Result<Step, WireFault> {
        if self.fed == Started::No {
            // Some servers label an empty body as gzip.
            return Ok(if self.decoder.get_ref().ended {
                Step::End
            } else {
                Step::More
            });
        }
        match self.decoder.read(&mut self.out) {
            Ok(0) => Ok(Step::End),
            Ok(count) => Ok(Step::Data(Bytes::copy_from_slice(
                self.out.get(..count).unwrap_or_default(),
            ))),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(Step::More),
                io::ErrorKind::UnexpectedEof => Err(WireFault::new(NetworkErrorKind::ClosedEarly, error)),
                _ => Err(WireFault::protocol(error)),
            },
        }
    }
}

/// The bytes at hand; without any, reading would block.
struct Fed {
    bytes: Bytes,
    ended: bool,
}

impl Read for Fed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Fed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(compressed: &[u8], step: usize) -> Result<Vec<u8>, NetworkErrorKind> {
        let mut gunzip = Gunzip::new();
        let mut pieces = compressed.chunks(step);
        let mut plain = Vec::new();
        loop {
            match gunzip.step().map_err(|fault| fault.kind)? {
                Step::Data(data) => {
                    assert!(!data.is_empty() && data.len() <= PIECE);
                    plain.extend_from_slice(&data);
                }
                Step::More => match pieces.next() {
                    Some(piece) => gunzip.feed(Bytes::copy_from_slice(piece)),
                    None => gunzip.end(),
                },
                Step::End => return Ok(plain),
            }
        }
    }

    #[test]
    fn any_pieces_decode_to_the_same_bytes() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(|n| (n % 777).to_le_bytes()).collect();
        let compressed = gzip(&plain);
        for step in [1, 2, 7, 1000, usize::MAX] {
            assert_eq!(gunzip(&compressed, step), Ok(plain.clone()), "in pieces of {step}");
        }
        let two = [gzip(b"first "), gzip(b"second")].concat();
        assert_eq!(gunzip(&two, 1), Ok(b"first second".to_vec()));
    }

    #[test]
    fn nothing_at_all_is_an_empty_body() {
        assert_eq!(gunzip(b"", 1), Ok(Vec::new()));
        assert_eq!(gunzip(&gzip(b""), 1), Ok(Vec::new()));
    }

    #[test]
    fn damage_and_truncation_are_told_apart() {
        let compressed = gzip(b"some text that is long enough");
        for end in 1..compressed.len() {
            assert_eq!(
                gunzip(&compressed[..end], 3),
                Err(NetworkErrorKind::ClosedEarly),
                "cut at {end}"
            );
        }
        let mut damaged = compressed.clone();
        let crc = damaged.len() - 8;
        damaged[crc] ^= 1;
        assert_eq!(gunzip(&damaged, 5), Err(NetworkErrorKind::Protocol));
        assert_eq!(gunzip(b"not gzip at all", 4), Err(NetworkErrorKind::Protocol));
    }
}
