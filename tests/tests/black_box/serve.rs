//! The page and the API over a mirror, from its first request to its drain.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use annals_testkit::forge::Key;
use annals_testkit::forge::project::Secrecy;
use annals_tests::http::{Answer, Connection, get};
use annals_tests::running::wait_until;
use annals_tests::{Desk, Ended, Forge, Running, skip};
use rustix::process::Signal;
use serde_json::Value;

const ISSUES: u32 = 40;
const MRS: u32 = 20;
const PROJECT: &str = "annals-sample%2Fgenerated";

/// A mirror and a server over it.
struct Site {
    desk: Desk,
    server: Running,
    origin: String,
}

impl Site {
    fn open() -> Self {
        Self::configured("")
    }

    /// With more in its configuration.
    fn configured(more: &str) -> Self {
        let forge = Forge::generated(ISSUES, MRS, &[]);
        let desk = Desk::new();
        desk.configure(&format!("{}\n{more}", forge.config()));
        let result = desk.run(&["sync", &forge.project_url()]).data();
        assert_eq!(result["status"], "done", "{result}");
        let mut server = desk.start(&["serve", "--bind", "127.0.0.1:0"]);
        let envelope: Value = serde_json::from_str(&server.line()).expect("an envelope");
        assert_eq!(envelope["ok"], true, "{envelope}");
        let address = envelope["data"]["address"].as_str().unwrap();
        let origin = address.trim_end_matches('/').to_owned();
        Self { desk, server, origin }
    }

    fn get(&self, target: &str) -> Answer {
        get(&self.origin, target)
    }

    fn json(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.json()
    }

    fn problem(&self, target: &str, status: u16, code: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{target}"
        );
        let problem = answer.json();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&code.into(), &status.into()),
            "{target}: {problem}"
        );
        problem
    }

    fn end(self) -> Ended {
        self.server.signal(Signal::TERM);
        self.server.wait()
    }
}

/// The numbers of the issues that somebody without a name may see.
fn public_issues() -> BTreeSet<i64> {
    let state = Forge::state(ISSUES, MRS);
    let issues = state.keys().filter(|key| *key == Key::issue(key.iid));
    let public = issues.filter(|key| state.head(*key).is_some_and(|head| head.secrecy == Secrecy::Public));
    public.map(|key| key.iid).collect()
}

#[test]
fn it_says_that_it_lives_and_is_ready() {
    let site = Site::open();
    assert_eq!(site.json("/health/live")["status"], "live");
    for target in ["/health/ready", "/health"] {
        assert_eq!(site.json(target)["status"], "ready");
    }
    let ended = site.end();
    assert_eq!(ended.code(), 0, "{ended}");
}

#[test]
fn a_walk_by_cursor_meets_each_issue_once() {
    let site = Site::open();
    let projects = site.json("/v1/projects");
    assert_eq!(
        projects["data"]["projects"][0]["path"], "annals-sample/generated",
        "{projects}"
    );

    let public = public_issues();
    assert!(public.len() < ISSUES as usize, "some are confidential");
    let list = format!("/v1/projects/{PROJECT}/issues");
    let mut walked = Vec::new();
    let mut cursors = Vec::new();
    let mut target = format!("{list}?limit=9");
    loop {
        let page = site.json(&target);
        assert_eq!(page["page"]["total"], public.len(), "{page}");
        let items = page["data"]["items"].as_array().unwrap();
        assert!(items.len() <= 9);
        walked.extend(items.iter().map(|item| item["iid"].as_i64().unwrap()));
        let Some(next) = page["page"]["next"].as_str() else {
            break;
        };
        cursors.push(next.to_owned());
        target = format!("{list}?limit=9&cursor={next}");
    }
    assert_eq!(walked.len(), public.len(), "each once: {walked:?}");
    assert_eq!(walked.iter().copied().collect::<BTreeSet<_>>(), public);

    let cursor = &cursors[0];
    let flipped: String = cursor.chars().rev().collect();
    for target in [
        format!("{list}?limit=9&cursor={flipped}"),
        format!("{list}?limit=9&cursor=x"),
        format!("{list}?limit=9&state=open&cursor={cursor}"),
        format!("/v1/projects/{PROJECT}/merge-requests?limit=9&cursor={cursor}"),
    ] {
        site.problem(&target, 400, "cursor_invalid");
    }
    let mrs = site.json(&format!("/v1/projects/{PROJECT}/merge-requests?limit=200"));
    assert_eq!(mrs["data"]["items"].as_array().unwrap().len(), MRS as usize);
}

