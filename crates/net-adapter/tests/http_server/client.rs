//! A client that writes what it is told and reads answers strictly.

use std::net::SocketAddr;
use std::time::Duration;

use annals_net_adapter::{Cx, HostPort, Stream};
use futures_util::{AsyncReadExt, AsyncWriteExt};

/// Longer than any wait of a server whose times were cut by 20.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client {
    stream: Stream,
    buf: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub version: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let first = values.next();
        assert!(values.next().is_none(), "{name} is repeated: {self:?}");
        first
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn says_close(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

impl Client {
    pub async fn connect(cx: &Cx, at: SocketAddr) -> Self {
        Self::try_connect(cx, at).await.expect("the server accepts")
    }

    pub async fn try_connect(cx: &Cx, at: SocketAddr) -> Option<Self> {
        let to = HostPort::new(&at.ip().to_string(), at.port());
        let stream = cx.net().connect(cx, &to, PATIENCE, None).await.ok()?;
        Some(Self {
            stream,
            buf: Vec::new(),
        })
    }

    pub async fn send(&mut self, cx: &Cx, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(cx, bytes).await, "the server does not read");
    }

    /// False if the server closed first.
    pub async fn try_send(&mut self, cx: &Cx, bytes: impl AsRef<[u8]>) -> bool {
        cx.timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .expect("in time")
            .is_ok()
    }

    pub async fn get(&mut self, cx: &Cx, path: &str) -> Answer {
        self.send(cx, format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .await;
        self.answer(cx).await
    }

    pub async fn post(&mut self, cx: &Cx, path: &str, body: &[u8]) -> Answer {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(cx, [head.as_bytes(), body].concat()).await;
        self.answer(cx).await
    }

    /// Read the next answer, whole.
    pub async fn answer(&mut self, cx: &Cx) -> Answer {
        self.try_answer(cx, "GET").await.expect("an answer")
    }

    pub async fn answer_to(&mut self, cx: &Cx, method: &str) -> Answer {
        self.try_answer(cx, method).await.expect("an answer")
    }

    /// `None` if the connection ends before the answer is whole.
    pub async fn try_answer(&mut self, cx: &Cx, method: &str) -> Option<Answer> {
        let head = self.through(cx, b"\r\n\r\n").await?;
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap();
        let (version, rest) = status_line.split_once(' ').unwrap();
        let status = rest.get(..3).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        let mut answer = Answer {
            version: version.to_owned(),
            status,
            headers,
            body: Vec::new(),
        };
        answer.check_date(cx);
        let (length, coding) = (answer.header("content-length"), answer.header("transfer-encoding"));
        if method == "HEAD" || status == 204 || status == 304 {
            assert!(coding.is_none(), "a framing for no body: {answer:?}");
            return Some(answer);
        }
        answer.body = match (length, coding) {
            (Some(length), None) => self.take(cx, length.parse().unwrap()).await?,
            (None, Some("chunked")) => self.chunks(cx).await?,
            (None, None) => {
                assert!(version == "HTTP/1.0" && answer.says_close(), "no framing: {answer:?}");
                self.rest(cx).await?
            }
            _ => panic!("two framings: {answer:?}"),
        };
        Some(answer)
    }

    async fn chunks(&mut self, cx: &Cx) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk(cx).await?;
            if chunk.is_empty() {
                return Some(body);
            }
            body.extend(chunk);
        }
    }

    /// One chunk of a chunked body; the empty one is the last.
    pub async fn chunk(&mut self, cx: &Cx) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.through(cx, b"\r\n").await?).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let chunk = self.take(cx, size).await?;
        assert_eq!(self.take(cx, 2).await?, b"\r\n");
        Some(chunk)
    }

    /// Everything that comes until the server closes.
    pub async fn everything(mut self, cx: &Cx) -> Vec<u8> {
        while self.read(cx).await.is_some_and(|read| read > 0) {}
        self.buf
    }

    /// Everything up to and with `end`.
    pub async fn through(&mut self, cx: &Cx, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buf.windows(end.len()).position(|window| window == end) {
                return Some(self.buf.drain(..at + end.len()).collect());
            }
            self.fill(cx).await?;
        }
    }

    pub async fn take(&mut self, cx: &Cx, size: usize) -> Option<Vec<u8>> {
        while self.buf.len() < size {
            self.fill(cx).await?;
        }
        Some(self.buf.drain(..size).collect())
    }

    /// Up to an orderly end.
    async fn rest(&mut self, cx: &Cx) -> Option<Vec<u8>> {
        while self.read(cx).await? > 0 {}
        Some(std::mem::take(&mut self.buf))
    }

    async fn fill(&mut self, cx: &Cx) -> Option<()> {
        (self.read(cx).await? > 0).then_some(())
    }

    /// `None` if the connection broke.
    async fn read(&mut self, cx: &Cx) -> Option<usize> {
        let mut chunk = vec![0; 64 * 1024];
        let read = cx
            .timeout(PATIENCE, self.stream.read(&mut chunk))
            .await
            .expect("an answer in time")
            .ok()?;
        self.buf.extend_from_slice(chunk.get(..read).unwrap());
        Some(read)
    }

    /// See that the server closes, without another word.
    pub async fn closed(mut self, cx: &Cx) {
        let end = self.read(cx).await;
        assert!(
            end.is_none_or(|read| read == 0) && self.buf.is_empty(),
            "more came: {:?}",
            String::from_utf8_lossy(&self.buf)
        );
    }

    /// Close the writing side only.
    pub async fn half_close(&mut self, cx: &Cx) {
        cx.or_cancel(self.stream.close()).await.unwrap().unwrap();
    }
}

impl Answer {
    fn check_date(&self, cx: &Cx) {
        let date = unix_seconds(self.header("date").expect("a date"));
        let age = cx.unix_ms().0 / 1000 - date;
        assert!((0..=2).contains(&age), "the date is {age} s old");
    }
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, independently of the code under test.
fn unix_seconds(date: &str) -> i64 {
    let parts: Vec<&str> = date.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = parts[..] else {
        panic!("{date:?} is no date")
    };
    let number = |text: &str| text.parse::<i64>().unwrap();
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|name| *name == month).unwrap();
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let lengths = [
        31,
        if leap(number(year)) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let years: i64 = (1970..number(year))
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum();
    let days = years + lengths.iter().take(month).sum::<i64>() + number(day) - 1;
    ((days * 24 + number(hour)) * 60 + number(minute)) * 60 + number(second)
}
