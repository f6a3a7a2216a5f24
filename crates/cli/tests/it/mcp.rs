//! Agents speak with the program as they do with any other: a line of JSON-RPC in, a line out.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::support::Desk;

/// A client and the program it started.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    next: u64,
}

impl Client {
    fn start(desk: &Desk, flags: &str) -> Self {
        let mut command = desk.annals("mcp".split(' ').chain(flags.split_whitespace()));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            next: 1,
        }
    }

    fn send(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input
            .write_all(line.as_bytes())
            .and_then(|()| input.write_all(b"\n"))
            .unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.next;
        self.next += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        let answer = self.hear();
        assert_eq!(
            (&answer["jsonrpc"], &answer["id"]),
            (&"2.0".into(), &id.into()),
            "{answer}"
        );
        answer
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &json!({"name": tool, "arguments": arguments}))["result"].clone()
    }

    /// Ends the input; everything that was still said, and the exit code.
    fn end(mut self) -> (Vec<String>, i32) {
        drop(self.input.take());
        let rest = self.output.lines().map(Result::unwrap).collect();
        (rest, self.child.wait().unwrap().code().unwrap())
    }
}

fn stateless(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

#[test]
fn a_client_shakes_hands_lists_calls_and_leaves() {
    let desk = Desk::with_mirror();
    let mut client = Client::start(&desk, "");
    for (asked, spoken) in [
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let hello =
            json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let result = client.ask("initialize", &hello)["result"].clone();
        assert_eq!(
            (&result["protocolVersion"], &result["serverInfo"]["name"]),
            (&spoken.into(), &"annals".into())
        );
        assert!(result["capabilities"]["tools"].is_object(), "{result}");
    }
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert_eq!(client.ask("ping", &json!({}))["result"], json!({}));
    let tools = client.ask("tools/list", &json!({}))["result"]["tools"].clone();
    let names: Vec<&str> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    for name in [
        "annals_search",
        "annals_show",
        "annals_issues",
        "annals_mrs",
        "annals_projects",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    for tool in tools.as_array().unwrap() {
        let fits = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        assert!(tool["inputSchema"]["properties"].as_object().unwrap().keys().all(fits));
        assert_eq!(
            (&tool["annotations"]["readOnlyHint"], &tool["inputSchema"]["type"]),
            (&true.into(), &"object".into())
        );
        assert!(
            tool["description"].as_str().unwrap().len() > 10 && tool["outputSchema"]["properties"]["data"].is_object()
        );
    }
    assert_eq!(
        tools,
        client.ask("tools/list", &json!({}))["result"]["tools"],
        "in a fixed order"
    );
    let (rest, code) = client.end();
    assert_eq!((rest, code), (Vec::new(), 0));
}

#[test]
fn a_client_without_a_handshake_says_its_revision_each_time() {
    let desk = Desk::with_mirror();
    let mut client = Client::start(&desk, "");
    let found = client.ask("server/discover", &stateless(json!({})))["result"].clone();
    assert_eq!(
        (&found["supportedVersions"], &found["resultType"]),
        (&json!(["2026-07-28"]), &"complete".into())
    );
    let tools = client.ask("tools/list", &stateless(json!({})))["result"].clone();
    assert!(tools["ttlMs"].is_u64() && tools["resultType"] == "complete", "{tools}");
    let call = stateless(json!({"name": "annals_projects", "arguments": {}}));
    let result = client.ask("tools/call", &call)["result"].clone();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "annals");
    assert_eq!(client.ask("ping", &stateless(json!({})))["error"]["code"], -32601);
    let mut other = stateless(json!({}));
    other["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2031-01-01".into();
    let error = client.ask("tools/list", &other)["error"].clone();
    assert_eq!(
        (&error["code"], &error["data"]["supported"]),
        (&(-32022).into(), &json!(["2026-07-28", "2025-11-25", "2025-06-18"]))
    );
    assert_eq!(client.ask("server/discover", &json!({}))["error"]["code"], -32602);
}

#[test]
fn mcp_results_equal_robot() {
    let desk = Desk::with_mirror();
    let mut client = Client::start(&desk, "");
    for (tool, arguments, line) in [
        (
            "annals_search",
            json!({"query": "cutover race", "limit": 5, "facets": ["label", "state"]}),
            "search cutover race -n 5 --facets label,state",
        ),
        (
            "annals_show",
            json!({"ref": "mr 4", "discussions": true, "files": true}),
            "show mr 4 --discussions --files",
        ),
        (
            "annals_issues",
            json!({"state": ["open"], "label": ["bug"], "sort": "iid", "asc": true}),
            "issues --state open --label bug --sort iid --asc",
        ),
        (
            "annals_issues",
            json!({"iid": "12", "fields": "minimal"}),
            "issues 12 --fields minimal",
        ),
        (
            "annals_mrs",
            json!({"limit": 3, "offset": 2, "project": "tidewater"}),
            "mrs -n 3 --offset 2 -p tidewater",
        ),
        ("annals_projects", json!({}), "projects"),
        (
            "annals_file_history",
            json!({"path": "src/index/swap.rs", "discussions": true}),
            "file-history src/index/swap.rs --discussions",
        ),
        ("annals_timeline", json!({"limit": 20}), "timeline -n 20"),
        (
            "annals_timeline",
            json!({"ref": "mr 4", "kind": ["state", "label"]}),
            "timeline mr 4 --kind state,label",
        ),
        ("annals_notes", json!({"mr": 4}), "notes --mr 4"),
        (
            "annals_who",
            json!({"path_query_ref": "cutover race"}),
            "who cutover race",
        ),
        (
            "annals_related",
            json!({"ref": "mr 4", "limit": 5}),
            "related mr 4 -n 5",
        ),
        (
            "annals_count",
            json!({"kind": "issues", "by": "label"}),
            "count issues --by label",
        ),
    ] {
        let result = client.call(tool, &arguments);
        assert_eq!(result["isError"], false, "{tool}: {result}");
        let envelope = desk.run(line).envelope();
        let content = &result["structuredContent"];
        assert_eq!(content["data"], envelope["data"], "{tool}");
        for shared in ["total", "next_offset", "mode"] {
            assert_eq!(content["meta"][shared], envelope["meta"][shared], "{tool} {shared}");
        }
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(&text, content, "the same as text");
    }
}

/// Whatever is called, the file stays as it is to the byte.
#[test]
fn no_tool_writes() {
    let desk = Desk::with_mirror();
    let before = std::fs::read(desk.path("annals.db")).unwrap();
    let mut client = Client::start(&desk, "");
    let tools = client.ask("tools/list", &json!({}))["result"]["tools"].clone();
    for tool in tools.as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        let mut arguments = serde_json::Map::new();
        for required in tool["inputSchema"]["required"].as_array().into_iter().flatten() {
            let required = required.as_str().unwrap();
            let value = match required {
                "ref" => "mr 4",
                "query" | "path_query_ref" => "cutover race",
                "path" => "src/index/swap.rs",
                other => panic!("{name} needs {other}: give it one here"),
            };
            arguments.insert(required.to_owned(), value.into());
        }
        let result = client.call(name, &Value::Object(arguments));
        assert_eq!(result["isError"], false, "{name}: {}", result["content"]);
    }
    assert_eq!(client.end().1, 0);
    assert!(
        std::fs::read(desk.path("annals.db")).unwrap() == before,
        "it was written"
    );
    // Nor does a word of an argument become a command that writes.
    let mut client = Client::start(&desk, "");
    let added = client.call("annals_projects", &json!({"add": "https://forge.example/group/app"}));
    assert_eq!(added["isError"], true, "{added}");
    assert_eq!(client.end().1, 0);
    assert!(
        std::fs::read(desk.path("annals.db")).unwrap() == before,
        "it was written"
    );
}

#[test]
fn bad_arguments_are_results_and_bad_requests_are_errors() {
    let desk = Desk::with_mirror();
    let mut client = Client::start(&desk, "");
    for (tool, arguments, code) in [
        ("annals_show", json!({"ref": "9999"}), "not_found"),
        ("annals_show", json!({}), "usage"),
        ("annals_search", json!({"query": "after:never"}), "query_invalid"),
        ("annals_issues", json!({"lable": "bug"}), "usage"),
        ("annals_issues", json!({"limit": 5000}), "usage"),
        ("annals_issues", json!({"fields": "titel"}), "usage"),
    ] {
        let result = client.call(tool, &arguments);
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        let error: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], code, "{tool} {arguments}");
    }
    for (method, params, code) in [
        ("tools/call", json!({"name": "annals_sync"}), -32602),
        ("tools/call", json!({}), -32602),
        ("tools/call", json!({"name": "annals_show", "arguments": [1]}), -32602),
        ("tools/list", json!({"cursor": "x"}), -32602),
        ("initialize", json!({}), -32602),
        ("resources/list", json!({}), -32601),
    ] {
        assert_eq!(client.ask(method, &params)["error"]["code"], code, "{method} {params}");
    }
    assert_eq!(client.end().1, 0);
}

