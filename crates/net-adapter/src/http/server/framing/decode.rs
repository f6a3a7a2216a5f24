//! The bytes of a body, one piece at a time.

use bytes::{Buf, Bytes, BytesMut};

use super::BodyLength;

/// Bytes of chunk extensions in one chunk header.
const EXTENSION_LIMIT: usize = 4 * 1024;
/// Bytes of chunk extensions in one body: without it, one-byte chunks could carry any amount of them.
const EXTENSIONS_LIMIT: usize = 64 * 1024;
/// Bytes of the trailer section.
const TRAILERS_LIMIT: usize = 16 * 1024;
/// `u64` in hexadecimal.
const SIZE_DIGITS: usize = 16;

/// The body does not follow its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A chunk size that is empty, too long, or not plain hexadecimal digits.
    #[error("malformed chunk size")]
    ChunkSize,
    /// A line that ends in a bare line feed, or a bare carriage return.
    #[error("malformed line end in the chunked body")]
    LineEnd,
    /// Chunk data that is not followed by a line end.
    #[error("chunk data without its line end")]
    ChunkEnd,
    /// More chunk extensions than anyone needs.
    #[error("chunk extensions too long")]
    Extensions,
    /// Trailer fields that are malformed or too long.
    #[error("malformed trailer fields")]
    Trailers,
    /// The stream ended within the body.
    #[error("the body ended early")]
    Early,
}

/// What one step gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Bytes of the body, never empty.
    Data(Bytes),
    /// The buffer holds nothing more of the body yet.
    More,
    /// The body is complete; what is left in the buffer belongs to the next request.
    End,
}

/// Takes one body out of a buffer that fills in pieces. Trailer fields are checked and dropped.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extensions: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A body of known length, so many bytes left.
    Length(u64),
    Size {
        value: u64,
        digits: usize,
    },
    Extension {
        value: u64,
        bytes: usize,
        quoted: Quoted,
    },
    /// The carriage return of a chunk header was seen.
    SizeEnd {
        value: u64,
    },
    Data(u64),
    DataEnd,
    DataEndLf,
    Trailers {
        bytes: usize,
        line: TrailerLine,
    },
    Done,
    Failed(FramingError),
}

/// Where in a quoted string of an extension.
#[derive(Clone, Copy, Debug)]
enum Quoted {
    No,
    Yes,
    Escaped,
}

#[derive(Clone, Copy, Debug)]
enum TrailerLine {
    Start,
    Name,
    Value,
    /// After the carriage return of a field.
    FieldEnd,
    /// After the carriage return of the empty line.
    LastEnd,
}

