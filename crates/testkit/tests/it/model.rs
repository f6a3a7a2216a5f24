//! The model, the API and the SQL agree: a naive mirror, filled from the API's answers alone,
//! dumps to exactly the expected text.

use crate::mirror::Mirror;
use annals_testkit::forge::model::{self, Section, expected_counts, expected_dump, expected_dump_for};
use annals_testkit::forge::project::Secrecy;
use annals_testkit::forge::{Access, GenSpec, Key, Policy, State, Viewer, sample};

#[test]
fn a_mirror_filled_from_the_api_equals_the_model() {
    for seed in 0..3 {
        let state = State::generated(GenSpec::new(seed).sized(150, 90));
        assert_mirror(&state, &Policy::default(), Viewer::Member);
    }
}

#[test]
fn the_sample_project_equals_its_model() {
    assert_mirror(&sample().unwrap(), &Policy::default(), Viewer::Member);
}

#[test]
fn edits_reach_api_and_model_alike() {
    let mut state = State::generated(GenSpec::new(9).sized(40, 20));
    let before = expected_dump(&state);
    let note = state.add_note(Key::issue(3), 4, "One more thing.");
    state.add_note(Key::mr(2), 5, "And another.");
    state.rewrite_note(Key::issue(3), note, "One thing less.");
    state.retitle(Key::issue(1), "Another title");
    state.delete(Key::issue(7));
    state.push(5).unwrap();
    state.rename_label(0, "defect");
    state.touch_together(&[Key::issue(2), Key::issue(9), Key::mr(4)]);
    state.add_issue(3, "A new one", "With a body.");
    assert_ne!(expected_dump(&state), before);
    assert_mirror(&state, &Policy::default(), Viewer::Member);
}

#[test]
fn a_stranger_sees_neither_confidential_issues_nor_internal_notes() {
    let state = State::generated(GenSpec::new(4).sized(200, 60));
    let policy = Policy {
        access: Access::TokenForMembers("secret".to_owned()),
        ..Policy::default()
    };
    assert_mirror(&state, &policy, Viewer::Anonymous);
    let hidden = state
        .keys()
        .filter(|key| state.head(*key).unwrap().secrecy == Secrecy::Members)
        .count();
    assert!(hidden > 0);
    let (all, public) = (
        expected_counts(&state, Viewer::Member),
        expected_counts(&state, Viewer::Anonymous),
    );
    assert_eq!(all[&Section::Issues] - public[&Section::Issues], hidden);
}

#[test]
fn the_first_difference_names_its_section() {
    let state = State::generated(GenSpec::new(1).sized(5, 5));
    let good = expected_dump(&state);
    assert_eq!(model::first_difference(&good, &good), None);
    let bad = good.replace("\"human\"", "\"bot\"");
    assert!(model::first_difference(&good, &bad).unwrap().starts_with("in == users"));
}

fn assert_mirror(state: &State, policy: &Policy, viewer: Viewer) {
    let mirror = Mirror::fill(state, policy);
    let expected = expected_dump_for(state, viewer);
    if let Some(difference) = model::first_difference(&expected, &mirror.dump(state)) {
        panic!("{difference}");
    }
    assert_eq!(mirror.owed(), 0);
}
