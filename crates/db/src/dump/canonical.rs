//! The queries of the canonical dump. Columns that hold when we looked (`gone_at`, `missing_since`,
//! `until_at`, `seen_at`) become whether it is so; a revision that holds since it was observed says
//! just that.

/// Comes before each query: projects by the name of their forge and their native id.
pub(super) const KEYED: &str = "WITH keyed AS (SELECT p.id, f.name || ' ' || p.native_id AS native_id
                                FROM projects p JOIN forges f ON f.id = p.forge_id) ";

/// Name and query of each kind of row.
pub(super) const QUERIES: [(&str, &str); 28] = [
    ("forge", "SELECT name, kind, base_url, api_url, server_version, capabilities FROM forges ORDER BY name"),
    (
        "project",
        "SELECT f.name AS forge, p.native_id, p.path, p.title, p.description, p.default_branch, p.visibility,
                p.archived, p.web_url, p.tracked, p.state, m.native_id AS moved_to, p.created_at, p.updated_at
         FROM projects p JOIN forges f ON f.id = p.forge_id LEFT JOIN projects m ON m.id = p.moved_to_id
         ORDER BY 1, 2",
    ),
    (
        "project_path",
        "SELECT f.name AS forge, p.native_id, o.path_folded
         FROM project_paths o JOIN projects p ON p.id = o.project_id JOIN forges f ON f.id = p.forge_id
         ORDER BY 1, 2, 3",
    ),
    (
        "user",
        "SELECT f.name AS forge, u.native_id, u.username, u.display_name, u.kind, u.web_url
         FROM users u JOIN forges f ON f.id = u.forge_id ORDER BY 1, 2",
    ),
    (
        "label",
        "SELECT p.native_id AS project, l.native_id, l.name, l.color, l.description, l.gone_at IS NOT NULL AS gone,
                l.missing_since IS NOT NULL AS missing
         FROM labels l JOIN keyed p ON p.id = l.project_id ORDER BY 1, 2",
    ),
    (
        "milestone",
        "SELECT p.native_id AS project, m.native_id, m.iid, m.title, m.description, m.state, m.start_at, m.due_at,
                m.gone_at IS NOT NULL AS gone, m.missing_since IS NOT NULL AS missing
         FROM milestones m JOIN keyed p ON p.id = m.project_id ORDER BY 1, 2",
    ),
    (
        "issue",
        "SELECT p.native_id AS project, e.iid, e.native_id, e.title, e.body, e.state, e.state_reason, e.issue_type,
                e.confidential, e.locked, a.native_id AS author, m.native_id AS milestone, c.native_id AS closed_by,
                e.created_at, e.updated_at, e.closed_at, e.due_at, e.web_url, e.moved_to,
                e.gone_at IS NOT NULL AS gone, e.gone_reason, e.flags
         FROM issues e JOIN keyed p ON p.id = e.project_id JOIN users a ON a.id = e.author_id
         LEFT JOIN milestones m ON m.id = e.milestone_id LEFT JOIN users c ON c.id = e.closed_by_id
         ORDER BY 1, 2",
    ),
    (
        "merge_request",
        "SELECT p.native_id AS project, e.iid, e.native_id, e.title, e.body, e.state, e.state_reason, e.issue_type,
                e.confidential, e.locked, a.native_id AS author, m.native_id AS milestone, c.native_id AS closed_by,
                e.created_at, e.updated_at, e.closed_at, e.due_at, e.web_url, e.moved_to,
                e.gone_at IS NOT NULL AS gone, e.gone_reason, e.flags, e.draft, e.source_branch, e.target_branch,
                e.source_project, e.head_oid, e.base_oid, e.start_oid, e.merge_commit_oid, e.squash_oid, e.merged_at,
                b.native_id AS merged_by, e.detail, e.files
         FROM merge_requests e JOIN keyed p ON p.id = e.project_id JOIN users a ON a.id = e.author_id
         LEFT JOIN milestones m ON m.id = e.milestone_id LEFT JOIN users c ON c.id = e.closed_by_id
         LEFT JOIN users b ON b.id = e.merged_by_id
         ORDER BY 1, 2",
    ),
    (
        "issue_label",
        "SELECT p.native_id AS project, e.iid, l.native_id AS label
         FROM issue_labels k JOIN issues e ON e.id = k.issue_id JOIN keyed p ON p.id = e.project_id
         JOIN labels l ON l.id = k.label_id ORDER BY 1, 2, 3",
    ),
    (
        "mr_label",
        "SELECT p.native_id AS project, e.iid, l.native_id AS label
         FROM mr_labels k JOIN merge_requests e ON e.id = k.mr_id JOIN keyed p ON p.id = e.project_id
         JOIN labels l ON l.id = k.label_id ORDER BY 1, 2, 3",
    ),
    (
        "issue_assignee",
        "SELECT p.native_id AS project, e.iid, u.native_id AS user
         FROM issue_assignees k JOIN issues e ON e.id = k.issue_id JOIN keyed p ON p.id = e.project_id
         JOIN users u ON u.id = k.user_id ORDER BY 1, 2, 3",
    ),
    (
        "mr_assignee",
        "SELECT p.native_id AS project, e.iid, u.native_id AS user
         FROM mr_assignees k JOIN merge_requests e ON e.id = k.mr_id JOIN keyed p ON p.id = e.project_id
         JOIN users u ON u.id = k.user_id ORDER BY 1, 2, 3",
    ),
    (
        "mr_reviewer",
        "SELECT p.native_id AS project, e.iid, u.native_id AS user, k.state
         FROM mr_reviewers k JOIN merge_requests e ON e.id = k.mr_id JOIN keyed p ON p.id = e.project_id
         JOIN users u ON u.id = k.user_id ORDER BY 1, 2, 3",
    ),
    (
        "discussion",
        "SELECT p.native_id AS project, i.iid AS issue, m.iid AS mr, d.native_id, d.kind, d.resolvable, d.resolved,
                r.native_id AS resolved_by, d.resolved_at, d.first_note_at, d.last_note_at,
                d.gone_at IS NOT NULL AS gone, d.missing_since IS NOT NULL AS missing
         FROM discussions d JOIN keyed p ON p.id = d.project_id LEFT JOIN issues i ON i.id = d.issue_id
         LEFT JOIN merge_requests m ON m.id = d.mr_id LEFT JOIN users r ON r.id = d.resolved_by_id
         ORDER BY 1, 2, 3, 4",
    ),
    (
        "note",
        "SELECT p.native_id AS project, n.native_id, d.native_id AS discussion, n.position, a.native_id AS author, n.body,
                n.kind, n.system, n.internal, n.created_at, n.updated_at, n.gone_at IS NOT NULL AS gone,
                n.missing_since IS NOT NULL AS missing, n.flags, o.old_path, o.new_path, o.old_line, o.new_line,
                o.start_line, o.side, o.base_oid, o.start_oid, o.head_oid, o.outdated, o.hunk
         FROM notes n JOIN keyed p ON p.id = n.project_id JOIN discussions d ON d.id = n.discussion_id
         JOIN users a ON a.id = n.author_id LEFT JOIN diff_note_positions o ON o.note_id = n.id
         ORDER BY 1, 2",
    ),
    (
        "event",
        "SELECT p.native_id AS project, e.kind, e.native_id, i.iid AS issue, m.iid AS mr, e.action, e.subject,
                a.native_id AS actor, e.created_at, e.origin, e.gone_at IS NOT NULL AS gone
         FROM resource_events e JOIN keyed p ON p.id = e.project_id JOIN users a ON a.id = e.actor_id
         LEFT JOIN issues i ON i.id = e.issue_id LEFT JOIN merge_requests m ON m.id = e.mr_id
         ORDER BY 1, 2, 3",
    ),
    (
        "reference",
        "SELECT p.native_id AS project, r.source_kind, coalesce(i.native_id, m.native_id, n.native_id) AS source, r.kind,
                r.target_path, r.target_kind, r.target_iid
         FROM entity_references r JOIN keyed p ON p.id = r.project_id
         LEFT JOIN issues i ON r.source_kind = 'issue' AND i.id = r.source_id
         LEFT JOIN merge_requests m ON r.source_kind = 'merge_request' AND m.id = r.source_id
         LEFT JOIN notes n ON r.source_kind = 'note' AND n.id = r.source_id
         ORDER BY 1, 2, 3, 4, 5, 6, 7",
    ),
    (
        "commit",
        "SELECT p.native_id AS project, c.oid, c.title, c.message, c.author_name, c.author_email, c.author_at,
                c.committer_at, c.parents
         FROM commits c JOIN keyed p ON p.id = c.project_id ORDER BY 1, 2",
    ),
    (
        "mr_version",
        "SELECT p.native_id AS project, e.iid, v.version, v.head_oid, v.base_oid, v.start_oid, v.files
         FROM mr_versions v JOIN merge_requests e ON e.id = v.mr_id JOIN keyed p ON p.id = e.project_id
         ORDER BY 1, 2, 3",
    ),
    (
        "mr_commit",
        "SELECT p.native_id AS project, e.iid, k.position, c.oid, k.from_at, k.to_at
         FROM mr_commits k JOIN merge_requests e ON e.id = k.mr_id JOIN keyed p ON p.id = e.project_id
         JOIN commits c ON c.id = k.commit_id ORDER BY 1, 2, 3, 5, 4",
    ),
    (
        "mr_file",
        "SELECT p.native_id AS project, e.iid, k.new_path, k.old_path, k.change, k.additions, k.deletions, k.binary,
                k.too_large, k.patch_hash, k.from_at, k.to_at
         FROM mr_file_changes k JOIN merge_requests e ON e.id = k.mr_id JOIN keyed p ON p.id = e.project_id
         ORDER BY 1, 2, 3, 4, 11, 12",
    ),
    (
        "commit_file",
        "SELECT p.native_id AS project, c.oid, k.new_path, k.old_path, k.change, k.similarity, k.additions, k.deletions
         FROM commit_file_changes k JOIN commits c ON c.id = k.commit_id JOIN keyed p ON p.id = c.project_id
         ORDER BY 1, 2, 3, 4",
    ),
    (
        "ref",
        "SELECT p.native_id AS project, r.name, r.kind, r.oid, r.from_at, r.to_at
         FROM refs r JOIN keyed p ON p.id = r.project_id ORDER BY 1, 2, 5, 6",
    ),
    (
        "revision",
        "SELECT coalesce(sp.native_id, ip.native_id, mp.native_id, dp.native_id, np.native_id, lp.native_id,
                         tp.native_id) AS project,
                r.subject_kind, coalesce(si.native_id, sm.native_id, sd.native_id, sn.native_id, sl.native_id,
                                         st.native_id) AS subject,
                coalesce(di.iid, -dm.iid) AS parent, r.seq, r.op,
                CASE WHEN r.valid_from = r.observed_at THEN 'observed' ELSE r.valid_from END AS valid_from,
                r.payload_hash, r.state_hash, r.projection
         FROM revisions r
         LEFT JOIN keyed sp ON r.subject_kind = 'project' AND sp.id = r.subject_id
         LEFT JOIN issues si ON r.subject_kind = 'issue' AND si.id = r.subject_id
         LEFT JOIN keyed ip ON ip.id = si.project_id
         LEFT JOIN merge_requests sm ON r.subject_kind = 'merge_request' AND sm.id = r.subject_id
         LEFT JOIN keyed mp ON mp.id = sm.project_id
         LEFT JOIN discussions sd ON r.subject_kind = 'discussion' AND sd.id = r.subject_id
         LEFT JOIN keyed dp ON dp.id = sd.project_id
         LEFT JOIN issues di ON di.id = sd.issue_id LEFT JOIN merge_requests dm ON dm.id = sd.mr_id
         LEFT JOIN notes sn ON r.subject_kind = 'note' AND sn.id = r.subject_id
         LEFT JOIN keyed np ON np.id = sn.project_id
         LEFT JOIN labels sl ON r.subject_kind = 'label' AND sl.id = r.subject_id
         LEFT JOIN keyed lp ON lp.id = sl.project_id
         LEFT JOIN milestones st ON r.subject_kind = 'milestone' AND st.id = r.subject_id
         LEFT JOIN keyed tp ON tp.id = st.project_id
         ORDER BY 1, 2, 3, 4, 5",
    ),
    (
        "document",
        "SELECT doc_key, title, body, meta, state, created_at, updated_at, content_hash, flags FROM documents ORDER BY 1",
    ),
    (
        "embedding",
        "SELECT d.doc_key, s.provider, s.model, s.dims, s.chunking, s.active, e.chunk, e.content_hash, e.vector
         FROM embeddings e JOIN documents d ON d.id = e.document_id JOIN embedding_sets s ON s.id = e.set_id
         ORDER BY 1, 2, 3, 4, 5, 7",
    ),
    (
        "owed",
        "SELECT p.native_id AS project, c.stream AS what, c.pass AS kind, c.tie_id AS item, c.at, c.floor_at
         FROM cursors c JOIN keyed p ON p.id = c.project_id
         UNION ALL
         SELECT p.native_id, j.job_type, j.entity_type, j.iid, j.cause_at, j.scope_run_id IS NOT NULL
         FROM dependent_jobs j JOIN keyed p ON p.id = j.project_id WHERE j.status IN ('pending', 'claimed')
         UNION ALL
         SELECT p.native_id, 'set ' || s.job_type, s.entity_type, coalesce(i.iid, m.iid), s.cause_at, s.items
         FROM dependent_sets s LEFT JOIN issues i ON s.entity_type = 'issue' AND i.id = s.entity_id
         LEFT JOIN merge_requests m ON s.entity_type = 'merge_request' AND m.id = s.entity_id
         JOIN keyed p ON p.id = coalesce(i.project_id, m.project_id)
         UNION ALL
         SELECT DISTINCT NULL, 'dirty', d.source_kind,
                coalesce(i.native_id, m.native_id, s.native_id, c.oid), NULL, NULL
         FROM dirty_sources d LEFT JOIN issues i ON d.source_kind = 'issue' AND i.id = d.source_id
         LEFT JOIN merge_requests m ON d.source_kind = 'merge_request' AND m.id = d.source_id
         LEFT JOIN discussions s ON d.source_kind = 'discussion' AND s.id = d.source_id
         LEFT JOIN commits c ON d.source_kind = 'commit' AND c.id = d.source_id
         UNION ALL
         SELECT p.native_id, 'vectors', s.provider || ' ' || s.model, d.doc_key, NULL, o.anew
         FROM embedding_owed o JOIN embedding_sets s ON s.id = o.set_id JOIN documents d ON d.id = o.document_id
         JOIN keyed p ON p.id = d.project_id
         ORDER BY 1, 2, 3, 4",
    ),
    (
        "quarantine",
        "SELECT p.native_id AS project, q.stream, q.native_ref, q.payload_hash, q.code, q.message,
                q.resolved_at IS NOT NULL AS resolved
         FROM quarantine q JOIN keyed p ON p.id = q.project_id ORDER BY 1, 2, 3, 4",
    ),
];