#[test]
fn a_result_is_never_longer_than_it_may_be() {
    let desk = Desk::with_mirror();
    desk.sql("UPDATE issues SET title = title || printf('%.3000c', 'x')");
    let mut client = Client::start(&desk, "");
    let (mut seen, mut offset, mut id) = (0, json!(0), 0);
    while !offset.is_null() {
        id += 1;
        client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "annals_issues", "arguments": {"limit": 500, "offset": offset}}}).to_string());
        let mut line = String::new();
        client.output.read_line(&mut line).unwrap();
        assert!(line.len() <= 64 * 1024, "{} bytes", line.len());
        let answer: Value = serde_json::from_str(&line).unwrap();
        let content = &answer["result"]["structuredContent"];
        let items = content["data"]["items"].as_array();
        let shown = items.unwrap_or_else(|| panic!("{answer}")).len();
        assert!(shown > 0 && shown < 40, "{shown}");
        seen += shown;
        offset = content["meta"]["next_offset"].clone();
    }
    assert_eq!(seen, 40);
}

#[test]
fn what_is_too_long_for_one_answer_is_read_with_a_cursor() {
    let desk = Desk::with_mirror();
    // Each byte is told twice, and a quotation mark is escaped in both.
    desk.sql("UPDATE issues SET body = replace(printf('%.90000c', 'x'), 'x', 'ä\"') WHERE iid = 12");
    let mut client = Client::start(&desk, "");
    let whole = desk.run("show 12 --discussions").data();
    let (mut body, mut answers, mut cursor) = (String::new(), 0, Value::Null);
    loop {
        let arguments = json!({"ref": "12", "discussions": true, "cursor": cursor});
        let result = client.call("annals_show", &arguments);
        assert_eq!(result["isError"], false, "{}", result["content"]);
        assert!(result.to_string().len() <= 64 * 1024);
        let content = &result["structuredContent"];
        body.push_str(content["data"]["entity"]["body"].as_str().unwrap_or_default());
        answers += 1;
        cursor = content["meta"]["cursor"].clone();
        if cursor.is_null() {
            break;
        }
        assert!(answers < 100, "it never ends");
    }
    assert!(answers > 2, "{answers}");
    assert!(whole["entity"]["body"] == body.as_str(), "the text is whole");
    let stale = client.call("annals_show", &json!({"ref": "12", "cursor": "5.10.0"}));
    assert_eq!(stale["isError"], true, "{stale}");
    assert_eq!(client.end().1, 0);
}

