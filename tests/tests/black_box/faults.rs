//! Whatever a forge does wrong: the mirror is right afterwards, or the command says by its name what went wrong and the
//! next run makes the mirror right. And nothing but GET is ever sent.

use annals_testkit::forge::model::expected_dump;
use annals_testkit::forge::{Effect, Fault, Key, State};
use annals_tests::http::Connection;
use annals_tests::mirror::assert_same;
use annals_tests::{Desk, Ended, Forge, Running};
use serde_json::Value;

const ISSUES: u32 = 11;
const MRS: u32 = 7;
const TOKEN: &str = "glpat-right-for-this-forge";

/// Which request a fault hits.
#[derive(Debug, Clone, Copy)]
struct Place {
    name: &'static str,
    target: &'static str,
    when: &'static str,
    policy: &'static [&'static str],
}

const PLACES: [Place; 4] = [
    Place {
        name: "the first page of issues",
        target: "*/issues?*",
        when: "nth:1",
        policy: &[],
    },
    // Without keyset paging lists are read in windows.
    Place {
        name: "the second page of merge requests",
        target: "*/merge_requests?*",
        when: "nth:2",
        policy: &["--policy", "keyset-ignored"],
    },
    Place {
        name: "a set of discussions",
        target: "*/discussions*",
        when: "nth:1",
        policy: &[],
    },
    Place {
        name: "the project",
        target: "/api/v4/projects/*%2Fgenerated*",
        when: "nth:1",
        policy: &[],
    },
];

fn prove(fault: Fault) {
    std::thread::scope(|scope| {
        let places = PLACES.map(|place| (place, scope.spawn(move || prove_at(fault, place))));
        for (place, proof) in places {
            if let Err(panic) = proof.join() {
                eprintln!("{} at {} (see above)", fault.name(), place.name);
                std::panic::resume_unwind(panic);
            }
        }
    });
}

fn prove_at(fault: Fault, place: Place) {
    let what = format!("{} at {}", fault.name(), place.name);
    let mut options = place.policy.to_vec();
    options.extend([
        "--token",
        TOKEN,
        "--fault-target",
        place.target,
        "--fault-when",
        place.when,
        "--fault",
        fault.name(),
    ]);
    let forge = Forge::generated(ISSUES, MRS, &options);
    let desk = Desk::at(&forge);
    desk.configure(&format!("{}\n[sync]\npage_size = 4\n", forge.config()));

    // A token that is right: what is refused all the same was not for the lack of one.
    let sync = || {
        let mut command = desk.annals(&["sync", &forge.project_url()]);
        let ended = Running::start(command.env("ANNALS_TOKEN_SIM", TOKEN)).wait();
        assert!(
            !format!("{}{}", ended.stdout, ended.stderr).contains(TOKEN),
            "{what} tells the token"
        );
        ended
    };
    let first = sync();
    assert_eq!(forge.stats()["faults"][fault.name()], 1, "{what} was never met");
    let model = expected_dump(&as_it_is_now(fault, place, &forge));
    let is_right = desk.db().exists() && is_right(&desk, &model);
    match fault.effect() {
        Effect::Harmless | Effect::Retried => {
            assert_eq!(first.data()["status"], "done", "{what}");
            assert_same(&what, &model, &desk.mirror().model(&Forge::native_id()));
        }
        Effect::NextRun(codes) if first.code() != 0 => is_told(&what, &first, codes, &desk),
        Effect::NextRun([]) => {}
        // What a member may not see is not missing: the run goes on without it, and says so.
        Effect::NextRun(["forbidden"]) if !is_right => is_warned_of(&what, &first),
        // Where a page is no list of rows, or the next page is not asked for, some faults go unnoticed.
        Effect::NextRun(_) => assert!(is_right, "{what} was not told, and the mirror is not right: {first}"),
        Effect::Quarantined => is_set_aside(&what, &first, is_right, &desk),
    }
    if desk.db().exists() {
        desk.mirror().check();
    }

    let next = sync();
    assert_eq!(next.data()["status"], "done", "{what}, the next run: {next}");
    let mirror = desk.mirror();
    mirror.check();
    assert_same(
        &format!("{what}, after the next run"),
        &model,
        &mirror.model(&Forge::native_id()),
    );
    // What came without a name cannot be matched with what came right later: it stays for a person to look at.
    let nameless = match fault.effect() {
        Effect::Quarantined => mirror.count("quarantine", "resolved_at IS NULL AND length(native_ref) = 64"),
        Effect::Harmless | Effect::Retried | Effect::NextRun(_) => 0,
    };
    assert_eq!(
        mirror.owed(&Forge::native_id()) - nameless,
        0,
        "{what}: something is still owed"
    );
    let stats = forge.stats();
    assert_eq!(stats["writes_refused"], 0, "{what}: {stats}");
    // The indexes of sweeps are asked for with POST, as GraphQL wants it.
    let mut methods = stats["by_method"].as_object().unwrap().keys();
    assert!(
        methods.all(|method| ["GET", "POST"].contains(&method.as_str())),
        "{what}: {stats}"
    );
}

