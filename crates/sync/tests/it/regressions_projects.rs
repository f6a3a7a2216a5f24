//! Projects that are deleted, made anew, or hidden behind a name that another one has now.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use annals_net_adapter::{Cx, on_every_host};

use crate::review_support::{Mirror, issue, project};

on_every_host!(
    a_project_made_anew_under_its_path_is_a_new_project,
    a_project_that_is_gone_stays_gone_where_nobody_took_its_path,
);

const PROJECTS: &str = "SELECT native_id || ' ' || state || ' ' || tracked FROM projects ORDER BY id";

async fn a_project_made_anew_under_its_path_is_a_new_project(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    mirror.sync(&cx).await.unwrap();
    {
        let mut contents = mirror.forge.contents();
        contents.objects.remove("7");
        for key in ["8", "g%2Fp"] {
            contents.objects.insert(key.to_owned(), project(8, "g/p"));
        }
    }
    let mut other = issue(1, "2023-02-01T00:00:00Z");
    other["id"] = 901.into();
    mirror.set("issues", vec![other]);
    let result = mirror.sync(&cx).await.unwrap();
    assert_eq!(result.projects[0].path, "g/p");
    assert_eq!(mirror.texts(&cx, PROJECTS).await, ["7 missing 0", "8 active 1"]);
    // Nothing is merged by name, and nothing of the old one is marked.
    let issues = "SELECT p.native_id || ' ' || i.native_id || ' ' || coalesce(i.gone_at, 'here')
                  FROM issues i JOIN projects p ON p.id = i.project_id ORDER BY i.id";
    assert_eq!(mirror.texts(&cx, issues).await, ["7 101 here", "8 901 here"]);
    mirror.forge.contents().log.clear();
    mirror.sync(&cx).await.unwrap();
    let asked = mirror.forge.contents().log.join("\n");
    assert!(!asked.contains("projects/7") && !asked.contains("g%2Fp"), "{asked}");
}

async fn a_project_that_is_gone_stays_gone_where_nobody_took_its_path(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    mirror.sync(&cx).await.unwrap();
    for key in ["7", "g%2Fp"] {
        mirror.forge.contents().objects.remove(key);
    }
    mirror.forge.contents().log.clear();
    let error = mirror.sync(&cx).await.unwrap_err();
    assert_eq!(error.code().as_str(), "not_found_remote");
    assert_eq!(mirror.texts(&cx, PROJECTS).await, ["7 missing 1"]);
    assert_eq!(
        mirror.forge.contents().log.len(),
        2,
        "by its id and by its path, once each"
    );
}