#[test]
fn what_is_searched_is_found_and_what_is_wrong_is_named() {
    let site = Site::open();
    let state = Forge::state(ISSUES, MRS);
    let iid = *public_issues().first().unwrap();
    let title = state.head(Key::issue(iid)).unwrap().title.clone();
    let query = format!("/v1/search?q={}&limit=50", encoded(&format!("\"{title}\"")));
    let found = site.json(&query);
    let hits = found["data"]["hits"].as_array().unwrap();
    let reference = format!("annals-sample/generated#{iid}");
    assert!(
        hits.iter().any(|hit| hit["ref"] == reference.as_str()),
        "{title:?}: {found}"
    );
    assert_eq!(found["page"]["total"].as_u64().unwrap() as usize, hits.len(), "{found}");

    site.problem("/v1/search?q=state:opne", 400, "query_invalid");
    site.problem("/v1/search?limit=0", 400, "usage");
    site.problem("/v1/projects/nobody%2Fnothing/issues", 404, "not_found");
    site.problem(&format!("/v1/projects/{PROJECT}/issues/999999"), 404, "not_found");
    site.problem("/v1/nothing", 404, "not_found");
    let refused = Connection::open(&site.origin).ask("POST", "/v1/projects", &[("Content-Length", "0")]);
    assert_eq!(
        (refused.status, refused.json()["code"].clone()),
        (405, "method_not_allowed".into())
    );
}

#[test]
fn every_response_has_security_headers() {
    let site = Site::open();
    let style = site.get("/").text();
    let style = style
        .split("href=\"/assets/")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let targets = [
        "/",
        "/?q=a",
        "/nothing",
        "/health/live",
        "/v1/projects",
        "/v1/search?q=state:opne",
    ];
    let mut targets: Vec<String> = targets.map(str::to_owned).to_vec();
    targets.push(format!("/assets/{style}"));
    targets.push(format!("/p/{PROJECT}/issues/{}", public_issues().first().unwrap()));
    for target in targets {
        let answer = site.get(&target);
        is_dressed(&target, &answer);
    }
    // Another site whose name leads to this machine must not be able to read it.
    for host in ["evil.example", "127.0.0.1.evil.example"] {
        let answer = Connection::open(&site.origin).get("/", &[("Host", host), ("Accept", "application/json")]);
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (421, "host_unknown".into()),
            "{host:?}"
        );
        is_dressed("a foreign host", &answer);
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]:8080"] {
        assert_eq!(
            Connection::open(&site.origin)
                .get("/health/live", &[("Host", host)])
                .status,
            200,
            "{host}"
        );
    }
}

fn is_dressed(what: &str, answer: &Answer) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}: {name}");
    }
    let policy = answer
        .header("content-security-policy")
        .unwrap_or_else(|| panic!("{what} has no policy"));
    for part in [
        "default-src 'none'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{what}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{what}: {policy}");
    assert!(answer.header("permissions-policy").is_some(), "{what}");
    assert!(answer.header("x-request-id").is_some(), "{what}");
    assert!(answer.header("set-cookie").is_none(), "{what}");
}

#[test]
fn server_exit_code_zero_on_clean_drain() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let site = Site::open();
        let mut kept = Connection::open(&site.origin);
        assert_eq!(kept.get("/health/live", &[]).status, 200);
        let mut begun = Connection::open(&site.origin);
        assert_eq!(begun.get("/", &[]).status, 200);
        let before = site.desk.mirror().raw();
        site.server.signal(signal);
        let Site { desk, server, .. } = site;
        let ended = server.wait();
        assert_eq!(ended.code(), 0, "{signal:?}: {ended}");
        assert!(kept.is_closed() && begun.is_closed(), "kept connections are let go");
        assert_eq!(before, desk.mirror().raw(), "serving writes nothing");
    }
}

