//! Pages: by number with `Link` and `X-*` headers, or by an opaque cursor.

use annals_core::{EntityKind, UnixMs};
use serde::Serialize;

use super::super::calendar::parse;
use super::super::project::ItemState;
use super::super::state::{Order, Slot, State, Viewer};
use super::message::{Reply, Request, encode};
use super::policy::{Keyset, Policy};

const DEFAULT_PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

/// A parameter the forge does not take.
type Refused = Box<Reply>;

/// Which rows of a list, in which order.
struct Ask {
    order: Order,
    descending: bool,
    state: Option<ItemState>,
    after: [Option<UnixMs>; 2],
    before: [Option<UnixMs>; 2],
    numbers: Vec<i64>,
    nobody: bool,
}

/// One page of a list of entities. `row` writes one of them.
pub(super) fn entities<T: Serialize>(
    state: &State,
    policy: &Policy,
    viewer: Viewer,
    request: &Request,
    kind: EntityKind,
    row: impl Fn(i64) -> Option<T>,
) -> Reply {
    match entity_page(state, policy, viewer, request, kind) {
        Ok(page) => {
            let rows: Vec<T> = page.slots.iter().filter_map(|slot| row(slot.iid())).collect();
            let mut reply = Reply::json(&rows);
            reply.headers.extend(page.headers);
            reply
        }
        Err(refused) => *refused,
    }
}

struct Page {
    slots: Vec<Slot>,
    headers: Vec<(String, String)>,
}

fn entity_page(
    state: &State,
    policy: &Policy,
    viewer: Viewer,
    request: &Request,
    kind: EntityKind,
) -> Result<Page, Refused> {
    let ask = Ask::read(request)?;
    let size = page_size(request)?;
    let sorted = state.list(kind).sorted(ask.order);
    // The common case, a bound below and nothing else, needs no look at the rows before it.
    let low = ask.after[ask.order as usize].map_or(0, |t| sorted.partition_point(|slot| slot.at(ask.order) < t));
    let bounded = &sorted[low..];
    let fits = |slot: &&Slot| slot.seen_by(viewer) && ask.takes(slot);
    if request.param("pagination").as_deref() == Some("keyset") {
        match policy.keyset {
            Keyset::Supported => return keyset(request, &ask, size, bounded, fits),
            Keyset::Ignored => {}
            Keyset::Refused => {
                let text = "Keyset pagination is not yet available for this type of request";
                return Err(Box::new(Reply::error(405, "error", text)));
            }
        }
    }
    let all_fit = viewer == Viewer::Member && ask.takes_all_after_bound();
    let total = if all_fit {
        bounded.len()
    } else {
        bounded.iter().filter(fits).count()
    };
    let number = page_number(request)?;
    let skipped = (number - 1).saturating_mul(size);
    if skipped.saturating_add(size) > policy.offsets_up_to.max(size) {
        let text = format!(
            "Offset pagination has a maximum allowed offset of {} for requests that return objects of type {}. \
             Remaining records can be retrieved using keyset pagination.",
            policy.offsets_up_to,
            if kind == EntityKind::Issue {
                "Issue"
            } else {
                "MergeRequest"
            },
        );
        return Err(Box::new(Reply::error(405, "error", &text)));
    }
    let slots = match (ask.descending, all_fit) {
        (false, true) => bounded.iter().skip(skipped).take(size).copied().collect(),
        (false, false) => bounded.iter().filter(fits).skip(skipped).take(size).copied().collect(),
        (true, _) => bounded
            .iter()
            .rev()
            .filter(fits)
            .skip(skipped)
            .take(size)
            .copied()
            .collect(),
    };
    Ok(Page {
        slots,
        headers: offset_headers(policy, request, number, size, total),
    })
}

