//! From a good reply to a bad one.

use annals_core::EntityKind;
use serde_json::Value;

use super::super::gitlab::{self, Reply, Request};
use super::super::project::Key;
use super::super::state::{Order, State};
use super::{Context, Fault};

/// How the bytes of a reply travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As they should.
    Whole,
    /// Nothing is sent, then the connection ends.
    CloseBefore,
    /// Nothing is sent, then the connection is reset.
    ResetBefore,
    /// Half of the head, then the end.
    CutHead,
    /// The head and half of the body, then the end.
    CutBody,
    /// The head and half of the body, then a reset.
    ResetBody,
    /// Half of the body in whole chunks, then the end.
    CutChunks,
    /// Everything under a wrong length, then the end.
    Length(usize),
    /// A few bytes at a time.
    Slow,
    /// Nothing, for ever.
    Stall,
    /// The head and half of the body, then nothing, for ever.
    StallBody,
    /// Small chunks.
    Chunked,
    /// As many blanks as announced.
    Blanks(u64),
    /// Chunks of blanks without end.
    Endless,
    /// A gzip stream that unpacks to as many zeros.
    Zeros(u64),
}

/// What happens to the forge when the reply is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// The entity is updated and moves in the list.
    Touch(Key),
    /// The entity gets another title.
    Retitle(Key),
}

/// What is really answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status, headers and body.
    pub reply: Reply,
    /// How they travel.
    pub delivery: Delivery,
    /// What happens then.
    pub then: Option<Aftermath>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            delivery: Delivery::Whole,
            then: None,
        }
    }
}

/// More than a reader takes.
const OVERSIZE: u64 = 80 * 1024 * 1024;
const MARK: &str = "redirected=once";

/// Spoils a reply. `earlier` is the body of the page that the same list answered with before.
pub fn apply(
    fault: Fault,
    context: &Context,
    state: &State,
    request: &Request,
    reply: Reply,
    earlier: impl FnOnce() -> Option<Vec<u8>>,
) -> Answer {
    let mut answer = Answer::from(reply);
    if let Some(delivery) = delivery(fault, &answer.reply) {
        answer.delivery = delivery;
        return answer;
    }
    if let Some(reply) = other_reply(fault, context, request) {
        answer.reply = reply;
        return answer;
    }
    if answer.reply.status != 200 {
        return answer;
    }
    match fault {
        Fault::RowMoves => {
            answer.then = listed(request)
                .and_then(|kind| first_row(kind, &answer.reply))
                .map(Aftermath::Touch)
        }
        Fault::ItemEdited => {
            answer.then = listed(request)
                .and_then(|kind| newest(state, kind))
                .map(Aftermath::Retitle)
        }
        Fault::RepeatedPage => {
            // The page before this one is sent in its place, with this one's headers.
            if let Some(body) = earlier() {
                answer.reply.body = body;
            }
        }
        _ => spoil(fault, context, request, &mut answer.reply),
    }
    gitlab::seal(&mut answer.reply);
    answer
}

fn delivery(fault: Fault, reply: &Reply) -> Option<Delivery> {
    Some(match fault {
        Fault::CloseBeforeHead => Delivery::CloseBefore,
        Fault::ResetBeforeHead => Delivery::ResetBefore,
        Fault::CloseInHead => Delivery::CutHead,
        Fault::CloseInBody => Delivery::CutBody,
        Fault::ResetInBody => Delivery::ResetBody,
        Fault::CloseInChunks => Delivery::CutChunks,
        Fault::LongLength => Delivery::Length(reply.body.len() + 100),
        Fault::ShortLength => Delivery::Length(reply.body.len() / 2),
        Fault::SlowBytes => Delivery::Slow,
        Fault::Stall => Delivery::Stall,
        Fault::StallInBody => Delivery::StallBody,
        Fault::SmallChunks => Delivery::Chunked,
        Fault::OversizeBody => Delivery::Blanks(OVERSIZE),
        Fault::EndlessBody => Delivery::Endless,
        Fault::GzipBomb => Delivery::Zeros(OVERSIZE),
        _ => return None,
    })
}

fn other_reply(fault: Fault, context: &Context, request: &Request) -> Option<Reply> {
    let here = || {
        format!(
            "http://{}{}",
            request.header("host").unwrap_or_default(),
            request.target
        )
    };
    let redirect = |to: &str| Reply::error(302, "message", "302 Found").with("Location", to);
    Some(match fault {
        Fault::TooManyRequests => {
            Reply::new(429, "text/plain", b"Retry later\n".to_vec()).with("Retry-After", &context.retry_after)
        }
        Fault::Unavailable => {
            Reply::error(503, "message", "503 Service Unavailable").with("Retry-After", &context.retry_after)
        }
        Fault::InternalError => Reply::error(500, "message", "500 Internal Server Error"),
        Fault::BadGateway => Reply::new(
            502,
            "text/html",
            b"<html><title>502 Bad Gateway</title></html>\n".to_vec(),
        ),
        Fault::Unauthorized => Reply::error(401, "message", "401 Unauthorized"),
        Fault::Forbidden => Reply::error(403, "message", "403 Forbidden"),
        Fault::MalformedJson => Reply::new(200, "application/json", b"[{\"id\": 1, ]}".to_vec()),
        Fault::HtmlPage => Reply::new(
            200,
            "text/html",
            b"<!doctype html><title>Sign in</title><p>Please sign in.\n".to_vec(),
        ),
        Fault::NotModifiedUnasked if request.header("if-none-match").is_none() => {
            Reply::new(304, "application/json", Vec::new())
        }
        // The place it leads to is not redirected again, even by a rule that always hits.
        Fault::RedirectOnce if !request.target.contains(MARK) => {
            let sign = if request.target.contains('?') { '&' } else { '?' };
            redirect(&format!("{}{sign}{MARK}", here()))
        }
        Fault::RedirectLoop => redirect(&here()),
        Fault::RedirectElsewhere => redirect(&format!("{}{}", context.elsewhere, request.target)),
        _ => return None,
    })
}