#[test]
fn ready_is_503_from_the_first_signal_and_a_second_one_ends_at_once() {
    for (second, exit) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let site = Site::configured("[server]\ndrain_notice_ms = 60000\n");
        let mut kept = Connection::open(&site.origin);
        assert_eq!(kept.get("/health/ready", &[]).status, 200);
        site.server.signal(Signal::TERM);
        wait_until("it says that it is not ready", || {
            site.get("/health/ready").status == 503
        });
        let answer = site.get("/health/ready");
        assert_eq!(answer.json()["code"], "not_ready");
        assert!(answer.header("retry-after").is_some());
        // It still answers, for those who have not heard yet.
        assert_eq!(site.get("/v1/projects").status, 200);

        site.server.signal(second);
        let ended = site.server.wait_within(std::time::Duration::from_secs(20));
        assert_eq!(ended.code(), exit, "{ended}");
        site.desk.mirror().check();
    }
}

#[test]
fn what_cannot_be_served_is_said() {
    let site = Site::open();
    let address = site.origin.trim_start_matches("http://");
    site.desk
        .run(&["serve", "--bind", address])
        .failure(3, "address_in_use");
    site.desk.run(&["serve", "--bind", "0.0.0.0:0"]).failure(2, "usage");
    Desk::new()
        .run(&["serve", "--bind", "127.0.0.1:0"])
        .failure(17, "not_found");
    // None of that disturbs the one that serves.
    assert_eq!(site.get("/health/ready").status, 200);
}

#[test]
fn search_and_entity_pages_work_in_a_browser() {
    let Some(chromium) = chromium() else {
        return skip(
            "search_and_entity_pages_work_in_a_browser",
            "no Chromium",
            "apt-get install chromium",
        );
    };
    let site = Site::open();
    let state = Forge::state(ISSUES, MRS);
    let iid = *public_issues().first().unwrap();
    let title = state.head(Key::issue(iid)).unwrap().title.clone();

    let look = |target: &str| look(&chromium, &site.desk, &format!("{}{target}", site.origin));
    let page = look("/");
    assert!(
        page.contains("<title>Search · Annals</title>") && page.contains("type=\"search\""),
        "{page}"
    );
    // What the form sends when its button is pressed: every field, also the empty ones.
    let fields = format!("/?q={}&kind=issue&state=&label=&author=&after=", encoded(&title));
    let page = look(&fields);
    let links = page.split("href=\"").filter_map(|rest| rest.split('"').next());
    let mut links = links.filter(|link| link.starts_with("/p/") && link.ends_with(&format!("/issues/{iid}")));
    let link = links
        .next()
        .unwrap_or_else(|| panic!("no link to the issue in {page}"))
        .to_owned();
    let page = look(&link);
    assert!(
        page.contains("<h1>") && page.contains(&format!("annals-sample/generated#{iid}")),
        "{page}"
    );
    let mr = look(&format!("/p/{PROJECT}/merge-requests/1"));
    assert!(
        mr.contains("annals-sample/generated!1") && mr.contains("Discussions"),
        "{mr}"
    );
    let page = look("/p/nobody/issues/1");
    assert!(page.contains("not_found"), "{page}");
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut places = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    places.find(|program| program.is_file())
}

/// The page as the browser has it, when its console is empty.
fn look(chromium: &PathBuf, desk: &Desk, url: &str) -> String {
    let mut command = Command::new(chromium);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.args(["--enable-logging=stderr", "--log-level=0", "--dump-dom"]);
    command
        .arg(format!("--user-data-dir={}", desk.file("chromium").display()))
        .arg(url);
    command.env("HOME", desk.path());
    let ended = Running::start(&mut command).wait();
    assert_eq!(ended.code(), 0, "{ended}");
    let console: Vec<_> = ended.stderr.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{url}: {console:#?}");
    ended.stdout
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
