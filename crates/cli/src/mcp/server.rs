//! Answers requests; each call of a tool runs in a region of its own, and is cancelled with it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use annals_core::{CancelKind, CancelReason, Code, Coded, Outcome, Report};
use annals_net_adapter::{Cx, RegionSpec, TaskHandle};
use serde_json::{Map, Value, json};

use super::protocol::{self, Era, Fault, Message, Refusal, Request, STATELESS, WITH_HANDSHAKE};
use crate::error::Error;

/// A result is not longer than this, as a line.
pub const MAX_BYTES: usize = 64 * 1024;

/// How long a client may keep what does not change while this program runs.
const TTL_MS: u64 = 3_600_000;

const INSTRUCTIONS: &str = "Annals is a local, read-only mirror of issues, merge requests and discussions. Search first, then \
    show one by its `ref`. Lists end with `meta.next_offset` where there is more; `fields` keeps answers short. An answer with \
    `meta.cursor` goes on: call again with it, and texts and lists go on where they were cut.";

/// What can be called.
pub trait Offer: Clone + Send + Sync + 'static {
    /// The tools, in a fixed order.
    fn list(&self) -> Vec<Value>;

    /// Whether there is a tool of this name.
    fn has(&self, name: &str) -> bool;

    /// Calls one. `length` is how long the line is with a content; it must be at most `max_bytes`.
    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        name: &'a str,
        arguments: &'a Map<String, Value>,
        length: &'a (dyn Fn(&Value) -> usize + Send + Sync),
        max_bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>>;
}

/// Where answers go, a line each.
pub trait Hear: Send + Sync + 'static {
    /// Waits until an answer is out, or nobody hears it any more.
    fn hear<'a>(&'a self, cx: &'a Cx, answer: Value) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// Who hears the answers.
pub type Say = Arc<dyn Hear>;

/// So many calls may be under way: each opens the mirror for itself, and a client that does not read its answers asks no
/// further.
const MOST_CALLS: usize = 32;

/// A connection.
pub struct Server<O> {
    offer: O,
    say: Say,
    /// The calls under way, by the text of their ids.
    calls: BTreeMap<String, TaskHandle<(), Error>>,
}

impl<O: Offer> Server<O> {
    pub const fn new(offer: O, say: Say) -> Self {
        Self {
            offer,
            say,
            calls: BTreeMap::new(),
        }
    }

    /// Takes a line, and waits until it is answered, unless it is a call.
    ///
    /// # Cancel safety
    /// The answer may be lost; a call goes on.
    pub async fn line(&mut self, cx: &Cx, line: &[u8]) {
        self.calls.retain(|_, call| !call.is_finished());
        let answer = match protocol::read(line) {
            Ok(Message::Request(request)) => self.request(cx, &request),
            Ok(Message::Notification { method, params }) => {
                self.notified(cx, &method, &params);
                None
            }
            Ok(Message::Answer) => None,
            Err((id, refusal)) => Some(refusal.answer(&id)),
        };
        if let Some(answer) = answer {
            self.say.hear(cx, answer).await;
        }
    }

    /// Says that a line was too long to be read.
    ///
    /// # Cancel safety
    /// It may be lost.
    pub async fn too_long(&mut self, cx: &Cx) {
        let refusal = Refusal::new(Fault::Request, "this line is too long");
        self.say.hear(cx, refusal.answer(&Value::Null)).await;
    }

    /// Waits until every call has been answered.
    ///
    /// # Errors
    /// The cancellation of `cx`.
    pub async fn drain(&mut self, cx: &Cx) -> Result<(), Error> {
        while let Some((_, mut call)) = self.calls.pop_first() {
            drop(call.join(cx).await?);
        }
        Ok(())
    }

    /// The answer; a call answers for itself.
    fn request(&mut self, cx: &Cx, request: &Request) -> Option<Value> {
        let done = request.era().and_then(|era| self.answer(cx, era, request));
        done.unwrap_or_else(|refusal| Some(refusal.answer(&request.id)))
    }

    fn answer(&mut self, cx: &Cx, era: Era, request: &Request) -> Result<Option<Value>, Refusal> {
        let result = match (request.method.as_str(), era) {
            ("initialize", Era::Handshake) => initialize(&request.params)?,
            ("ping", Era::Handshake) => json!({}),
            ("server/discover", Era::Stateless) => json!({
                "supportedVersions": [STATELESS],
                "capabilities": {"tools": {}},
                "serverInfo": protocol::server(),
                "instructions": INSTRUCTIONS,
                "ttlMs": TTL_MS,
                "cacheScope": "public",
            }),
            ("tools/list", _) => self.list(era, &request.params)?,
            ("tools/call", _) => return self.call(cx, era, request).map(|()| None),
            _ => {
                let shown: String = request.method.chars().take(60).collect();
                return Err(Refusal::new(
                    Fault::Method,
                    format!("there is no method `{shown}` here"),
                ));
            }
        };
        Ok(Some(request.answer(era, result)))
    }

