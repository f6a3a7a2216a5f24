//! What the server answers, asked over a real socket on every runtime.

use crate::support::Served;
use annals_net_adapter::{Cx, on_every_runtime};
use serde_json::Value;

async fn every_response_has_security_headers(cx: Cx) {
    let served = Served::start(&cx).await;
    for path in [
        "/",
        "/health/live",
        "/health/ready",
        "/v1/projects",
        "/v1/search",
        "/nowhere",
        "/v1/nowhere",
    ] {
        let answer = served.get(&cx, path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(answer.header("permissions-policy").contains("camera=()"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
    served.stop(&cx).await;
}

async fn failures_are_problem_documents(cx: Cx) {
    let served = Served::start(&cx).await;
    let cases = [
        ("/v1/nowhere", 404, "not_found"),
        ("/v1/projects/", 404, "not_found"),
        ("/v1/projects/no%2Fsuch", 404, "not_found"),
        ("/v1/projects/no%2Fsuch/issues", 404, "not_found"),
        ("/v1/projects/no%2Fsuch/issues?cursor=00", 400, "cursor_invalid"),
        ("/v1/projects/no%2Fsuch/issues?limit=0", 400, "usage"),
        ("/v1/projects/no%2Fsuch/issues?limit=-1", 400, "usage"),
        ("/v1/projects/no%2Fsuch/issues?state=green", 400, "usage"),
        ("/v1/projects/no%2Fsuch/issues?label=a&label=b", 400, "usage"),
        ("/v1/search?q=x&sate=open", 400, "usage"),
        ("/v1/projects?foo=1", 400, "usage"),
        ("/v1/projects/no%2Fsuch?foo=1", 400, "usage"),
        ("/v1/projects/no%2Fsuch/issues/1?foo=1", 400, "usage"),
        (
            "/v1/projects/no%2Fsuch/merge-requests/1/discussions?limit=1",
            400,
            "usage",
        ),
        ("/health?foo=1", 400, "usage"),
        ("/health/live?foo=1", 400, "usage"),
        ("/health/ready?foo=1", 400, "usage"),
        ("/v1/projects/%FF", 400, "usage"),
        ("/v1/projects/%FF/issues", 400, "usage"),
        ("/v1/projects/a/issues/%FF", 400, "usage"),
        ("/p/%FF/issues/1", 400, "usage"),
        ("/v1/search?q=after:soon", 400, "query_invalid"),
        ("/v1/search?q=x&facets=colour", 400, "usage"),
    ];
    for (path, status, code) in cases {
        let answer = served.get(&cx, path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{path}");
        assert_eq!(problem["type"], format!("urn:annals:problem:{code}"), "{path}");
        assert_eq!(problem["instance"], answer.header("x-request-id"), "{path}");
    }
    let typo = served.get(&cx, "/v1/search?q=x&sate=open").await.json();
    assert_eq!(typo["suggestion"], "state");
    let typo = served.get(&cx, "/p/a/issues/1?ofset=3").await.json();
    assert_eq!(typo["suggestion"], "offset");
    let none = served.get(&cx, "/v1/projects?foo=1").await.json();
    assert_eq!(none["detail"], "unknown parameter \"foo\"; this address takes none");
    served.stop(&cx).await;
}

async fn only_reading_is_allowed(cx: Cx) {
    let served = Served::start(&cx).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = served.ask(&cx, method, "/v1/projects", &[]).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (405, &Value::from("method_not_allowed")),
            "{method}"
        );
        assert!(answer.header("allow").contains("GET"), "{method}");
    }
    let page = served.ask(&cx, "POST", "/", &[("accept", "text/html")]).await;
    assert_eq!(page.status, 405);
    assert!(page.header("allow").contains("GET") && page.header("content-type").starts_with("text/html"));
    assert!(page.body.contains("method_not_allowed"), "{}", page.body);
    let head = served.ask(&cx, "HEAD", "/v1/projects", &[]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    served.stop(&cx).await;
}

async fn what_the_api_cannot_answer_is_a_problem_document(cx: Cx) {
    let served = Served::start(&cx).await;
    let (html, xml) = (("accept", "text/html"), ("accept", "application/xml"));
    for (method, path, header, status, code) in [
        ("GET", "/v1/projects", xml, 406, "not_acceptable"),
        ("GET", "/v1/search?q=x", html, 406, "not_acceptable"),
        (
            "GET",
            "/v1/projects/a/issues",
            ("accept", "application/json;q=0"),
            406,
            "not_acceptable",
        ),
        ("GET", "/v1/nowhere", xml, 404, "not_found"),
        ("GET", "/v1/", html, 404, "not_found"),
        ("GET", "/v1", html, 404, "not_found"),
        ("POST", "/v1/projects", xml, 405, "method_not_allowed"),
        ("DELETE", "/v1/search", html, 405, "method_not_allowed"),
    ] {
        let answer = served.ask(&cx, method, path, &[header]).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{method} {path}"
        );
        assert_eq!(answer.json()["code"], code, "{method} {path}");
    }
    let large = vec![b'x'; (1 << 20) + 1];
    for (method, path) in [("POST", "/v1/projects"), ("POST", "/v1/nowhere"), ("PUT", "/v1/search")] {
        let answer = served.send(&cx, method, path, large.clone()).await;
        assert_eq!(answer.status, 413, "{method} {path}: {}", answer.body);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{method} {path}"
        );
        let problem = answer.json();
        assert_eq!(problem["code"], "payload_too_large");
        assert!(problem["detail"].as_str().unwrap().contains("1048576"), "{problem}");
    }
    let fits = served.send(&cx, "POST", "/v1/projects", vec![b'x'; 1 << 20]).await;
    assert_eq!(fits.status, 405, "{}", fits.body);
    for accept in ["application/json", "*/*", "text/html,application/xml;q=0.9,*/*;q=0.8"] {
        assert_eq!(
            served
                .ask(&cx, "GET", "/v1/projects", &[("accept", accept)])
                .await
                .status,
            200,
            "{accept}"
        );
    }
    served.stop(&cx).await;
}

async fn request_ids_are_kept_or_made(cx: Cx) {
    let served = Served::start(&cx).await;
    let kept = served
        .ask(&cx, "GET", "/health/live", &[("x-request-id", "abc-1_Z")])
        .await;
    assert_eq!(kept.header("x-request-id"), "abc-1_Z");
    let replaced = served.ask(&cx, "GET", "/health/live", &[("x-request-id", "a b")]).await;
    assert!(replaced.header("x-request-id").starts_with("r-"));
    served.stop(&cx).await;
}

async fn an_empty_mirror_still_answers(cx: Cx) {
    let served = Served::start(&cx).await;
    assert_eq!(
        served.get(&cx, "/v1/projects").await.json()["data"]["projects"],
        Value::from(Vec::<Value>::new())
    );
    let found = served.get(&cx, "/v1/search?q=anything").await.json();
    assert_eq!(
        (&found["data"]["hits"], &found["page"]["total"]),
        (&Value::from(Vec::<Value>::new()), &Value::from(0))
    );
    let page = served.get(&cx, "/?q=anything").await;
    assert!(
        page.status == 200 && page.body.contains("Nothing found."),
        "{}",
        page.body
    );
    let kept = served.get(&cx, "/?q=x&path=src/&before=1d&limit=5").await.body;
    for (name, value) in [("path", "src/"), ("before", "1d"), ("limit", "5")] {
        let field = format!("type=\"hidden\" name=\"{name}\" value=\"{value}\"");
        assert!(kept.contains(&field), "{kept}");
    }
    let said = served.get(&cx, "/v1/search?q=%F0%9F%99%82").await.json();
    assert!(
        said["meta"]["warnings"][0].as_str().unwrap().contains("was left out"),
        "{said}"
    );
    let invalid = served.get(&cx, "/?q=after:soon").await;
    assert!(
        invalid.status == 200 && invalid.body.contains("role=\"alert\""),
        "{}",
        invalid.body
    );
    served.stop(&cx).await;
}

async fn the_stylesheet_may_be_kept_for_ever(cx: Cx) {
    let served = Served::start(&cx).await;
    let page = served.get(&cx, "/").await.body;
    let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let (path, _) = rest.split_once('"').unwrap();
    let style = served.get(&cx, path).await;
    assert_eq!(style.status, 200);
    assert!(style.header("cache-control").contains("immutable"));
    assert!(style.body.len() < 20 * 1024, "the stylesheet has a budget");
    served.stop(&cx).await;
}

on_every_runtime!(
    every_response_has_security_headers,
    failures_are_problem_documents,
    only_reading_is_allowed,
    what_the_api_cannot_answer_is_a_problem_document,
    request_ids_are_kept_or_made,
    an_empty_mirror_still_answers,
    the_stylesheet_may_be_kept_for_ever,
);
