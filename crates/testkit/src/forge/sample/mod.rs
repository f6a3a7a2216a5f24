//! The small project that `annals demo` mirrors: a year of an invented search server.
//!
//! The stories are text files in this folder, in the form that `parse` describes; they tell of
//! bugs, reviews, renames and releases, so that a search, a thread and a file history have
//! something to show. The project, its people and every word are made up. The bytes never change
//! by themselves: what a test or a transcript shows today it shows tomorrow.

mod finish;
mod parse;
mod words;

use annals_core::UnixMs;

use super::calendar::{DAY, HOUR, date};
use super::project::{Label, Milestone, MilestoneState, Project, User, UserKind};
use super::state::State;

const STORIES: [&str; 4] = [
    include_str!("1-first-steps.txt"),
    include_str!("2-cutover.txt"),
    include_str!("3-summer.txt"),
    include_str!("4-autumn.txt"),
];

/// The path of the sample project.
pub const SAMPLE_PATH: &str = "annals-sample/tidewater";

/// The forge with the sample project in it.
///
/// # Errors
/// The line of a story that could not be read, which only an edit of the stories can bring about.
pub fn sample() -> Result<State, parse::BadStory> {
    let project = project();
    let mut entities = Vec::new();
    for story in STORIES {
        entities.extend(parse::parse(&project, story)?);
    }
    Ok(State::curated(
        project,
        entities,
        UnixMs(date(2024, 11, 18).0 + 9 * HOUR),
    ))
}

pub use parse::BadStory;

fn project() -> Project {
    let people = [
        ("ghost", "Ghost User", UserKind::Ghost),
        ("project_4711001_bot_5a1e", "Release Bot", UserKind::Bot),
        ("maintainer-one", "Maintainer One", UserKind::Human),
        ("dev-one", "Developer One", UserKind::Human),
        ("dev-two", "Developer Two", UserKind::Human),
        ("dev-three", "Developer Three", UserKind::Human),
        ("reviewer-one", "Reviewer One", UserKind::Human),
        ("operator-one", "Operator One", UserKind::Human),
        ("writer-one", "Writer One", UserKind::Human),
        ("newcomer-one", "Newcomer One", UserKind::Human),
    ];
    let labels = [
        ("accessibility", "#6699cc", Some("The page for everybody")),
        ("api", "#4466aa", None),
        ("bug", "#d9534f", Some("It does something else than it says")),
        ("cli", "#8899aa", None),
        ("configuration", "#99aa88", None),
        ("dependencies", "#aaaaaa", None),
        ("documentation", "#5cb85c", Some("Words, not code")),
        ("feature", "#428bca", Some("Something new")),
        (
            "good first issue",
            "#7057ff",
            Some("Small, clear, and somebody will help"),
        ),
        ("network", "#aa6644", None),
        ("operations", "#664488", Some("Running it")),
        ("performance", "#f0ad4e", Some("Time, memory, disk")),
        ("priority::high", "#b60205", Some("Before the next release")),
        ("question", "#d876e3", None),
        ("release", "#0e8a16", None),
        ("search", "#1d76db", Some("Index, query, ranking")),
        ("security", "#000000", None),
        ("tests", "#bfd4f2", None),
        ("wontfix", "#ffffff", None),
    ];
    let releases = [(1, 2, 5), (2, 4, 2), (3, 6, 1), (4, 8, 24), (5, 12, 20)];
    Project {
        id: 4_711_001,
        path: SAMPLE_PATH.to_owned(),
        name: "Tidewater".to_owned(),
        description: "A small search server that rebuilds its index without stopping. Invented for demonstrations."
            .to_owned(),
        default_branch: "main".to_owned(),
        created_at: date(2024, 1, 2),
        external_url: "https://forge.example".to_owned(),
        users: people
            .iter()
            .zip(101..)
            .map(|((username, name, kind), id)| User {
                id,
                username: (*username).to_owned(),
                name: (*name).to_owned(),
                kind: *kind,
            })
            .collect(),
        labels: labels
            .iter()
            .zip(501..)
            .map(|((name, color, description), id)| Label {
                id,
                name: (*name).to_owned(),
                color: (*color).to_owned(),
                description: description.map(str::to_owned),
            })
            .collect(),
        milestones: releases
            .iter()
            .map(|(number, month, day)| release(*number, date(2024, *month, *day)))
            .collect(),
        old_paths: Vec::new(),
    }
}

fn release(number: i64, due: UnixMs) -> Milestone {
    let open = number == 5;
    let created_at = UnixMs(due.0 - 70 * DAY);
    Milestone {
        id: 60 + number,
        iid: number,
        title: format!("0.{number}"),
        description: format!("Release 0.{number}"),
        state: if open {
            MilestoneState::Active
        } else {
            MilestoneState::Closed
        },
        start: Some(UnixMs(due.0 - 60 * DAY)),
        due: Some(due),
        created_at,
        updated_at: if open { created_at } else { due },
    }
}
