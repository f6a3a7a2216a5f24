//! Our own HTTP/1.1 loop: read a head, call the service, write the answer, again. It runs on any stream, also in the lab.

use std::future::poll_fn;
use std::task::Poll;

use axum::body::Body;

use super::exchange::{Answer, Exchange};
use super::farewell::{End, part};
use super::framing::Encoder;
use super::head::{Persistence, RequestHead};
use super::link::{During, Link, Next, WRITE_AHEAD};
use super::response::{Asked, Prepared, prepare, write_head};
use super::shared::Connection;
use super::upgrade;

/// Serve a connection to its end.
pub(crate) async fn serve(connection: Connection) {
    let (mut link, seat) = Link::new(connection);
    let end = run(&mut link).await;
    part(link, seat, end).await;
}

async fn run(link: &mut Link) -> End {
    loop {
        let next = poll_fn(|context| {
            link.connected.leftovers.tend(context);
            link.poll_next(context)
        });
        match next.await {
            Next::End => return End::Close,
            Next::Refused(refusal) => {
                link.connected.shared.counters.refused.add();
                let date = link.date();
                let answer = refusal.response().map(Body::from);
                let prepared = prepare(answer, Asked::NOTHING, Persistence::Close, date);
                return write(link, prepared).await.unwrap_or(End::Close);
            }
            Next::Request(head) => {
                if let Some(end) = exchange(link, *head).await {
                    return end;
                }
            }
        }
    }
}

/// One request and its answer; how the connection ends, if it does.
async fn exchange(link: &mut Link, head: RequestHead) -> Option<End> {
    let (asked, control) = link.begin(&head);
    let mut exchange = Exchange::start(&link.connected, head, control);
    let answer = poll_fn(|context| {
        link.connected.leftovers.tend(context);
        if let Poll::Ready(answer) = exchange.poll(context) {
            return Poll::Ready(Ok(answer));
        }
        link.poll_during(context).map(|during| match during {
            During::HandlerTime => Ok(exchange.expire()),
            During::Gone => Err(End::Cut),
            During::Stalled => Err(End::Reset),
        })
    });
    let Answer {
        mut response,
        persistence,
        region,
    } = match answer.await {
        Ok(answer) => answer,
        Err(end) => return Some(end),
    };
    if let Some(run) = upgrade::take(&mut response) {
        link.answer_begins();
        let date = link.date();
        write_head(&upgrade::head(response, date), link.out.tail());
        return Some(upgrade::speak(link, run, region).await);
    }
    let wished = link.answer_begins().and(persistence).and(asked.persistence);
    let date = link.date();
    let prepared = prepare(response, asked, wished, date);
    let kept = prepared.persistence;
    let ended = write(link, prepared).await;
    if ended.is_some() {
        return ended;
    }
    if let Some(region) = region {
        region.finish();
    }
    link.answer_ended();
    if kept == Persistence::Close {
        return Some(End::Close);
    }
    let clean = poll_fn(|context| {
        link.connected.leftovers.tend(context);
        link.poll_rest(context)
    });
    (!clean.await).then_some(End::Close)
}

/// Queue a whole answer as fast as the client takes it; how the connection ends, if the answer could not be completed.
async fn write(link: &mut Link, prepared: Prepared) -> Option<End> {
    let Prepared {
        parts,
        mut body,
        mut encoder,
        ..
    } = prepared;
    write_head(&parts, link.out.tail());
    // Only the end of the connection ends such a body: an orderly one would make it look whole.
    let cut = if encoder == Encoder::UntilClose {
        End::Reset
    } else {
        End::Cut
    };
    poll_fn(|context| {
        link.connected.leftovers.tend(context);
        loop {
            let mut waits = false;
            while !waits && link.out.len() < WRITE_AHEAD {
                match body.poll_chunk(context) {
                    Poll::Ready(Some(Ok(data))) => {
                        if encoder.before_data(data.len(), link.out.tail()).is_err() {
                            return Poll::Ready(Some(cut));
                        }
                        link.out.push(data);
                        encoder.after_data(link.out.tail());
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(cut)),
                    Poll::Ready(None) => return Poll::Ready(encoder.finish(link.out.tail()).err().map(|_| cut)),
                    Poll::Pending => waits = true,
                }
            }
            match link.poll_during(context) {
                Poll::Ready(During::HandlerTime) => {}
                Poll::Ready(During::Gone) => return Poll::Ready(Some(cut)),
                Poll::Ready(During::Stalled) => return Poll::Ready(Some(End::Reset)),
                Poll::Pending if !waits && link.out.len() < WRITE_AHEAD => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