    fn list(&self, era: Era, params: &Map<String, Value>) -> Result<Value, Refusal> {
        if params.get("cursor").is_some_and(|cursor| !cursor.is_null()) {
            return Err(Refusal::new(Fault::Params, "there is only one page, so no `cursor`"));
        }
        let tools = self.offer.list();
        Ok(match era {
            Era::Handshake => json!({"tools": tools}),
            Era::Stateless => json!({"tools": tools, "ttlMs": TTL_MS, "cacheScope": "public"}),
        })
    }

    fn call(&mut self, cx: &Cx, era: Era, request: &Request) -> Result<(), Refusal> {
        let name = request.params.get("name").and_then(Value::as_str);
        let name = name
            .ok_or_else(|| Refusal::new(Fault::Params, "`name` says which tool"))?
            .to_owned();
        if !self.offer.has(&name) {
            let shown: String = name.chars().take(60).collect();
            return Err(Refusal::new(Fault::Params, format!("there is no tool `{shown}`")));
        }
        let arguments = match request.params.get("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(_) => return Err(Refusal::new(Fault::Params, "`arguments` must be an object")),
        };
        let key = request.id.to_string();
        if self.calls.contains_key(&key) {
            return Err(Refusal::new(Fault::Request, "a request with this id is under way"));
        }
        if self.calls.len() >= MOST_CALLS {
            let message = format!("{MOST_CALLS} calls are under way: wait for an answer, then call again");
            return Err(Refusal::new(Fault::Internal, message));
        }
        let (offer, say, request) = (self.offer.clone(), self.say.clone(), request.clone());
        let (say_of_panic, panicked) = (self.say.clone(), request.clone());
        let handle = cx.spawn("mcp call", move |cx| async move {
            let ended = cx
                .region(RegionSpec::collect_all("mcp call"), |cx| async move {
                    let length = |content: &Value| line_of(&request.answer(era, content_of(content, IsError::No)));
                    let fits = |result: &Value| line_of(&request.answer(era, result.clone())) <= MAX_BYTES;
                    let called = offer.call(&cx, &name, &arguments, &length, MAX_BYTES).await;
                    let result = match called {
                        Ok(content) => content_of(&content, IsError::No),
                        // Nobody waits for it any more.
                        Err(Error::Cancelled { reason, .. }) => return Err(annals_core::Cancelled(reason).into()),
                        Err(error) => failed(&error.report(), fits),
                    };
                    say.hear(&cx, request.answer(era, result)).await;
                    Ok::<(), Error>(())
                })
                .await;
            match ended.body {
                Outcome::Ok(()) => Ok(()),
                Outcome::Err(error) => Err(error),
                Outcome::Cancelled(reason) => Err(annals_core::Cancelled(reason).into()),
                Outcome::Panicked(message) => {
                    // The client waits, and nobody else answers.
                    let answer = panicked.answer(era, failed(&message.report(), |_| true));
                    say_of_panic.hear(&cx, answer).await;
                    Err(message.report().into())
                }
            }
        });
        let handle = handle.map_err(|error| Refusal::new(Fault::Internal, error.to_string()))?;
        self.calls.insert(key, handle);
        Ok(())
    }

    fn notified(&mut self, cx: &Cx, method: &str, params: &Map<String, Value>) {
        let id = params.get("requestId").filter(|_| method == "notifications/cancelled");
        let Some(call) = id.and_then(|id| self.calls.get(&id.to_string())) else {
            // What is over, or never was, needs no end.
            return;
        };
        call.cancel(CancelReason::new(CancelKind::ClientGone, "mcp call", cx.now()));
    }
}

