//! The dump of a database in the words of the model.
//!
//! Every query binds the local id of the project as `?1` and returns lines in no order. The
//! queries name tables and columns of the content schema and nothing else of the product.

use super::Section;

/// Finds the local id to bind, from the forge's id of the project as text.
pub const PROJECT: &str = "SELECT id FROM projects WHERE native_id = ?1";

/// Counts what is still owed, quarantined, or waiting to be indexed or embedded: a finished mirror has 0. Binds as the queries do.
pub const OWED: &str = "SELECT
    (SELECT count(*) FROM dependent_jobs WHERE project_id = ?1 AND status <> 'done')
  + (SELECT count(*) FROM quarantine WHERE project_id = ?1 AND resolved_at IS NULL)
  + (SELECT count(*) FROM dirty_sources)
  + (SELECT count(*) FROM embedding_owed)";

/// The query that writes the lines of a section.
#[must_use]
pub const fn query(section: Section) -> &'static str {
    match section {
        Section::Projects => PROJECTS,
        Section::Users => USERS,
        Section::Labels => LABELS,
        Section::Milestones => MILESTONES,
        Section::Issues => ISSUES,
        Section::MergeRequests => MERGE_REQUESTS,
        Section::Discussions => DISCUSSIONS,
        Section::Notes => NOTES,
        Section::Positions => POSITIONS,
        Section::Events => EVENTS,
        Section::References => REFERENCES,
        Section::Versions => VERSIONS,
        Section::Commits => COMMITS,
        Section::Files => FILES,
    }
}

/// The dump of one project. `lines` runs a query with the project's local id bound and returns its
/// one text column:
///
/// ```text
/// let id: i64 = db.query_row(sql::PROJECT, ["4200017"], |row| row.get(0))?;
/// let found = sql::dump(|query| db.prepare(query)?.query_map([id], |row| row.get(0))?.collect())?;
/// ```
///
/// # Errors
/// Whatever `lines` returns.
pub fn dump<E>(mut lines: impl FnMut(&'static str) -> Result<Vec<String>, E>) -> Result<String, E> {
    let mut text = String::new();
    for section in Section::ALL {
        super::write_section(&mut text, section, lines(query(section))?);
    }
    Ok(text)
}

const PROJECTS: &str = "
SELECT json_array(native_id, path, coalesce(description, ''), default_branch, visibility, archived, web_url, created_at)
  FROM projects WHERE id = ?1";

// The entity that something hangs under: its kind and number, and that the forge still shows it.
macro_rules! parent {
    ($alias:literal) => {
        concat!(
            " LEFT JOIN issues i ON i.id = ",
            $alias,
            ".issue_id",
            " LEFT JOIN merge_requests r ON r.id = ",
            $alias,
            ".mr_id",
            " WHERE ",
            $alias,
            ".project_id = ?1 AND ",
            $alias,
            ".gone_at IS NULL",
            " AND i.gone_at IS NULL AND r.gone_at IS NULL"
        )
    };
}

const USERS: &str = concat!(
    "WITH issue(id) AS (SELECT id FROM issues WHERE project_id = ?1 AND gone_at IS NULL),
    mr(id) AS (SELECT id FROM merge_requests WHERE project_id = ?1 AND gone_at IS NULL),
    talk(id) AS (SELECT d.id FROM discussions d",
    parent!("d"),
    " AND d.missing_since IS NULL),
    named(id) AS (
      SELECT author_id FROM issues JOIN issue USING (id)
      UNION SELECT closed_by_id FROM issues JOIN issue USING (id)
      UNION SELECT author_id FROM merge_requests JOIN mr USING (id)
      UNION SELECT closed_by_id FROM merge_requests JOIN mr USING (id)
      UNION SELECT merged_by_id FROM merge_requests JOIN mr USING (id)
      UNION SELECT user_id FROM issue_assignees JOIN issue ON issue.id = issue_id
      UNION SELECT user_id FROM mr_assignees JOIN mr ON mr.id = mr_id
      UNION SELECT user_id FROM mr_reviewers JOIN mr ON mr.id = mr_id
      UNION SELECT resolved_by_id FROM discussions JOIN talk USING (id)
      UNION SELECT author_id FROM notes JOIN talk ON talk.id = discussion_id
       WHERE gone_at IS NULL AND missing_since IS NULL
      UNION SELECT e.actor_id FROM resource_events e",
    parent!("e"),
    ")
    SELECT json_array(native_id, username, display_name, kind, web_url) FROM users JOIN named USING (id)"
);

const LABELS: &str = "
SELECT json_array(native_id, name, color, coalesce(description, ''))
  FROM labels WHERE project_id = ?1 AND gone_at IS NULL";

const MILESTONES: &str = "
SELECT json_array(native_id, iid, title, coalesce(description, ''), state, start_at, due_at)
  FROM milestones WHERE project_id = ?1 AND gone_at IS NULL";

const ISSUES: &str = "
SELECT json_array(i.iid, i.native_id, i.title, i.body, i.state, i.confidential, i.locked,
    (SELECT native_id FROM users u WHERE u.id = i.author_id),
    (SELECT native_id FROM milestones m WHERE m.id = i.milestone_id),
    (SELECT native_id FROM users u WHERE u.id = i.closed_by_id),
    i.created_at, i.updated_at, i.closed_at, i.due_at, i.web_url,
    json((SELECT json_group_array(native_id ORDER BY native_id)
            FROM issue_labels x JOIN labels l ON l.id = x.label_id WHERE x.issue_id = i.id)),
    json((SELECT json_group_array(native_id ORDER BY native_id)
            FROM issue_assignees x JOIN users u ON u.id = x.user_id WHERE x.issue_id = i.id)),
    i.issue_type)
  FROM issues i WHERE i.project_id = ?1 AND i.gone_at IS NULL";

const MERGE_REQUESTS: &str = "
SELECT json_array(r.iid, r.native_id, r.title, r.body, r.state, r.confidential, r.locked,
    (SELECT native_id FROM users u WHERE u.id = r.author_id),
    (SELECT native_id FROM milestones m WHERE m.id = r.milestone_id),
    (SELECT native_id FROM users u WHERE u.id = r.closed_by_id),
    r.created_at, r.updated_at, r.closed_at, r.due_at, r.web_url,
    json((SELECT json_group_array(native_id ORDER BY native_id)
            FROM mr_labels x JOIN labels l ON l.id = x.label_id WHERE x.mr_id = r.id)),
    json((SELECT json_group_array(native_id ORDER BY native_id)
            FROM mr_assignees x JOIN users u ON u.id = x.user_id WHERE x.mr_id = r.id)),
    r.draft, r.source_branch, r.target_branch, r.source_project, r.head_oid, r.base_oid, r.start_oid,
    r.merge_commit_oid, r.squash_oid, r.merged_at,
    (SELECT native_id FROM users u WHERE u.id = r.merged_by_id),
    json((SELECT json_group_array(native_id ORDER BY native_id)
            FROM mr_reviewers x JOIN users u ON u.id = x.user_id WHERE x.mr_id = r.id)),
    r.detail, r.files)
  FROM merge_requests r WHERE r.project_id = ?1 AND r.gone_at IS NULL";

const DISCUSSIONS: &str = concat!(
    "SELECT json_array(iif(d.issue_id IS NULL, 'merge_request', 'issue'), coalesce(i.iid, r.iid), d.native_id, d.kind,
        d.resolvable, d.resolved, (SELECT native_id FROM users u WHERE u.id = d.resolved_by_id), d.resolved_at,
        d.first_note_at, d.last_note_at) FROM discussions d",
    parent!("d"),
    " AND d.missing_since IS NULL"
);

const NOTES: &str = concat!(
    "SELECT json_array(n.native_id, d.native_id,
        row_number() OVER (PARTITION BY n.discussion_id ORDER BY n.position) - 1,
        (SELECT native_id FROM users u WHERE u.id = n.author_id), n.body, n.kind, n.system, n.internal,
        n.created_at, n.updated_at) FROM notes n JOIN discussions d ON d.id = n.discussion_id",
    parent!("d"),
    " AND d.missing_since IS NULL AND n.gone_at IS NULL AND n.missing_since IS NULL"
);

const POSITIONS: &str = concat!(
    "SELECT json_array(n.native_id, p.old_path, p.new_path, p.old_line, p.new_line, p.start_line, p.side,
        p.base_oid, p.start_oid, p.head_oid)
      FROM diff_note_positions p JOIN notes n ON n.id = p.note_id JOIN discussions d ON d.id = n.discussion_id",
    parent!("d"),
    " AND d.missing_since IS NULL AND n.gone_at IS NULL AND n.missing_since IS NULL"
);