#[test]
fn the_health_of_a_stale_mirror_is_data() {
    let desk = Desk::with_mirror();
    desk.sql("UPDATE sync_runs SET finished_at = finished_at - 2 * 86400000");
    let mut client = Client::start(&desk, "");
    let health = client.call("annals_health", &json!({}));
    assert_eq!(health["isError"], false, "{health}");
    let data = &health["structuredContent"]["data"];
    assert_eq!(
        (&data["status"], &data["findings"][0]["finding"]),
        (&json!("unhealthy"), &json!("stale"))
    );
    assert_eq!(client.end().1, 0);
}

#[test]
fn a_file_that_appears_later_changes_nothing_for_a_running_server() {
    let desk = Desk::with_mirror();
    let mut client = Client::start(&desk, "");
    let before = client.call("annals_count", &json!({"kind": "issues"}));
    std::fs::write(desk.path("annals.toml"), "[db]\npath = \"other.db\"\n").unwrap();
    let after = client.call("annals_count", &json!({"kind": "issues"}));
    assert_eq!(after["structuredContent"]["data"], before["structuredContent"]["data"]);
    assert_eq!(after["isError"], false, "{after}");
    assert_eq!(client.end().1, 0);
}

#[test]
fn mcp_stdout_is_pure() {
    let desk = Desk::with_mirror();
    let mut client = Client::start(&desk, "-vvv --log-format json");
    for _ in 0..3 {
        client.call("annals_search", &json!({"query": "race"}));
    }
    client.send("nonsense");
    let (rest, code) = client.end();
    assert_eq!(code, 0);
    for line in rest {
        let said: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["jsonrpc"], "2.0", "{line}");
    }
}

#[test]
fn mcp_10k_malformed_lines_survive() {
    let desk = Desk::with_mirror();
    let mut client = Client::start(&desk, "");
    let mut input = client.input.take().unwrap();
    let writer = std::thread::spawn(move || {
        let kinds: [&[u8]; 6] = [
            b"{",
            b"[1,2]",
            b"\xff\xfe",
            b"{\"jsonrpc\":\"2.0\",\"id\":{}}",
            b"\"text\"",
            b"{\"jsonrpc\":\"2.0\",\"id\":1}",
        ];
        for kind in kinds.iter().cycle().take(10_000) {
            input.write_all(kind).and_then(|()| input.write_all(b"\n")).unwrap();
        }
        // Blank lines are none, and one that is too long is passed over as a whole.
        input.write_all(b"\n \n").unwrap();
        input.write_all(&vec![b'x'; 3 << 20]).unwrap();
        input
            .write_all(b"\n{\"jsonrpc\":\"2.0\",\"id\":\"last\",\"method\":\"ping\"}\n")
            .unwrap();
    });
    for _ in 0..10_001 {
        let said = client.hear();
        assert!(
            [-32700, -32600].contains(&said["error"]["code"].as_i64().unwrap()),
            "{said}"
        );
    }
    assert_eq!(client.hear(), json!({"jsonrpc": "2.0", "id": "last", "result": {}}));
    writer.join().unwrap();
    assert_eq!(client.end(), (Vec::new(), 0));
}

/// What was asked before the end of the input is answered.
#[test]
fn the_end_of_input_drains() {
    let desk = Desk::with_mirror();
    let mut client = Client::start(&desk, "");
    for id in 0..8 {
        client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "annals_search", "arguments": {"query": "race"}}}).to_string());
    }
    let (rest, code) = client.end();
    let mut ids: Vec<u64> = rest
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!((ids, code), ((0..8).collect(), 0));
}