/// The forge's own state: some faults change it behind the reader's back.
fn as_it_is_now(fault: Fault, place: Place, forge: &Forge) -> State {
    let mut state = Forge::state(ISSUES, MRS);
    let Some((list, key)) = listed(place) else { return state };
    let newest = || {
        let target = format!(
            "/api/v4/projects/{}/{list}?order_by=updated_at&sort=desc&per_page=1",
            Forge::native_id()
        );
        let mut connection = Connection::open(forge.url());
        let rows = connection.get(&target, &[("PRIVATE-TOKEN", TOKEN)]).json();
        key(rows[0]["iid"].as_i64().unwrap())
    };
    match fault {
        Fault::RowMoves => assert!(state.touch(newest())),
        Fault::ItemEdited => {
            let key = newest();
            assert!(state.retitle(key, &format!("Edited while it was read ({})", key.iid)));
        }
        _ => {}
    }
    state
}

fn listed(place: Place) -> Option<(&'static str, fn(i64) -> Key)> {
    match place.target {
        "*/issues?*" => Some(("issues", Key::issue)),
        "*/merge_requests?*" => Some(("merge_requests", Key::mr)),
        _ => None,
    }
}

fn is_right(desk: &Desk, model: &str) -> bool {
    let mirror = desk.mirror();
    mirror.is_made() && mirror.count("projects", "true") == 1 && mirror.model(&Forge::native_id()) == model
}

/// The failure has one of these codes, and the exit code that belongs to it: its own when nothing was stored, 22 when
/// something was.
fn is_told(what: &str, ended: &Ended, codes: &[&str], desk: &Desk) {
    let error = ended.error();
    let failures = error["details"]["failures"].as_array().cloned().unwrap_or_default();
    let told: Vec<&str> = failures.iter().filter_map(|failure| failure["code"].as_str()).collect();
    assert!(told.iter().all(|code| codes.contains(code)), "{what}: {ended}");
    let code = error["code"].as_str().unwrap();
    if code == "partial" {
        assert_eq!(ended.code(), 22, "{what}: {ended}");
        assert!(!told.is_empty(), "{what} is not named: {ended}");
        assert!(
            stored(&error["details"]),
            "{what}: partial, but nothing was stored: {ended}"
        );
    } else {
        assert!(codes.contains(&code), "{what}: {ended}");
        assert_eq!(ended.code(), exit_of(code), "{what}: {ended}");
        let rows = |table| desk.mirror().count(table, "true");
        let empty = !desk.db().exists() || !desk.mirror().is_made() || rows("issues") + rows("merge_requests") == 0;
        assert!(empty, "{what}: something was stored, so it is partial: {ended}");
    }
}

fn is_warned_of(what: &str, ended: &Ended) {
    let envelope = ended.envelope();
    let warnings = envelope["meta"]["warnings"].as_array().unwrap();
    let names = |warning: &Value| warning.as_str().unwrap().contains("does not show its");
    assert!(warnings.iter().any(names), "{what} was not told: {ended}");
}