impl Decoder {
    /// At the start of a body.
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::Known(0) => State::Done,
            BodyLength::Known(bytes) => State::Length(bytes),
            BodyLength::Chunked => State::Size { value: 0, digits: 0 },
        };
        Self { state, extensions: 0 }
    }

    /// True once the whole body was taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes still to come, when the framing says so.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(bytes) => Some(bytes),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Take the next piece of the body from the front of `buf`.
    ///
    /// # Errors
    /// The bytes break the framing; the same error is given again for every later step.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Decoded, FramingError> {
        loop {
            match self.state {
                State::Done => return Ok(Decoded::End),
                State::Failed(error) => return Err(error),
                State::Length(left) => return Ok(self.data(buf, left, State::Length, State::Done)),
                State::Data(left) => return Ok(self.data(buf, left, State::Data, State::DataEnd)),
                _ => {
                    let Some(&byte) = buf.first() else {
                        return Ok(Decoded::More);
                    };
                    match self.step(byte) {
                        Ok(next) => self.state = next,
                        Err(error) => {
                            self.state = State::Failed(error);
                            return Err(error);
                        }
                    }
                    buf.advance(1);
                }
            }
        }
    }

    /// What it means that the stream ended here.
    ///
    /// # Errors
    /// The body was not complete.
    pub fn end_of_stream(&mut self) -> Result<(), FramingError> {
        match self.state {
            State::Done => Ok(()),
            State::Failed(error) => Err(error),
            _ => {
                self.state = State::Failed(FramingError::Early);
                Err(FramingError::Early)
            }
        }
    }

    fn data(&mut self, buf: &mut BytesMut, left: u64, rest: fn(u64) -> State, done: State) -> Decoded {
        if buf.is_empty() {
            return Decoded::More;
        }
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let left = left - take as u64;
        self.state = if left == 0 { done } else { rest(left) };
        Decoded::Data(buf.split_to(take).freeze())
    }

    /// One byte of chunk syntax (RFC 9112 §7.1), without the leniences that made parsers disagree.
    fn step(&mut self, byte: u8) -> Result<State, FramingError> {
        match self.state {
            State::Size { value, digits } => match (hex(byte), byte) {
                (Some(digit), _) if digits < SIZE_DIGITS => Ok(State::Size {
                    value: (value << 4) | u64::from(digit),
                    digits: digits + 1,
                }),
                (None, b'\r') if digits > 0 => Ok(State::SizeEnd { value }),
                (None, b';') if digits > 0 => Ok(State::Extension {
                    value,
                    bytes: 0,
                    quoted: Quoted::No,
                }),
                (None, b'\n') => Err(FramingError::LineEnd),
                _ => Err(FramingError::ChunkSize),
            },
            State::Extension { value, bytes, quoted } => {
                self.extensions += 1;
                if bytes >= EXTENSION_LIMIT || self.extensions > EXTENSIONS_LIMIT {
                    return Err(FramingError::Extensions);
                }
                let quoted = match (quoted, byte) {
                    (Quoted::No, b'\r') => return Ok(State::SizeEnd { value }),
                    (_, b'\n' | b'\r') => return Err(FramingError::LineEnd),
                    (_, 0..=8 | 11..=31 | 127) => return Err(FramingError::Extensions),
                    (Quoted::No, b'"') | (Quoted::Escaped, _) => Quoted::Yes,
                    (Quoted::Yes, b'"') => Quoted::No,
                    (Quoted::Yes, b'\\') => Quoted::Escaped,
                    (other, _) => other,
                };
                Ok(State::Extension {
                    value,
                    bytes: bytes + 1,
                    quoted,
                })
            }
            State::SizeEnd { value } => match (byte, value) {
                (b'\n', 0) => Ok(State::Trailers {
                    bytes: 0,
                    line: TrailerLine::Start,
                }),
                (b'\n', _) => Ok(State::Data(value)),
                _ => Err(FramingError::LineEnd),
            },
            State::DataEnd if byte == b'\r' => Ok(State::DataEndLf),
            State::DataEndLf if byte == b'\n' => Ok(State::Size { value: 0, digits: 0 }),
            State::DataEnd | State::DataEndLf => Err(FramingError::ChunkEnd),
            State::Trailers { bytes, line } => {
                if bytes >= TRAILERS_LIMIT {
                    return Err(FramingError::Trailers);
                }
                let line = match (line, byte) {
                    (TrailerLine::LastEnd, b'\n') => return Ok(State::Done),
                    (TrailerLine::Start, b'\r') => TrailerLine::LastEnd,
                    (TrailerLine::Value, b'\r') => TrailerLine::FieldEnd,
                    (TrailerLine::FieldEnd, b'\n') => TrailerLine::Start,
                    (TrailerLine::LastEnd | TrailerLine::FieldEnd, _) | (_, b'\r' | b'\n') => {
                        return Err(FramingError::LineEnd);
                    }
                    (TrailerLine::Name, b':') => TrailerLine::Value,
                    (TrailerLine::Start | TrailerLine::Name, _) if is_token(byte) => TrailerLine::Name,
                    (TrailerLine::Value, b'\t' | 32..=126 | 128..) => TrailerLine::Value,
                    _ => return Err(FramingError::Trailers),
                };
                Ok(State::Trailers { bytes: bytes + 1, line })
            }
            // `decode` handles these itself.
            State::Length(_) | State::Data(_) | State::Done | State::Failed(_) => Ok(self.state),
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feed `input` in pieces of `step` bytes; the body, or the error, and what was left over.
    fn run(length: BodyLength, input: &[u8], step: usize) -> (Result<Option<Vec<u8>>, FramingError>, Vec<u8>) {
        let mut decoder = Decoder::new(length);
        let (mut buf, mut body, mut input) = (BytesMut::new(), Vec::new(), input);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Decoded::Data(data)) => body.extend_from_slice(&data),
                Ok(Decoded::End) => return (Ok(Some(body)), [&buf, input].concat()),
                Ok(Decoded::More) if input.is_empty() => return (Ok(None), buf.to_vec()),
                Ok(Decoded::More) => {
                    let (now, later) = input.split_at(step.min(input.len()));
                    buf.extend_from_slice(now);
                    input = later;
                }
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buf), Err(error), "an error must stay");
                    return (Err(error), Vec::new());
                }
            }
        }
    }

    fn chunked(input: &[u8]) -> Result<Option<Vec<u8>>, FramingError> {
        let whole = run(BodyLength::Chunked, input, usize::MAX);
        assert_eq!(run(BodyLength::Chunked, input, 1).0, whole.0, "pieces must not matter");
        whole.0
    }

    #[test]
    fn length_takes_exactly_its_bytes() {
        assert_eq!(
            run(BodyLength::Known(0), b"GET", 9),
            (Ok(Some(vec![])), b"GET".to_vec())
        );
        assert_eq!(
            run(BodyLength::Known(3), b"abcGET", 1),
            (Ok(Some(b"abc".to_vec())), b"GET".to_vec())
        );
        assert_eq!(run(BodyLength::Known(4), b"abc", 2).0, Ok(None));
    }

    #[test]
    fn h05_chunks_extensions_and_trailers_decode_exactly() {
        let ok = |body: &[u8]| Ok(Some(body.to_vec()));
        assert_eq!(chunked(b"0\r\n\r\n"), ok(b""));
        assert_eq!(chunked(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"), ok(b"abc"));
        assert_eq!(chunked(b"a\r\n0123456789\r\n000\r\n\r\n"), ok(b"0123456789"));
        assert_eq!(
            chunked(b"A;n=v;q=\"a;\\\"b\"\r\n0123456789\r\n0;x\r\n\r\n"),
            ok(b"0123456789")
        );
        assert_eq!(
            chunked(b"2\r\n\r\n\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n"),
            ok(b"\r\n")
        );
        let rest = run(BodyLength::Chunked, b"0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n", 1).1;
        assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    }

    #[test]
    fn h08_malformed_chunks_fail() {
        use FramingError::{ChunkEnd, ChunkSize, Extensions, LineEnd, Trailers};
        let long_extension = [b"5;".as_slice(), &[b'x'; 4097], b"\r\nhello\r\n0\r\n\r\n"].concat();
        let many_extensions = [
            [b"1;".as_slice(), &[b'x'; 4000], b"\r\na\r\n"].concat().repeat(17),
            b"0\r\n\r\n".to_vec(),
        ];
        let long_trailers = [b"0\r\n".as_slice(), &b"A: b\r\n".repeat(3000), b"\r\n"].concat();
        let cases: &[(&[u8], FramingError)] = &[
            (b"\r\nhello", ChunkSize),
            (b"0x5\r\nhello\r\n0\r\n\r\n", ChunkSize),
            (b"+5\r\nhello\r\n0\r\n\r\n", ChunkSize),
            (b"-1\r\nhello\r\n0\r\n\r\n", ChunkSize),
            (b" 5\r\nhello\r\n0\r\n\r\n", ChunkSize),
            (b"5 \r\nhello\r\n0\r\n\r\n", ChunkSize),
            (b"00000000000000005\r\nhello\r\n0\r\n\r\n", ChunkSize),
            (b";a\r\nhello", ChunkSize),
            (b"5\nhello\r\n0\r\n\r\n", LineEnd),
            (b"5\rhello\r\n0\r\n\r\n", LineEnd),
            (b"5;a\nhello\r\n0\r\n\r\n", LineEnd),
            (b"5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n", LineEnd),
            (b"5;a\0\r\nhello\r\n0\r\n\r\n", Extensions),
            (b"5\r\nhello0\r\n\r\n", ChunkEnd),
            (b"5\r\nhello\n0\r\n\r\n", ChunkEnd),
            (b"5\r\nhello\rx0\r\n\r\n", ChunkEnd),
            (b"0\r\nNoColon\r\n\r\n", LineEnd),
            (b"0\r\n: x\r\n\r\n", Trailers),
            (b"0\r\nA : x\r\n\r\n", Trailers),
            (b"0\r\n A: x\r\n\r\n", Trailers),
            (b"0\r\nA: x\n\r\n", LineEnd),
            (b"0\r\nA: \0\r\n\r\n", Trailers),
            (b"0\r\n\rx", LineEnd),
            (&long_extension, Extensions),
            (&many_extensions.concat(), Extensions),
            (&long_trailers, Trailers),
        ];
        for (input, error) in cases {
            let shown = String::from_utf8_lossy(input.get(..input.len().min(40)).unwrap()).into_owned();
            assert_eq!(chunked(input), Err(*error), "{shown:?}");
        }
    }

    #[test]
    fn an_early_end_is_not_an_end() {
        for input in [b"5\r\nhel".as_slice(), b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b""] {
            let mut decoder = Decoder::new(BodyLength::Chunked);
            let mut buf = BytesMut::from(input);
            while !matches!(decoder.decode(&mut buf).unwrap(), Decoded::More) {}
            assert_eq!(decoder.end_of_stream(), Err(FramingError::Early));
        }
        let mut decoder = Decoder::new(BodyLength::Known(1));
        assert_eq!(decoder.end_of_stream(), Err(FramingError::Early));
        assert_eq!(Decoder::new(BodyLength::Known(0)).end_of_stream(), Ok(()));
    }

    proptest! {
        #[test]
        fn any_chunking_of_any_body_decodes_to_it(body: Vec<u8>, sizes in proptest::collection::vec(1_usize..40, 1..20), step in 1_usize..50) {
            let (mut wire, mut rest, mut sizes) = (Vec::new(), body.as_slice(), sizes.into_iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                wire.extend_from_slice(format!("{:x}\r\n", now.len()).as_bytes());
                wire.extend_from_slice(now);
                wire.extend_from_slice(b"\r\n");
                rest = later;
            }
            wire.extend_from_slice(b"0\r\n\r\nGET");
            prop_assert_eq!(run(BodyLength::Chunked, &wire, step), (Ok(Some(body)), b"GET".to_vec()));
        }

        #[test]
        fn no_bytes_panic_and_pieces_never_matter(input: Vec<u8>, step in 1_usize..9) {
            let whole = run(BodyLength::Chunked, &input, usize::MAX);
            let pieces = run(BodyLength::Chunked, &input, step);
            prop_assert_eq!(whole.0, pieces.0);
        }
    }
}
