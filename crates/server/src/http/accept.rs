//! What a client of the API can read: the answer is JSON, and whoever cannot read that is told so instead of sent it.

use annals_core::{Code, Report};
use annals_net_adapter::http::server::ReqCx;
use axum::extract::Request;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Told;

/// Lets those pass who read JSON; a method that no address has is the router's to refuse.
pub(crate) async fn json(_: ReqCx, told: Told, request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    if reads && !takes_json(request.headers()) {
        let report = Report::new(Code::NotAcceptable, "this address answers with application/json only");
        return told
            .problem(report.with_suggestion("Accept: application/json"))
            .into_response();
    }
    next.run(request).await
}

/// Whether `Accept` leaves room for JSON. Nothing said, or nothing that can be read, is no objection.
fn takes_json(headers: &HeaderMap) -> bool {
    let fields = headers
        .get_all(ACCEPT)
        .into_iter()
        .filter_map(|field| field.to_str().ok());
    let ranges = fields.flat_map(|field| field.split(',')).filter_map(range);
    let mut best: Option<(Weight, bool)> = None;
    let mut any = false;
    for (name, wanted) in ranges {
        any = true;
        let Some(weight) = weight(&name) else { continue };
        // The closest range decides (RFC 9110 §12.5.1), of equally close ones the kinder.
        if best.is_none_or(|known| (weight, wanted) > known) {
            best = Some((weight, wanted));
        }
    }
    best.map_or(!any, |(_, wanted)| wanted)
}

/// How closely a range names JSON.
type Weight = u8;

fn weight(range: &str) -> Option<Weight> {
    match range {
        "application/json" | "application/problem+json" => Some(3),
        "application/*" => Some(2),
        "*/*" => Some(1),
        _ => None,
    }
}

/// A media range, and whether it is wanted at all: `q=0` is not.
fn range(text: &str) -> Option<(String, bool)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| name.contains('/'))?.to_ascii_lowercase();
    let quality = parts.find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("q")
            .then(|| value.trim().parse::<f32>().ok())?
    });
    Some((name, quality.is_none_or(|quality| quality > 0.0)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_who_cannot_read_json_is_refused() {
        for (accept, expected) in [
            (&[][..], true),
            (&[""], true),
            (&["nonsense"], true),
            (&["application/json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/problem+json"], true),
            (&["application/*;q=0.1"], true),
            (
                &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
                true,
            ),
            (&["application/xml", "application/json"], true),
            (&["application/xml"], false),
            (&["text/html, image/png"], false),
            (&["application/json;q=0, */*"], false),
            (&["application/*;q=0, */*"], false),
            (&["*/*;q=0"], false),
            (&["*/*; Q=0.0"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, value.parse().unwrap());
            }
            assert_eq!(takes_json(&headers), expected, "{accept:?}");
        }
    }
}