fn initialize(params: &Map<String, Value>) -> Result<Value, Refusal> {
    let asked = params.get("protocolVersion").and_then(Value::as_str);
    let asked = asked.ok_or_else(|| Refusal::new(Fault::Params, "`protocolVersion` is missing"))?;
    // Another one is answered with the newest there is; the client decides.
    let newest = WITH_HANDSHAKE.first().copied().unwrap_or_default();
    let version = WITH_HANDSHAKE
        .iter()
        .copied()
        .find(|known| *known == asked)
        .unwrap_or(newest);
    Ok(json!({
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": false}},
        "serverInfo": protocol::server(),
        "instructions": INSTRUCTIONS,
    }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsError {
    Yes,
    No,
}

/// A result: for programs as it is, for others the same as text.
fn content_of(content: &Value, is_error: IsError) -> Value {
    let text = json!([{"type": "text", "text": content.to_string()}]);
    match is_error {
        IsError::No => json!({"content": text, "structuredContent": content, "isError": false}),
        // The schema of results is not that of errors.
        IsError::Yes => json!({"content": text, "isError": true}),
    }
}

/// A failure, with as much of what it says as fits: what has no bound are its lists and what is put together from them.
fn failed(report: &Report, fits: impl Fn(&Value) -> bool) -> Value {
    const MOST_ACTIONS: usize = 3;
    // Of each text; JSON in JSON may make seven bytes of one.
    const MOST_BYTES: usize = 1000;
    let mut report = report.clone();
    if [Code::Usage, Code::QueryInvalid].contains(&report.code) {
        // Whoever has tools only cannot ask for the help of a command, nor type one.
        report.actions.clear();
    }
    let told = |report: &Report| content_of(&json!({"error": report.robot_error(None)}), IsError::Yes);
    let whole = told(&report);
    if fits(&whole) {
        return whole;
    }
    report.details = Value::Null;
    report.actions.retain(|action| action.len() <= MOST_BYTES);
    report.actions.truncate(MOST_ACTIONS);
    for text in std::iter::once(&mut report.message).chain(&mut report.suggestion) {
        if text.len() > MOST_BYTES {
            text.truncate(text.floor_char_boundary(MOST_BYTES));
            text.push('…');
        }
    }
    told(&report)
}

/// How long an answer is as a line.
fn line_of(answer: &Value) -> usize {
    answer.to_string().len() + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use annals_core::Cancelled;
    use annals_net_adapter::channel::{Sender, mpsc};
    use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig};

    use super::*;

    /// A tool that never ends, with a task beneath it that cleans up.
    #[derive(Clone)]
    struct Endless {
        began: Sender<()>,
        cleaned: Arc<AtomicBool>,
    }

    impl Offer for Endless {
        fn list(&self) -> Vec<Value> {
            Vec::new()
        }

        fn has(&self, _: &str) -> bool {
            true
        }

        fn call<'a>(
            &'a self,
            cx: &'a Cx,
            _: &'a str,
            _: &'a Map<String, Value>,
            _: &'a (dyn Fn(&Value) -> usize + Send + Sync),
            _: usize,
        ) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>> {
            Box::pin(async move {
                let (began, cleaned) = (self.began.clone(), self.cleaned.clone());
                let beneath = cx.spawn("beneath", move |cx| async move {
                    drop(began.send(&cx, ()).await);
                    let reason = cx.cancelled().await;
                    cleaned.store(true, Ordering::SeqCst);
                    Err::<(), _>(Cancelled(reason))
                });
                drop(beneath);
                Err(Cancelled(cx.cancelled().await).into())
            })
        }
    }

    struct Said(Arc<Mutex<Vec<Value>>>);

    impl Hear for Said {
        fn hear<'a>(&'a self, _: &'a Cx, answer: Value) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
            self.0.lock().unwrap().push(answer);
            Box::pin(async {})
        }
    }

    #[test]
    fn calls_under_way_are_bounded() {
        for kind in BackendKind::compiled() {
            let runtime = Runtime::build(*kind, &RuntimeConfig::default()).unwrap();
            let said: Arc<Mutex<Vec<Value>>> = Arc::default();
            let hears = said.clone();
            let ended = runtime.run_main(|cx| async move {
                let (began, _begins) = mpsc(NonZeroUsize::MIN);
                let offer = Endless {
                    began,
                    cleaned: Arc::default(),
                };
                let mut server = Server::new(offer, Arc::new(Said(hears)));
                for id in 0..=MOST_CALLS {
                    let call =
                        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "endless"}});
                    server.line(&cx, call.to_string().as_bytes()).await;
                }
                for id in 0..=MOST_CALLS {
                    let end =
                        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
                    server.line(&cx, end.to_string().as_bytes()).await;
                }
                server.drain(&cx).await
            });
            assert!(matches!(ended.outcome, Outcome::Ok(())), "{:?}", ended.outcome);
            let said = said.lock().unwrap();
            assert_eq!(said.len(), 1, "{said:?}");
            assert_eq!(
                (&said[0]["id"], &said[0]["error"]["code"]),
                (&MOST_CALLS.into(), &(-32603).into())
            );
        }
    }

    /// A tool with a defect.
    #[derive(Clone)]
    struct Broken;

    fn defect() -> Result<Value, Error> {
        panic!("a defect")
    }

    impl Offer for Broken {
        fn list(&self) -> Vec<Value> {
            Vec::new()
        }

        fn has(&self, _: &str) -> bool {
            true
        }

        fn call<'a>(
            &'a self,
            _: &'a Cx,
            _: &'a str,
            _: &'a Map<String, Value>,
            _: &'a (dyn Fn(&Value) -> usize + Send + Sync),
            _: usize,
        ) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>> {
            Box::pin(async { defect() })
        }
    }

    #[test]
    fn a_call_that_panics_is_answered() {
        for kind in BackendKind::compiled() {
            let runtime = Runtime::build(*kind, &RuntimeConfig::default()).unwrap();
            let said: Arc<Mutex<Vec<Value>>> = Arc::default();
            let hears = said.clone();
            let _ended = runtime.run_main(|cx| async move {
                let mut server = Server::new(Broken, Arc::new(Said(hears)));
                let line = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"broken"}}"#;
                server.line(&cx, line).await;
                server.drain(&cx).await
            });
            let said = said.lock().unwrap();
            assert_eq!(said.len(), 1, "{said:?}");
            assert_eq!(
                (&said[0]["id"], &said[0]["result"]["isError"]),
                (&7.into(), &true.into())
            );
        }
    }

    #[test]
    fn a_failure_is_not_longer_than_an_answer_may_be() {
        let many: Vec<String> = (0..2000).map(|at| format!("annals sync group/project-{at}")).collect();
        let mut report = Report::new(Code::CheckFailed, many.join("; \u{1}"))
            .with_detail("health", many.clone())
            .with_suggestion(many.join("€"));
        report.actions = many;
        let fits = |result: &Value| line_of(result) <= MAX_BYTES;
        let told = failed(&report, fits);
        assert!(fits(&told), "{}", line_of(&told));
        let text = told["content"][0]["text"].as_str().unwrap();
        let error: Value = serde_json::from_str(text).unwrap();
        assert_eq!(error["error"]["code"], "check_failed");
        assert_eq!(error["error"]["actions"].as_array().unwrap().len(), 3);
        // What is short enough stays whole.
        let short = Report::new(Code::Ambiguous, "which?").with_detail("candidates", ["a", "b"]);
        let text = failed(&short, fits)["content"][0]["text"].to_string();
        assert!(text.contains("candidates"), "{text}");
    }

    #[test]
    fn mcp_cancel_closes_region() {
        for kind in BackendKind::compiled() {
            let runtime = Runtime::build(*kind, &RuntimeConfig::default()).unwrap();
            let ended = runtime.run_main(|cx| async move {
                let (began, mut begins) = mpsc(NonZeroUsize::MIN);
                let cleaned = Arc::new(AtomicBool::new(false));
                let said: Arc<Mutex<Vec<Value>>> = Arc::default();
                let hears = said.clone();
                let offer = Endless {
                    began,
                    cleaned: cleaned.clone(),
                };
                let mut server = Server::new(offer, Arc::new(Said(hears)));
                server
                    .line(
                        &cx,
                        br#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"endless"}}"#,
                    )
                    .await;
                begins.recv(&cx).await.unwrap();
                // The same id again is refused, another's end is none of ours.
                server
                    .line(
                        &cx,
                        br#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"endless"}}"#,
                    )
                    .await;
                server
                    .line(
                        &cx,
                        br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"b"}}"#,
                    )
                    .await;
                assert!(!cleaned.load(Ordering::SeqCst));
                server
                    .line(
                        &cx,
                        br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#,
                    )
                    .await;
                server.drain(&cx).await.unwrap();
                assert!(
                    cleaned.load(Ordering::SeqCst),
                    "what lay beneath the call has ended with it"
                );
                let said = said.lock().unwrap();
                assert_eq!(said.len(), 1, "a cancelled call is not answered: {said:?}");
                assert_eq!(said[0]["error"]["code"], -32600);
                Ok::<(), Error>(())
            });
            assert!(matches!(ended.outcome, Outcome::Ok(())), "{:?}", ended.outcome);
            assert!(ended.drain.quiescent, "nothing is left");
        }
    }
}