fn keyset<'a>(
    request: &Request,
    ask: &Ask,
    size: usize,
    rows: &'a [Slot],
    fits: impl Fn(&&'a Slot) -> bool,
) -> Result<Page, Refused> {
    let after = match request.param("cursor") {
        Some(text) => Some(read_cursor(&text).ok_or_else(|| refuse("cursor is invalid"))?),
        None => None,
    };
    let key = |slot: &Slot| (slot.at(ask.order).0, slot.iid());
    let mut slots: Vec<Slot> = if ask.descending {
        let end = after.map_or(rows.len(), |mark| rows.partition_point(|slot| key(slot) < mark));
        rows[..end].iter().rev().filter(fits).take(size + 1).copied().collect()
    } else {
        let begin = after.map_or(0, |mark| rows.partition_point(|slot| key(slot) <= mark));
        rows[begin..].iter().filter(fits).take(size + 1).copied().collect()
    };
    let more = slots.len() > size;
    slots.truncate(size);
    let mut headers = Vec::new();
    if let (true, Some(last)) = (more, slots.last()) {
        let (at, iid) = key(last);
        let next = link(
            request,
            &[("per_page", size.to_string()), ("cursor", write_cursor(at, iid))],
            &["page"],
        );
        headers.push(("Link".to_owned(), format!("<{next}>; rel=\"next\"")));
    }
    Ok(Page { slots, headers })
}

/// One page of a list that is at hand whole.
pub(super) fn whole<T: Serialize>(policy: &Policy, request: &Request, rows: &[T]) -> Reply {
    let (number, size) = match (page_number(request), page_size(request)) {
        (Ok(number), Ok(size)) => (number, size),
        (Err(refused), _) | (_, Err(refused)) => return *refused,
    };
    let first = (number - 1).saturating_mul(size).min(rows.len());
    let last = first.saturating_add(size).min(rows.len());
    let mut reply = Reply::json(&&rows[first..last]);
    reply
        .headers
        .extend(offset_headers(policy, request, number, size, rows.len()));
    reply
}

fn offset_headers(
    policy: &Policy,
    request: &Request,
    number: usize,
    size: usize,
    total: usize,
) -> Vec<(String, String)> {
    let pages = total.div_ceil(size).max(1);
    let counted = total <= policy.totals_up_to;
    let page = |n: usize| link(request, &[("page", n.to_string()), ("per_page", size.to_string())], &[]);
    let mut links = Vec::new();
    let mut headers = vec![
        ("X-Page".to_owned(), number.to_string()),
        ("X-Per-Page".to_owned(), size.to_string()),
        (
            "X-Next-Page".to_owned(),
            if number < pages {
                (number + 1).to_string()
            } else {
                String::new()
            },
        ),
        (
            "X-Prev-Page".to_owned(),
            if number > 1 {
                (number - 1).to_string()
            } else {
                String::new()
            },
        ),
    ];
    if number > 1 {
        links.push(format!("<{}>; rel=\"prev\"", page(number - 1)));
    }
    if number < pages {
        links.push(format!("<{}>; rel=\"next\"", page(number + 1)));
    }
    links.push(format!("<{}>; rel=\"first\"", page(1)));
    if counted {
        links.push(format!("<{}>; rel=\"last\"", page(pages)));
        headers.push(("X-Total".to_owned(), total.to_string()));
        headers.push(("X-Total-Pages".to_owned(), pages.to_string()));
    }
    headers.push(("Link".to_owned(), links.join(", ")));
    headers
}

/// The request's own address with some parameters in place of what they were.
fn link(request: &Request, put: &[(&str, String)], drop: &[&str]) -> String {
    let kept = request
        .query()
        .into_iter()
        .filter(|(name, _)| !drop.contains(&name.as_str()) && put.iter().all(|(other, _)| other != name));
    let pairs: Vec<String> = kept
        .chain(put.iter().map(|(name, value)| ((*name).to_owned(), value.clone())))
        .map(|(name, value)| format!("{}={}", encode(&name), encode(&value)))
        .collect();
    format!(
        "http://{}{}?{}",
        request.header("host").unwrap_or("forge.example"),
        request.path(),
        pairs.join("&")
    )
}

