//! One function per parser. Each compares the parser with itself under other pieces, and with a simpler, slower reading of
//! what was accepted; the text it gives names what became of the input.

use annals_net_adapter::http::append_query_params;
use annals_net_adapter::http::server::framing::{BodyLength, Decoded, Decoder, Encoder};
use annals_net_adapter::http::server::{HeadLimits, HeadReader, RequestHead};
use bytes::BytesMut;

use crate::link::parse_link;

/// The head of a request: one reading, whatever the pieces; nothing accepted that two parsers could read in two ways.
pub fn fuzz_head(data: &[u8]) -> String {
    let (whole, rest) = read_head(data, data.len().max(1));
    let shown = format!("{whole:?}");
    for step in [1, 7, data.len() / 2 + 1] {
        let (pieces, rest_of_pieces) = read_head(data, step);
        assert_eq!(shown, format!("{pieces:?}"), "pieces of {step} bytes");
        assert!(whole.is_err() || rest == rest_of_pieces, "pieces of {step} bytes");
    }
    let Ok(Some(head)) = &whole else {
        return match whole {
            Err(refusal) => refusal.why().to_owned(),
            Ok(_) => "unfinished".to_owned(),
        };
    };
    assert!(data.ends_with(&rest), "bytes behind the head were changed");
    let text = &data[..data.len() - rest.len()];
    let mut lengths = 0;
    let mut codings = 0;
    let mut hosts = 0;
    let lines = text.strip_suffix(b"\r\n").unwrap().split(|byte| *byte == b'\n');
    for (number, line) in lines.filter(|line| !line.is_empty()).enumerate() {
        let line = line.strip_suffix(b"\r").expect("a bare line feed");
        assert!(
            !line.iter().any(|byte| matches!(byte, b'\r' | 0)),
            "a bare carriage return or NUL"
        );
        let name = line.split(|byte| *byte == b':').next().unwrap();
        if number > 0 {
            assert!(!line.first().is_some_and(u8::is_ascii_whitespace), "a folded field");
            lengths += usize::from(name.eq_ignore_ascii_case(b"content-length"));
            codings += usize::from(name.eq_ignore_ascii_case(b"transfer-encoding"));
            hosts += usize::from(name.eq_ignore_ascii_case(b"host"));
        }
    }
    assert!(
        lengths + codings <= 1 && hosts <= 1,
        "{lengths} lengths, {codings} codings, {hosts} hosts"
    );
    match head.body {
        BodyLength::Known(0) => assert_eq!(codings, 0),
        BodyLength::Known(_) => assert_eq!(lengths, 1),
        BodyLength::Chunked => assert_eq!(codings, 1),
    }
    // Written down again it reads the same.
    let again = read_head(&written(head), usize::MAX).0;
    assert_eq!(shown, format!("{again:?}"));
    let Ok(Some(RequestHead {
        version,
        body,
        persistence,
        expects_continue,
        ..
    })) = whole
    else {
        unreachable!("it was accepted")
    };
    let framing = if body == BodyLength::Chunked {
        "chunked"
    } else {
        "length"
    };
    format!("{version:?} {framing} {persistence:?} {expects_continue}")
}

type Read = Result<Option<RequestHead>, annals_net_adapter::http::server::Refusal>;

fn read_head(data: &[u8], step: usize) -> (Read, Vec<u8>) {
    let mut reader = HeadReader::new(HeadLimits::default());
    let mut buffer = BytesMut::new();
    let mut later = data;
    loop {
        match reader.read(&mut buffer) {
            Ok(None) if !later.is_empty() => {
                let (now, rest) = later.split_at(step.min(later.len()));
                buffer.extend_from_slice(now);
                later = rest;
            }
            read => return (read, [&buffer, later].concat()),
        }
    }
}

