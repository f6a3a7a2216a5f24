//! HTTP by hand: what a test sends is what it says, and nothing of the product helps to read the answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header fields, as they came.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        fields
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// Asks once: `http://127.0.0.1:PORT` and a path with its query.
#[must_use]
pub fn get(origin: &str, target: &str) -> Answer {
    Connection::open(origin).get(target, &[])
}

/// A connection that is kept.
pub struct Connection {
    host: String,
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Connects.
    #[must_use]
    pub fn open(origin: &str) -> Self {
        let host = authority(origin);
        let stream = TcpStream::connect(&host).unwrap_or_else(|error| panic!("{host} cannot be reached: {error}"));
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            host,
            stream,
            read: Vec::new(),
        }
    }

    /// Sends a GET with these fields besides `Host` and reads the answer.
    #[must_use]
    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", target, headers)
    }

    /// Sends any method without a body and reads the answer. A `Host` among the fields replaces the right one.
    #[must_use]
    pub fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str(&format!("Host: {}\r\n", self.host));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        self.stream.write_all(text.as_bytes()).unwrap();
        self.answer(method)
    }

    /// Whether the peer has ended the connection.
    #[must_use]
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    fn answer(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at;
            }
            assert!(self.more(), "the connection ended before the head of the answer");
        };
        let head = String::from_utf8(self.read[..end].to_vec()).expect("a head is text");
        self.read.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok());
        let field = |line: &str| {
            line.split_once(':')
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        };
        let headers = lines.filter_map(field).collect();
        let mut answer = Answer {
            status: status.expect("a status line"),
            headers,
            body: Vec::new(),
        };
        answer.body = if method == "HEAD" || matches!(answer.status, 204 | 304) {
            Vec::new()
        } else if answer
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            self.chunks()
        } else if let Some(length) = answer.header("content-length").map(|length| length.parse().unwrap()) {
            self.exactly(length)
        } else {
            while self.more() {}
            std::mem::take(&mut self.read)
        };
        answer
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.read, b"\r\n") {
                    break at;
                }
                assert!(self.more(), "the connection ended between chunks");
            };
            let size = String::from_utf8(self.exactly(end)).unwrap();
            self.exactly(2);
            let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).expect("the size of a chunk");
            body.extend(self.exactly(size));
            assert_eq!(self.exactly(2), b"\r\n", "a chunk ends with a line");
            if size == 0 {
                return body;
            }
        }
    }

    fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more(), "the connection ended in the body");
        }
        self.read.drain(..count).collect()
    }

    /// Reads on; false at the end.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer).expect("the answer arrives");
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }
}

/// Host and port of an address.
#[must_use]
pub fn authority(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