impl Ask {
    fn read(request: &Request) -> Result<Self, Refused> {
        let order = match request.param("order_by").as_deref() {
            None | Some("created_at") => Order::Created,
            Some("updated_at") => Order::Updated,
            Some(_) => return Err(refuse("order_by does not have a valid value")),
        };
        let descending = match request.param("sort").as_deref() {
            None | Some("desc") => true,
            Some("asc") => false,
            Some(_) => return Err(refuse("sort does not have a valid value")),
        };
        let state = match request.param("state").as_deref() {
            None | Some("all") => None,
            Some("opened") => Some(ItemState::Opened),
            Some("closed") => Some(ItemState::Closed),
            Some("merged") => Some(ItemState::Merged),
            Some("locked") => Some(ItemState::Locked),
            Some(_) => return Err(refuse("state does not have a valid value")),
        };
        let nobody = match request.param("scope").as_deref() {
            None | Some("all") => false,
            // The reader of the simulator wrote nothing and works on nothing.
            Some("created_by_me" | "assigned_to_me") => true,
            Some(_) => return Err(refuse("scope does not have a valid value")),
        };
        let time = |name: &str| match request.param(name).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => parse(&text)
                .map(Some)
                .ok_or_else(|| refuse(&format!("{name} is invalid"))),
        };
        let numbers = request.query().into_iter().filter(|(name, _)| name == "iids[]");
        Ok(Self {
            order,
            descending,
            state,
            after: [time("created_after")?, time("updated_after")?],
            before: [time("created_before")?, time("updated_before")?],
            numbers: numbers.filter_map(|(_, value)| value.parse().ok()).collect(),
            nobody,
        })
    }

    /// Whether every row at or after the lower bound of the sort is wanted.
    fn takes_all_after_bound(&self) -> bool {
        let other = if self.order == Order::Created {
            Order::Updated
        } else {
            Order::Created
        };
        self.state.is_none()
            && self.after[other as usize].is_none()
            && self.before == [None, None]
            && self.numbers.is_empty()
            && !self.nobody
    }

    fn takes(&self, slot: &Slot) -> bool {
        let in_time = [Order::Created, Order::Updated].into_iter().all(|order| {
            let at = slot.at(order);
            self.after[order as usize].is_none_or(|t| at >= t) && self.before[order as usize].is_none_or(|t| at <= t)
        });
        in_time
            && !self.nobody
            && self.state.is_none_or(|state| state == slot.state())
            && (self.numbers.is_empty() || self.numbers.contains(&slot.iid()))
    }
}

fn page_number(request: &Request) -> Result<usize, Refused> {
    match request.param("page").as_deref() {
        None | Some("") => Ok(1),
        Some(text) => match text.parse() {
            Ok(0) => Err(refuse("page does not have a valid value")),
            Ok(number) => Ok(number),
            Err(_) => Err(refuse("page is invalid")),
        },
    }
}

fn page_size(request: &Request) -> Result<usize, Refused> {
    match request.param("per_page").as_deref() {
        None | Some("") => Ok(DEFAULT_PAGE),
        Some(text) => match text.parse::<usize>() {
            Ok(0) => Err(refuse("per_page does not have a valid value")),
            Ok(size) => Ok(size.min(LARGEST_PAGE)),
            Err(_) => Err(refuse("per_page is invalid")),
        },
    }
}

fn refuse(text: &str) -> Refused {
    Box::new(Reply::error(400, "error", text))
}

// Opaque on purpose: a client that takes it apart is wrong.
fn write_cursor(at: i64, iid: i64) -> String {
    format!("{at:x}.{iid:x}")
        .bytes()
        .map(|byte| format!("{:02x}", byte ^ 0x5a))
        .collect()
}

fn read_cursor(text: &str) -> Option<(i64, i64)> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| {
            text.get(at..at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .map(|byte| byte ^ 0x5a)
        })
        .collect();
    let plain = String::from_utf8(bytes?).ok()?;
    let (at, iid) = plain.split_once('.')?;
    Some((i64::from_str_radix(at, 16).ok()?, i64::from_str_radix(iid, 16).ok()?))
}