fn written(head: &RequestHead) -> Vec<u8> {
    let mut out = format!("{} {} {:?}\r\n", head.method, head.target, head.version).into_bytes();
    for (name, value) in &head.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A chunked body: one reading, whatever the pieces; never a byte more than the body.
pub fn fuzz_chunked(data: &[u8]) -> String {
    let (whole, rest) = decode(data, data.len().max(1));
    for step in [1, 5, data.len() / 2 + 1] {
        assert_eq!(
            (&whole, &rest),
            (&decode(data, step).0, &decode(data, step).1),
            "pieces of {step} bytes"
        );
    }
    let body = match whole {
        Ok(Some(body)) => body,
        Ok(None) => return "unfinished".to_owned(),
        Err(error) => return error,
    };
    assert!(data.ends_with(&rest), "bytes behind the body were changed");
    assert_eq!(simply_decoded(&data[..data.len() - rest.len()]), Some(body.clone()));
    let mut out = BytesMut::new();
    let mut encoder = Encoder::Chunked;
    for piece in body.chunks(11) {
        encoder.before_data(piece.len(), &mut out).unwrap();
        out.extend_from_slice(piece);
        encoder.after_data(&mut out);
    }
    encoder.finish(&mut out).unwrap();
    assert_eq!(decode(&out, usize::MAX), (Ok(Some(body.clone())), vec![]));
    format!("{} bytes", body.len().checked_ilog2().map_or(0, |log| log + 1))
}

fn decode(data: &[u8], step: usize) -> (Result<Option<Vec<u8>>, String>, Vec<u8>) {
    let mut decoder = Decoder::new(BodyLength::Chunked);
    let (mut buffer, mut body, mut later) = (BytesMut::new(), Vec::new(), data);
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Decoded::Data(data)) => body.extend_from_slice(&data),
            Ok(Decoded::End) => return (Ok(Some(body)), [&buffer, later].concat()),
            Ok(Decoded::More) if later.is_empty() => return (Ok(None), vec![]),
            Ok(Decoded::More) => {
                assert!(buffer.is_empty(), "bytes that nobody looks at");
                let (now, rest) = later.split_at(step.min(later.len()));
                buffer.extend_from_slice(now);
                later = rest;
            }
            Err(error) => return (Err(error.to_string()), vec![]),
        }
    }
}

/// By lines, as the RFC writes it.
fn simply_decoded(mut data: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = data.windows(2).position(|window| window == b"\r\n")?;
        let (head, rest) = data.split_at(line);
        let digits = head.split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        data = &rest[2..];
        if size == 0 {
            // Trailers are lines up to an empty one, which is the end.
            return (data == b"\r\n" || data.ends_with(b"\r\n\r\n")).then_some(body);
        }
        body.extend_from_slice(data.get(..size)?);
        data = data.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// The `Link` field: entries are what stands between angle brackets, in their order.
pub fn fuzz_link(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let entries = parse_link(&text);
    let mut from = 0;
    for (target, rels) in &entries {
        assert!(!target.contains('>'), "{target:?}");
        let at = text
            .get(from..)
            .unwrap()
            .find(target.as_str())
            .expect("a target that nobody wrote");
        from += at + target.len();
        for rel in rels {
            assert!(!rel.contains(|c: char| c.is_ascii_whitespace()), "{rel:?}");
            assert!(!rel.bytes().any(|byte| byte.is_ascii_uppercase()), "{rel:?}");
        }
    }
    // Another entry before or behind takes nothing away from those that are whole.
    let before = parse_link(&format!("<first>; rel=first, {text}"));
    assert_eq!((&before[0].0, &before[1..]), (&"first".to_owned(), entries.as_slice()));
    let rels: usize = entries.iter().map(|(_, rels)| rels.len()).sum();
    format!("{} {}", entries.len(), rels.min(8))
}

/// The query builder: the URL's own parts stay byte for byte, and what was added reads back as it was given.
pub fn fuzz_query(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let mut words = text.split('\n');
    let url = words.next().unwrap();
    let pairs: Vec<_> = words.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let out = append_query_params(url, &pairs);
    let cut = |url: &str| {
        let (base, fragment) = url
            .split_once('#')
            .map_or((url, None), |(base, rest)| (base, Some(rest)));
        (base.to_owned(), fragment.map(str::to_owned))
    };
    let ((base, fragment), (new_base, new_fragment)) = (cut(url), cut(&out));
    assert_eq!(fragment, new_fragment);
    let added = new_base.strip_prefix(&base).expect("the URL itself was changed");
    if pairs.is_empty() {
        assert_eq!(added, "");
        return "no pairs".to_owned();
    }
    let query = base.split_once('?').map(|(_, query)| query);
    let separator = match query {
        None => "?",
        Some(query) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let read: Vec<_> = added
        .strip_prefix(separator)
        .expect("the separator")
        .split('&')
        .map(|pair| pair.split_once('=').expect("a pair"))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect();
    let given: Vec<_> = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(read, given);
    assert!(added.is_ascii() && !added.contains([' ', '#', '+']), "{added:?}");
    format!("{separator:?} {} {}", pairs.len().min(6), fragment.is_some())
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
        } else {
            byte
        });
    }
    String::from_utf8(out).unwrap()
}