fn spoil(fault: Fault, context: &Context, request: &Request, reply: &mut Reply) {
    match fault {
        Fault::TruncatedJson => reply.body.truncate(reply.body.len() / 2),
        Fault::WrongContentType => reply.set("Content-Type", "text/plain".to_owned()),
        Fault::EmptyList if listed(request).is_some() => {
            reply.body = b"[]".to_vec();
            drop_paging(reply);
        }
        Fault::WrongTotals if reply.header("x-total").is_some() => {
            reply.set("X-Total", "1".to_owned());
            reply.set("X-Total-Pages", "1".to_owned());
        }
        Fault::NoTotals => {
            reply.remove("X-Total");
            reply.remove("X-Total-Pages");
        }
        Fault::NoPagingHeaders => drop_paging(reply),
        Fault::NoLink => reply.remove("Link"),
        Fault::NoValidator => reply.remove("ETag"),
        Fault::NextIsHere => {
            let here = format!(
                "<http://{}{}>; rel=\"next\"",
                request.header("host").unwrap_or_default(),
                request.target
            );
            reply.set("Link", here);
            reply.set("X-Next-Page", request.param("page").unwrap_or_else(|| "1".to_owned()));
        }
        Fault::ForeignNext => {
            reply.set(
                "Link",
                format!("<{}{}>; rel=\"next\"", context.elsewhere, request.target),
            );
        }
        _ => spoil_rows(fault, reply),
    }
}

fn spoil_rows(fault: Fault, reply: &mut Reply) {
    let Ok(Value::Array(mut rows)) = serde_json::from_slice(&reply.body) else {
        return;
    };
    let Some(first) = rows.first_mut() else { return };
    match (fault, first) {
        (Fault::DuplicateRow, first) => {
            let twin = first.clone();
            rows.push(twin);
        }
        (Fault::ItemWithoutId, Value::Object(first)) => {
            first.remove("id");
            first.remove("iid");
        }
        (Fault::ItemOfWrongType, Value::Object(first)) => {
            for field in ["iid", "id"] {
                if let Some(value) = first.get_mut(field) {
                    *value = if value.is_number() {
                        "a number".into()
                    } else {
                        Value::Array(Vec::new())
                    };
                    break;
                }
            }
        }
        (Fault::ItemNotAnObject, first) => *first = "a row".into(),
        _ => return,
    }
    reply.body = Value::Array(rows).to_string().into_bytes();
}

fn drop_paging(reply: &mut Reply) {
    for name in [
        "Link",
        "X-Page",
        "X-Per-Page",
        "X-Next-Page",
        "X-Prev-Page",
        "X-Total",
        "X-Total-Pages",
    ] {
        reply.remove(name);
    }
}

/// The kind of entity that a request lists.
pub(in crate::forge) fn listed(request: &Request) -> Option<EntityKind> {
    match request.path() {
        path if path.ends_with("/issues") => Some(EntityKind::Issue),
        path if path.ends_with("/merge_requests") => Some(EntityKind::MergeRequest),
        _ => None,
    }
}

fn first_row(kind: EntityKind, reply: &Reply) -> Option<Key> {
    let rows: Vec<Value> = serde_json::from_slice(&reply.body).ok()?;
    Some(Key {
        kind,
        iid: rows.first()?.get("iid")?.as_i64()?,
    })
}

fn newest(state: &State, kind: EntityKind) -> Option<Key> {
    state
        .list(kind)
        .sorted(Order::Updated)
        .last()
        .map(|slot| Key { kind, iid: slot.iid() })
}

/// The same request for the page before, if it asks for a page by number that has one.
pub(in crate::forge) fn page_before(request: &Request) -> Option<Request> {
    let number: u64 = request.param("page")?.parse().ok()?;
    let from = format!("page={number}");
    let earlier = format!("page={}", number.checked_sub(1).filter(|n| *n > 0)?);
    let (path, query) = request.target.split_once('?')?;
    let pairs: Vec<&str> = query
        .split('&')
        .map(|pair| if pair == from { earlier.as_str() } else { pair })
        .collect();
    Some(Request {
        target: format!("{path}?{}", pairs.join("&")),
        ..request.clone()
    })
}
