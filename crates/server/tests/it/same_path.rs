//! One path mirrored from two forges is two projects, wherever one is named.

use crate::support::{Answer, Served};
use annals_core::ProjectId;
use annals_net_adapter::{Cx, on_every_runtime};

const HERE: &str = "one.example";
const THERE: &str = "two.example";

/// The same path, and the same issue number, on two forges.
async fn twice(cx: &Cx) -> (Served, ProjectId, ProjectId) {
    let served = Served::start(cx).await;
    let here = served.mirror(cx, HERE, "group/app", "Cutover here").await;
    let there = served.mirror(cx, THERE, "group/app", "Cutover there").await;
    (served, here, there)
}

fn titles(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let hits = json["data"]["hits"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", answer.body));
    assert_eq!(json["page"]["total"], hits.len());
    hits.iter()
        .map(|hit| hit["title"].as_str().unwrap().to_owned())
        .collect()
}

async fn a_search_in_one_of_them_finds_nothing_of_the_other(cx: Cx) {
    let (served, here, there) = twice(&cx).await;
    for (named, title) in [
        (format!("{HERE}/group/app"), "Cutover here"),
        (format!("{THERE}%2Fgroup%2Fapp"), "Cutover there"),
        (here.0.to_string(), "Cutover here"),
        (there.0.to_string(), "Cutover there"),
    ] {
        let found = served.get(&cx, &format!("/v1/search?q=cutover&project={named}")).await;
        assert_eq!(titles(&found), [title], "{named}");
        let page = served.get(&cx, &format!("/?q=cutover&project={named}")).await.body;
        assert!(page.contains("1–1 of 1") && page.contains(title), "{named}: {page}");
        assert!(page.contains("\" selected>"), "the form keeps {named}: {page}");
    }
    let both = served
        .get(&cx, &format!("/v1/search?q=cutover&project={},{}", here.0, there.0))
        .await;
    assert_eq!(titles(&both).len(), 2);
    for route in ["/v1/search", "/"] {
        for (named, status) in [("group/app", 409), ("no/such", 404)] {
            let refused = served.get(&cx, &format!("{route}?q=cutover&project={named}")).await;
            assert_eq!(refused.status, status, "{route} {named}: {}", refused.body);
        }
    }
    served.stop(&cx).await;
}

async fn every_hit_leads_to_its_own_page(cx: Cx) {
    let (served, here, there) = twice(&cx).await;
    let page = served.get(&cx, "/?q=cutover").await.body;
    for (host, project, title) in [(HERE, here, "Cutover here"), (THERE, there, "Cutover there")] {
        let href = format!("/p/{}/issues/1", project.0);
        assert!(page.contains(&format!("href=\"{href}\"")), "{page}");
        let shown = served.get(&cx, &href).await;
        assert!(shown.status == 200 && shown.body.contains(title), "{}", shown.body);
        let reference = format!("{host}/group/app#1");
        assert!(shown.body.contains(&reference), "{}", shown.body);
        let list = served
            .get(&cx, &format!("/v1/projects/{}/issues", project.0))
            .await
            .json();
        assert_eq!(list["data"]["items"][0]["ref"], reference);
    }
    served.stop(&cx).await;
}

async fn an_ambiguity_names_the_candidates(cx: Cx) {
    let (served, ..) = twice(&cx).await;
    let refused = served.get(&cx, "/v1/projects/group%2Fapp/issues/1").await;
    let problem = refused.json();
    assert_eq!((refused.status, &problem["code"]), (409, &"ambiguous".into()));
    let candidates = problem["errors"].as_array().unwrap();
    assert_eq!(candidates.len(), 2, "{problem}");
    for candidate in candidates {
        let name = candidate["message"].as_str().unwrap().replace('/', "%2F");
        assert_eq!(
            served.get(&cx, &format!("/v1/projects/{name}/issues/1")).await.status,
            200
        );
    }
    let page = served
        .ask(&cx, "GET", "/p/group%2Fapp/issues/1", &[("accept", "text/html")])
        .await;
    assert_eq!(page.status, 409);
    for host in [HERE, THERE] {
        assert!(page.body.contains(&format!("{host}/group/app")), "{}", page.body);
    }
    served.stop(&cx).await;
}

on_every_runtime!(
    a_search_in_one_of_them_finds_nothing_of_the_other,
    every_hit_leads_to_its_own_page,
    an_ambiguity_names_the_candidates,
);
