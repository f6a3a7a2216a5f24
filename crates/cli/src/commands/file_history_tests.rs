use super::*;

fn told(commits: u64, notes: u64) -> Diagnostic {
    let typed = Typed {
        merged: " --merged",
        others: " -n 5".to_owned(),
        as_of: String::new(),
    };
    let finding = FileFinding::OnlyNamed {
        commits,
        notes,
        merge_requests: 0,
    };
    Diagnostic::of(&finding, "group/app", "src/x", &typed)
}

#[test]
fn the_next_step_of_a_path_that_is_only_named_finds_what_names_it() {
    assert_eq!(
        told(0, 2).actions,
        ["annals file-history src/x -p group/app -n 5 --discussions"],
        "what is merged names nothing"
    );
}

#[test]
fn a_path_that_nothing_names_any_more_is_told_without_an_empty_list() {
    let diagnostic = told(0, 0);
    assert_eq!(diagnostic.message, "no merge request of group/app touches `src/x`");
    assert!(diagnostic.actions.is_empty());
}
