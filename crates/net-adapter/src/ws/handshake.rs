//! What both sides of the opening handshake know (RFC 6455 §4).

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::http::base64;

/// The protocol's own name in `Upgrade`.
pub(super) const WEBSOCKET: &str = "websocket";
/// The only version there is.
pub(super) const VERSION: &str = "13";

/// The server proves with it that it understood: SHA-1 is no secret here, only a shape.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The answer to a client's key.
pub(super) fn accept(key: &[u8]) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()).as_ref())
}

/// 16 bytes in base64: 22 digits, the last of which has four unused bits, and two signs of padding.
pub(super) fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key.split_at_checked(22) {
        Some((digits, b"==")) => digits.iter().all(digit) && matches!(digits.last(), Some(b'A' | b'Q' | b'g' | b'w')),
        _ => false,
    }
}

/// True if the fields ask for, or agree to, this protocol.
pub(super) fn speaks_websocket(headers: &HeaderMap) -> bool {
    lists(headers, &CONNECTION, "upgrade") && lists(headers, &UPGRADE, WEBSOCKET)
}

/// True if one of the comma-separated values of a field is `item`.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    items(headers, name).any(|found| found.eq_ignore_ascii_case(item.as_bytes()))
}

/// The comma-separated values of a field.
pub(super) fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        assert!(is_key(key));
        assert_eq!(accept(key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_sixteen_bytes() {
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25j!Q==",
            "AAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            assert!(!is_key(key.as_bytes()), "{key}");
        }
    }
}