/// The item is kept aside and named; everything around it is stored.
fn is_set_aside(what: &str, ended: &Ended, is_right: bool, desk: &Desk) {
    if is_right {
        return;
    }
    let told = match ended.code() {
        0 => ended.data(),
        _ => {
            let mut error = ended.failure(22, "partial");
            let failures = error["details"]["failures"].as_array().unwrap();
            assert!(
                failures.iter().all(|failure| failure["code"] == "transform"),
                "{what}: {ended}"
            );
            error["details"].take()
        }
    };
    let mirror = desk.mirror();
    assert_eq!(mirror.count("quarantine", "resolved_at IS NULL"), 1, "{what}: {told}");
    let around = mirror.count("issues", "true") + mirror.count("merge_requests", "true");
    assert!(
        around >= i64::from(ISSUES + MRS) - 1,
        "{what}: {around} entities are stored, {told}"
    );
}

fn stored(result: &Value) -> bool {
    let projects = result["projects"].as_array().cloned().unwrap_or_default();
    let parts = projects.iter().flat_map(|project| {
        let streams = project["streams"].as_array().cloned().unwrap_or_default();
        let written = streams.into_iter().map(|stream| stream["written"].clone());
        written.chain([project["jobs"]["done"].clone()]).collect::<Vec<_>>()
    });
    parts
        .chain([result["revisions"].clone()])
        .any(|count| count.as_u64().unwrap() > 0)
}

fn exit_of(code: &str) -> i32 {
    match code {
        "auth_rejected" | "forbidden" => 5,
        "network" | "protocol" | "page_loop" | "page_link_foreign" => 8,
        other => panic!("{other} is not what a fault of a forge comes to"),
    }
}

/// One test per fault; a fault without a line here does not compile.
macro_rules! faults {
    ($($test:ident: $fault:ident,)+) => {
        $(#[test]
        fn $test() {
            prove(Fault::$fault);
        })+

        #[test]
        fn every_fault_has_its_test() {
            const fn test_of(fault: Fault) -> &'static str {
                match fault { $(Fault::$fault => stringify!($test),)+ }
            }
            for fault in Fault::ALL {
                assert_eq!(test_of(*fault), fault.name().replace('-', "_"));
            }
        }
    };
}

faults! {
    too_many_requests: TooManyRequests,
    unavailable: Unavailable,
    internal_error: InternalError,
    bad_gateway: BadGateway,
    unauthorized: Unauthorized,
    forbidden: Forbidden,
    close_before_head: CloseBeforeHead,
    reset_before_head: ResetBeforeHead,
    close_in_head: CloseInHead,
    close_in_body: CloseInBody,
    reset_in_body: ResetInBody,
    close_in_chunks: CloseInChunks,
    long_length: LongLength,
    short_length: ShortLength,
    truncated_json: TruncatedJson,
    malformed_json: MalformedJson,
    html_page: HtmlPage,
    wrong_content_type: WrongContentType,
    not_modified_unasked: NotModifiedUnasked,
    slow_bytes: SlowBytes,
    stall: Stall,
    stall_in_body: StallInBody,
    small_chunks: SmallChunks,
    oversize_body: OversizeBody,
    endless_body: EndlessBody,
    gzip_bomb: GzipBomb,
    redirect_once: RedirectOnce,
    redirect_loop: RedirectLoop,
    redirect_elsewhere: RedirectElsewhere,
    wrong_totals: WrongTotals,
    no_totals: NoTotals,
    no_paging_headers: NoPagingHeaders,
    no_link: NoLink,
    no_validator: NoValidator,
    row_moves: RowMoves,
    item_edited: ItemEdited,
    duplicate_row: DuplicateRow,
    repeated_page: RepeatedPage,
    next_is_here: NextIsHere,
    foreign_next: ForeignNext,
    empty_list: EmptyList,
    item_without_id: ItemWithoutId,
    item_of_wrong_type: ItemOfWrongType,
    item_not_an_object: ItemNotAnObject,
}