const EVENTS: &str = concat!(
    "SELECT json_array(iif(e.issue_id IS NULL, 'merge_request', 'issue'), coalesce(i.iid, r.iid), e.kind, e.native_id,
        e.action, iif(e.kind = 'state', NULL, e.subject), (SELECT native_id FROM users u WHERE u.id = e.actor_id),
        e.created_at, e.origin) FROM resource_events e",
    parent!("e")
);

const REFERENCES: &str = "
SELECT json_array(x.source_kind, r.iid, x.kind, x.target_path, x.target_kind, x.target_iid)
  FROM entity_references x JOIN merge_requests r ON r.id = x.source_id
 WHERE x.project_id = ?1 AND x.source_kind = 'merge_request' AND x.kind = 'closes' AND r.gone_at IS NULL";

const VERSIONS: &str = "
SELECT json_array(r.iid, v.head_oid, v.base_oid, v.start_oid)
  FROM mr_versions v JOIN merge_requests r ON r.id = v.mr_id
 WHERE r.project_id = ?1 AND r.gone_at IS NULL
   AND v.version = (SELECT max(version) FROM mr_versions w WHERE w.mr_id = v.mr_id)";

const COMMITS: &str = "
SELECT json_array(r.iid, row_number() OVER (PARTITION BY x.mr_id ORDER BY x.position) - 1, c.oid, c.title, c.message,
    c.author_name, c.author_email, c.author_at, c.committer_at, json(c.parents))
  FROM mr_commits x JOIN commits c ON c.id = x.commit_id JOIN merge_requests r ON r.id = x.mr_id
 WHERE r.project_id = ?1 AND r.gone_at IS NULL AND x.to_at IS NULL";

const FILES: &str = "
SELECT json_array(r.iid, f.old_path, f.new_path, f.change, coalesce(f.additions, 0), coalesce(f.deletions, 0),
    f.binary, f.too_large)
  FROM mr_file_changes f JOIN merge_requests r ON r.id = f.mr_id
 WHERE r.project_id = ?1 AND r.gone_at IS NULL AND f.to_at IS NULL";
