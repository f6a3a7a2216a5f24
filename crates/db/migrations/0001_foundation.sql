-- The content store, the control plane and the work tables.
--
-- Times are milliseconds since 1970, UTC. `changed_seq` is the commit that last changed a row.
-- `gone_at` marks what the forge no longer shows; nothing that was mirrored is deleted.
-- A column that references another table leads an index, so that checking it never scans.

CREATE TABLE store (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    content_seq INTEGER NOT NULL
) STRICT;
INSERT INTO store (id, content_seq) VALUES (1, 0);

-- Who has the file open for writing. A row without a living owner means an unclean end.
CREATE TABLE store_openers (
    token         TEXT PRIMARY KEY,
    host          TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    process_start INTEGER NOT NULL,
    opened_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- ── texts and their history ─────────────────────────────────────────────────────────────────

CREATE TABLE blobs (
    hash  BLOB PRIMARY KEY CHECK (length(hash) = 32),
    codec INTEGER NOT NULL CHECK (codec IN (0, 1)),
    size  INTEGER NOT NULL,
    data  BLOB NOT NULL
) STRICT;

CREATE TABLE revisions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subject_kind TEXT NOT NULL CHECK (subject_kind IN
        ('project', 'issue', 'merge_request', 'discussion', 'note', 'label', 'milestone')),
    subject_id   INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    op           TEXT NOT NULL CHECK (op IN ('first', 'changed', 'gone', 'back')),
    valid_from   INTEGER NOT NULL,
    observed_at  INTEGER NOT NULL,
    payload_hash BLOB REFERENCES blobs (hash),
    state_hash   BLOB NOT NULL REFERENCES blobs (hash),
    projection   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX revisions_by_seq ON revisions (subject_kind, subject_id, seq);
CREATE INDEX revisions_as_of ON revisions (subject_kind, subject_id, valid_from, seq);
CREATE INDEX revisions_by_payload ON revisions (payload_hash) WHERE payload_hash IS NOT NULL;
CREATE INDEX revisions_by_state ON revisions (state_hash);

-- ── forges, projects, people ────────────────────────────────────────────────────────────────

CREATE TABLE forges (
    id             INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    kind           TEXT NOT NULL CHECK (kind IN ('gitlab', 'github', 'gitea', 'forgejo', 'nip34')),
    base_url       TEXT NOT NULL UNIQUE,
    api_url        TEXT NOT NULL,
    server_version TEXT,
    capabilities   TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(capabilities))
) STRICT;

CREATE TABLE projects (
    id             INTEGER PRIMARY KEY,
    forge_id       INTEGER NOT NULL REFERENCES forges (id),
    native_id      TEXT NOT NULL,
    path           TEXT NOT NULL,
    path_folded    TEXT NOT NULL,
    title          TEXT NOT NULL,
    description    TEXT,
    default_branch TEXT,
    visibility     TEXT,
    archived       INTEGER NOT NULL CHECK (archived IN (0, 1)),
    web_url        TEXT,
    tracked        INTEGER NOT NULL CHECK (tracked IN (0, 1)),
    state          TEXT NOT NULL CHECK (state IN ('active', 'moved', 'hidden', 'missing')),
    moved_to_id    INTEGER REFERENCES projects (id),
    created_at     INTEGER,
    updated_at     INTEGER,
    revision_id    INTEGER REFERENCES revisions (id),
    changed_seq    INTEGER NOT NULL,
    UNIQUE (forge_id, native_id)
) STRICT;
CREATE UNIQUE INDEX projects_active_path ON projects (forge_id, path_folded) WHERE state = 'active';
CREATE INDEX projects_by_path ON projects (path_folded);
CREATE INDEX projects_by_move ON projects (moved_to_id) WHERE moved_to_id IS NOT NULL;
CREATE INDEX projects_by_revision ON projects (revision_id);
CREATE INDEX projects_by_change ON projects (changed_seq);

CREATE TABLE project_paths (
    project_id  INTEGER NOT NULL REFERENCES projects (id),
    path_folded TEXT NOT NULL,
    until_at    INTEGER NOT NULL,
    PRIMARY KEY (project_id, path_folded)
) STRICT, WITHOUT ROWID;
CREATE INDEX project_paths_by_path ON project_paths (path_folded, project_id);

CREATE TABLE users (
    id              INTEGER PRIMARY KEY,
    forge_id        INTEGER NOT NULL REFERENCES forges (id),
    native_id       TEXT NOT NULL,
    username        TEXT NOT NULL,
    username_folded TEXT NOT NULL,
    display_name    TEXT,
    kind            TEXT NOT NULL CHECK (kind IN ('human', 'bot', 'ghost', 'unknown')),
    web_url         TEXT,
    UNIQUE (forge_id, native_id)
) STRICT;
CREATE INDEX users_by_name ON users (forge_id, username_folded);

CREATE TABLE labels (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects (id),
    native_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    color       TEXT,
    description TEXT,
    gone_at     INTEGER,
    revision_id INTEGER REFERENCES revisions (id),
    changed_seq INTEGER NOT NULL,
    UNIQUE (project_id, native_id)
) STRICT;
CREATE INDEX labels_by_name ON labels (project_id, name_folded);
CREATE INDEX labels_by_revision ON labels (revision_id);
CREATE INDEX labels_by_change ON labels (changed_seq);

CREATE TABLE milestones (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects (id),
    native_id   TEXT NOT NULL,
    iid         INTEGER,
    title       TEXT NOT NULL,
    description TEXT,
    state       TEXT CHECK (state IN ('active', 'closed', 'other')),
    start_at    INTEGER,
    due_at      INTEGER,
    gone_at     INTEGER,
    revision_id INTEGER REFERENCES revisions (id),
    changed_seq INTEGER NOT NULL,
    UNIQUE (project_id, native_id)
) STRICT;
CREATE INDEX milestones_by_revision ON milestones (revision_id);
CREATE INDEX milestones_by_change ON milestones (changed_seq);

-- ── entities ────────────────────────────────────────────────────────────────────────────────

CREATE TABLE issues (
    id           INTEGER PRIMARY KEY,
    project_id   INTEGER NOT NULL REFERENCES projects (id),
    native_id    TEXT NOT NULL,
    iid          INTEGER NOT NULL,
    title        TEXT NOT NULL,
    body         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('open', 'closed', 'other')),
    state_reason TEXT,
    issue_type   TEXT,
    confidential INTEGER NOT NULL CHECK (confidential IN (0, 1)),
    locked       INTEGER NOT NULL CHECK (locked IN (0, 1)),
    author_id    INTEGER NOT NULL REFERENCES users (id),
    milestone_id INTEGER REFERENCES milestones (id),
    closed_by_id INTEGER REFERENCES users (id),
    created_at   INTEGER,
    updated_at   INTEGER,
    closed_at    INTEGER,
    due_at       INTEGER,
    web_url      TEXT,
    moved_to     TEXT,
    gone_at      INTEGER,
    gone_reason  TEXT CHECK (gone_reason IN ('deleted', 'missing', 'moved', 'hidden')),
    flags        INTEGER NOT NULL,
    revision_id  INTEGER REFERENCES revisions (id),
    changed_seq  INTEGER NOT NULL,
    UNIQUE (project_id, iid),
    UNIQUE (project_id, native_id)
) STRICT;
CREATE INDEX issues_by_update ON issues (project_id, updated_at, id);
CREATE INDEX issues_by_state ON issues (project_id, state, updated_at);
CREATE INDEX issues_by_author ON issues (author_id);
CREATE INDEX issues_by_milestone ON issues (milestone_id) WHERE milestone_id IS NOT NULL;
CREATE INDEX issues_by_closer ON issues (closed_by_id) WHERE closed_by_id IS NOT NULL;
CREATE INDEX issues_by_revision ON issues (revision_id);
CREATE INDEX issues_by_change ON issues (changed_seq);

CREATE TABLE merge_requests (
    id               INTEGER PRIMARY KEY,
    project_id       INTEGER NOT NULL REFERENCES projects (id),
    native_id        TEXT NOT NULL,
    iid              INTEGER NOT NULL,
    title            TEXT NOT NULL,
    body             TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('open', 'closed', 'merged', 'other')),
    state_reason     TEXT,
    issue_type       TEXT,
    confidential     INTEGER NOT NULL CHECK (confidential IN (0, 1)),
    locked           INTEGER NOT NULL CHECK (locked IN (0, 1)),
    author_id        INTEGER NOT NULL REFERENCES users (id),
    milestone_id     INTEGER REFERENCES milestones (id),
    closed_by_id     INTEGER REFERENCES users (id),
    created_at       INTEGER,
    updated_at       INTEGER,
    closed_at        INTEGER,
    due_at           INTEGER,
    web_url          TEXT,
    moved_to         TEXT,
    gone_at          INTEGER,
    gone_reason      TEXT CHECK (gone_reason IN ('deleted', 'missing', 'moved', 'hidden')),
    flags            INTEGER NOT NULL,
    draft            INTEGER NOT NULL CHECK (draft IN (0, 1)),
    source_branch    TEXT,
    target_branch    TEXT,
    source_project   TEXT,
    head_oid         TEXT,
    base_oid         TEXT,
    start_oid        TEXT,
    merge_commit_oid TEXT,
    squash_oid       TEXT,
    merged_at        INTEGER,
    merged_by_id     INTEGER REFERENCES users (id),
    detail           TEXT NOT NULL CHECK (detail IN ('pending', 'complete')),
    files            TEXT NOT NULL CHECK (files IN ('none', 'pending', 'complete', 'truncated')),
    revision_id      INTEGER REFERENCES revisions (id),
    changed_seq      INTEGER NOT NULL,
    UNIQUE (project_id, iid),
    UNIQUE (project_id, native_id)
) STRICT;
CREATE INDEX merge_requests_by_update ON merge_requests (project_id, updated_at, id);
CREATE INDEX merge_requests_by_state ON merge_requests (project_id, state, updated_at);
CREATE INDEX merge_requests_by_merge ON merge_requests (project_id, merged_at);
CREATE INDEX merge_requests_by_head ON merge_requests (project_id, head_oid);
CREATE INDEX merge_requests_by_author ON merge_requests (author_id);
CREATE INDEX merge_requests_by_milestone ON merge_requests (milestone_id) WHERE milestone_id IS NOT NULL;
CREATE INDEX merge_requests_by_closer ON merge_requests (closed_by_id) WHERE closed_by_id IS NOT NULL;
CREATE INDEX merge_requests_by_merger ON merge_requests (merged_by_id) WHERE merged_by_id IS NOT NULL;
CREATE INDEX merge_requests_by_revision ON merge_requests (revision_id);
CREATE INDEX merge_requests_by_change ON merge_requests (changed_seq);

CREATE TABLE issue_labels (
    issue_id INTEGER NOT NULL REFERENCES issues (id),
    label_id INTEGER NOT NULL REFERENCES labels (id),
    PRIMARY KEY (issue_id, label_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX issue_labels_by_label ON issue_labels (label_id, issue_id);

CREATE TABLE mr_labels (
    mr_id    INTEGER NOT NULL REFERENCES merge_requests (id),
    label_id INTEGER NOT NULL REFERENCES labels (id),
    PRIMARY KEY (mr_id, label_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mr_labels_by_label ON mr_labels (label_id, mr_id);

CREATE TABLE issue_assignees (
    issue_id INTEGER NOT NULL REFERENCES issues (id),
    user_id  INTEGER NOT NULL REFERENCES users (id),
    PRIMARY KEY (issue_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX issue_assignees_by_user ON issue_assignees (user_id, issue_id);

CREATE TABLE mr_assignees (
    mr_id   INTEGER NOT NULL REFERENCES merge_requests (id),
    user_id INTEGER NOT NULL REFERENCES users (id),
    PRIMARY KEY (mr_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mr_assignees_by_user ON mr_assignees (user_id, mr_id);

CREATE TABLE mr_reviewers (
    mr_id   INTEGER NOT NULL REFERENCES merge_requests (id),
    user_id INTEGER NOT NULL REFERENCES users (id),
    state   TEXT,
    PRIMARY KEY (mr_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mr_reviewers_by_user ON mr_reviewers (user_id, mr_id);

-- ── what hangs on an entity ─────────────────────────────────────────────────────────────────

CREATE TABLE discussions (
    id             INTEGER PRIMARY KEY,
    project_id     INTEGER NOT NULL REFERENCES projects (id),
    issue_id       INTEGER REFERENCES issues (id),
    mr_id          INTEGER REFERENCES merge_requests (id),
    native_id      TEXT NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('comment', 'thread', 'review')),
    resolvable     INTEGER NOT NULL CHECK (resolvable IN (0, 1)),
    resolved       INTEGER NOT NULL CHECK (resolved IN (0, 1)),
    resolved_by_id INTEGER REFERENCES users (id),
    resolved_at    INTEGER,
    first_note_at  INTEGER,
    last_note_at   INTEGER,
    gone_at        INTEGER,
    missing_since  INTEGER,
    revision_id    INTEGER REFERENCES revisions (id),
    changed_seq    INTEGER NOT NULL,
    CHECK ((issue_id IS NULL) <> (mr_id IS NULL)),
    UNIQUE (issue_id, native_id),
    UNIQUE (mr_id, native_id)
) STRICT;
CREATE INDEX discussions_by_project ON discussions (project_id);
CREATE INDEX discussions_by_resolver ON discussions (resolved_by_id) WHERE resolved_by_id IS NOT NULL;
CREATE INDEX discussions_by_revision ON discussions (revision_id);
CREATE INDEX discussions_by_change ON discussions (changed_seq);

CREATE TABLE notes (
    id            INTEGER PRIMARY KEY,
    discussion_id INTEGER NOT NULL REFERENCES discussions (id),
    project_id    INTEGER NOT NULL REFERENCES projects (id),
    native_id     TEXT NOT NULL,
    position      INTEGER NOT NULL,
    author_id     INTEGER NOT NULL REFERENCES users (id),
    body          TEXT NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('note', 'diff_note', 'review')),
    system        INTEGER NOT NULL CHECK (system IN (0, 1)),
    internal      INTEGER NOT NULL CHECK (internal IN (0, 1)),
    created_at    INTEGER,
    updated_at    INTEGER,
    gone_at       INTEGER,
    missing_since INTEGER,
    flags         INTEGER NOT NULL,
    revision_id   INTEGER REFERENCES revisions (id),
    changed_seq   INTEGER NOT NULL,
    UNIQUE (project_id, native_id)
) STRICT;
CREATE INDEX notes_by_discussion ON notes (discussion_id, position);
CREATE INDEX notes_by_author ON notes (author_id, created_at);
CREATE INDEX notes_by_revision ON notes (revision_id);
CREATE INDEX notes_by_change ON notes (changed_seq);

CREATE TABLE diff_note_positions (
    note_id    INTEGER PRIMARY KEY REFERENCES notes (id),
    project_id INTEGER NOT NULL REFERENCES projects (id),
    old_path   TEXT,
    new_path   TEXT,
    old_line   INTEGER,
    new_line   INTEGER,
    start_line INTEGER,
    side       TEXT CHECK (side IN ('old', 'new', 'both')),
    base_oid   TEXT,
    start_oid  TEXT,
    head_oid   TEXT,
    outdated   INTEGER NOT NULL CHECK (outdated IN (0, 1)),
    hunk       TEXT
) STRICT;
CREATE INDEX diff_note_positions_by_new_path ON diff_note_positions (project_id, new_path);
CREATE INDEX diff_note_positions_by_old_path ON diff_note_positions (project_id, old_path);

CREATE TABLE resource_events (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects (id),
    issue_id    INTEGER REFERENCES issues (id),
    mr_id       INTEGER REFERENCES merge_requests (id),
    native_id   TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN
        ('state', 'label', 'milestone', 'assignee', 'reviewer', 'title', 'merge', 'reference', 'other')),
    action      TEXT NOT NULL,
    subject     TEXT,
    actor_id    INTEGER NOT NULL REFERENCES users (id),
    created_at  INTEGER,
    origin      TEXT NOT NULL CHECK (origin IN ('forge', 'derived')),
    gone_at     INTEGER,
    changed_seq INTEGER NOT NULL,
    CHECK ((issue_id IS NULL) <> (mr_id IS NULL)),
    UNIQUE (project_id, kind, native_id)
) STRICT;
CREATE INDEX resource_events_by_issue ON resource_events (issue_id, created_at) WHERE issue_id IS NOT NULL;
CREATE INDEX resource_events_by_mr ON resource_events (mr_id, created_at) WHERE mr_id IS NOT NULL;
CREATE INDEX resource_events_by_actor ON resource_events (actor_id);
CREATE INDEX resource_events_by_change ON resource_events (changed_seq);

CREATE TABLE entity_references (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects (id),
    source_kind TEXT NOT NULL CHECK (source_kind IN ('issue', 'merge_request', 'note')),
    source_id   INTEGER NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('closes', 'mentions', 'relates', 'duplicates')),
    target_path TEXT NOT NULL,
    target_kind TEXT NOT NULL CHECK (target_kind IN ('issue', 'merge_request')),
    target_iid  INTEGER NOT NULL,
    UNIQUE (project_id, source_kind, source_id, kind, target_path, target_kind, target_iid)
) STRICT;
CREATE INDEX entity_references_by_target ON entity_references (target_path, target_kind, target_iid);

CREATE TABLE commits (
    id           INTEGER PRIMARY KEY,
    project_id   INTEGER NOT NULL REFERENCES projects (id),
    oid          TEXT NOT NULL CHECK (length(oid) IN (40, 64)),
    title        TEXT NOT NULL,
    message      TEXT NOT NULL,
    author_name  TEXT,
    author_email TEXT,
    author_at    INTEGER,
    committer_at INTEGER,
    parents      TEXT NOT NULL CHECK (json_valid(parents)),
    UNIQUE (project_id, oid)
) STRICT;

CREATE TABLE mr_versions (
    id        INTEGER PRIMARY KEY,
    mr_id     INTEGER NOT NULL REFERENCES merge_requests (id),
    version   INTEGER NOT NULL,
    head_oid  TEXT NOT NULL,
    base_oid  TEXT,
    start_oid TEXT,
    seen_at   INTEGER NOT NULL,
    files     TEXT NOT NULL CHECK (files IN ('none', 'pending', 'complete', 'truncated')),
    UNIQUE (mr_id, version)
) STRICT;
-- Before the detail of a merge request has come its base is unknown; that counts as one value.
CREATE UNIQUE INDEX mr_versions_by_push ON mr_versions (mr_id, head_oid, coalesce(base_oid, ''));

CREATE TABLE mr_commits (
    id        INTEGER PRIMARY KEY,
    mr_id     INTEGER NOT NULL REFERENCES merge_requests (id),
    commit_id INTEGER NOT NULL REFERENCES commits (id),
    position  INTEGER NOT NULL,
    from_at   INTEGER NOT NULL,
    to_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX mr_commits_current ON mr_commits (mr_id, position) WHERE to_at IS NULL;
CREATE INDEX mr_commits_by_mr ON mr_commits (mr_id, from_at);
CREATE INDEX mr_commits_by_commit ON mr_commits (commit_id);

CREATE TABLE mr_file_changes (
    id         INTEGER PRIMARY KEY,
    mr_id      INTEGER NOT NULL REFERENCES merge_requests (id),
    project_id INTEGER NOT NULL REFERENCES projects (id),
    old_path   TEXT NOT NULL,
    new_path   TEXT NOT NULL,
    change     TEXT NOT NULL CHECK (change IN
        ('added', 'modified', 'deleted', 'renamed', 'copied', 'mode', 'other')),
    additions  INTEGER,
    deletions  INTEGER,
    binary     INTEGER NOT NULL CHECK (binary IN (0, 1)),
    too_large  INTEGER NOT NULL CHECK (too_large IN (0, 1)),
    patch_hash BLOB,
    from_at    INTEGER NOT NULL,
    to_at      INTEGER
) STRICT;
CREATE UNIQUE INDEX mr_file_changes_current ON mr_file_changes (mr_id, new_path, old_path) WHERE to_at IS NULL;
CREATE INDEX mr_file_changes_by_mr ON mr_file_changes (mr_id, from_at);
CREATE INDEX mr_file_changes_by_new_path ON mr_file_changes (project_id, new_path, mr_id);
CREATE INDEX mr_file_changes_by_old_path ON mr_file_changes (project_id, old_path, mr_id);
CREATE INDEX mr_file_changes_renames ON mr_file_changes (project_id, old_path, new_path) WHERE change = 'renamed';

CREATE TABLE commit_file_changes (
    id         INTEGER PRIMARY KEY,
    commit_id  INTEGER NOT NULL REFERENCES commits (id),
    project_id INTEGER NOT NULL REFERENCES projects (id),
    old_path   TEXT NOT NULL,
    new_path   TEXT NOT NULL,
    change     TEXT NOT NULL CHECK (change IN
        ('added', 'modified', 'deleted', 'renamed', 'copied', 'mode', 'other')),
    similarity INTEGER,
    additions  INTEGER,
    deletions  INTEGER,
    UNIQUE (commit_id, new_path, old_path)
) STRICT;
CREATE INDEX commit_file_changes_by_new_path ON commit_file_changes (project_id, new_path);
CREATE INDEX commit_file_changes_by_old_path ON commit_file_changes (project_id, old_path);
CREATE INDEX commit_file_changes_renames ON commit_file_changes (project_id, old_path, new_path)
    WHERE change = 'renamed';

CREATE TABLE refs (
    id         INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('branch', 'tag', 'head', 'other')),
    oid        TEXT NOT NULL,
    from_at    INTEGER NOT NULL,
    to_at      INTEGER
) STRICT;
CREATE UNIQUE INDEX refs_current ON refs (project_id, name) WHERE to_at IS NULL;
CREATE INDEX refs_by_project ON refs (project_id, name, from_at);

-- Items that could not be read, with their bytes, so that a later version can read them.
CREATE TABLE quarantine (
    id           INTEGER PRIMARY KEY,
    project_id   INTEGER NOT NULL REFERENCES projects (id),
    stream       TEXT NOT NULL,
    native_ref   TEXT NOT NULL,
    payload_hash BLOB REFERENCES blobs (hash),
    code         TEXT NOT NULL,
    message      TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    first_at     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    resolved_at  INTEGER
) STRICT;
CREATE UNIQUE INDEX quarantine_open ON quarantine (project_id, stream, native_ref) WHERE resolved_at IS NULL;
CREATE INDEX quarantine_by_project ON quarantine (project_id, resolved_at);
CREATE INDEX quarantine_by_payload ON quarantine (payload_hash) WHERE payload_hash IS NOT NULL;

-- ── documents and their text index ──────────────────────────────────────────────────────────

CREATE TABLE documents (
    id           INTEGER PRIMARY KEY,
    doc_key      TEXT NOT NULL UNIQUE,
    project_id   INTEGER NOT NULL REFERENCES projects (id),
    kind         TEXT NOT NULL CHECK (kind IN ('issue', 'merge_request', 'discussion', 'commit')),
    source_id    INTEGER NOT NULL,
    title        TEXT NOT NULL,
    body         TEXT NOT NULL,
    meta         TEXT NOT NULL,
    author_id    INTEGER REFERENCES users (id),
    state        TEXT,
    created_at   INTEGER,
    updated_at   INTEGER,
    content_hash BLOB NOT NULL,
    flags        INTEGER NOT NULL,
    changed_seq  INTEGER NOT NULL
) STRICT;
CREATE INDEX documents_by_source ON documents (kind, source_id);
CREATE INDEX documents_by_project ON documents (project_id, updated_at);
CREATE INDEX documents_by_author ON documents (author_id) WHERE author_id IS NOT NULL;
CREATE INDEX documents_by_update ON documents (updated_at, doc_key);
CREATE INDEX documents_by_change ON documents (changed_seq);

-- Filled with tokens by the search crate; it keeps no copy of the text.
CREATE VIRTUAL TABLE documents_fts USING fts5 (
    title, body, meta,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

-- ── work that is owed; commits together with content ────────────────────────────────────────

CREATE TABLE cursors (
    project_id INTEGER NOT NULL REFERENCES projects (id),
    stream     TEXT NOT NULL,
    pass       TEXT NOT NULL CHECK (pass IN ('incremental', 'full')),
    at         INTEGER,
    tie_id     TEXT,
    floor_at   INTEGER,
    rows       INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, stream, pass)
) STRICT, WITHOUT ROWID;

CREATE TABLE dirty_sources (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    source_kind TEXT NOT NULL CHECK (source_kind IN ('issue', 'merge_request', 'discussion', 'commit')),
    source_id   INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX dirty_sources_by_source ON dirty_sources (source_kind, source_id, id);

CREATE TABLE http_validators (
    project_id    INTEGER NOT NULL REFERENCES projects (id),
    scope         TEXT NOT NULL,
    request_hash  BLOB NOT NULL,
    etag          TEXT,
    last_modified TEXT,
    PRIMARY KEY (project_id, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE dependent_sets (
    entity_type  TEXT NOT NULL CHECK (entity_type IN ('issue', 'merge_request')),
    entity_id    INTEGER NOT NULL,
    job_type     TEXT NOT NULL CHECK (job_type IN
        ('detail', 'discussions', 'events', 'diffs', 'commits', 'closes')),
    fetched_at   INTEGER NOT NULL,
    cause_at     INTEGER NOT NULL,
    items        INTEGER NOT NULL,
    payload_hash BLOB REFERENCES blobs (hash),
    PRIMARY KEY (entity_type, entity_id, job_type)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependent_sets_by_payload ON dependent_sets (payload_hash) WHERE payload_hash IS NOT NULL;

-- ── how the mirroring went; in transactions of its own ──────────────────────────────────────

CREATE TABLE sync_runs (
    run_id        TEXT PRIMARY KEY,
    parent_run_id TEXT REFERENCES sync_runs (run_id),
    mode          TEXT NOT NULL CHECK (mode IN ('normal', 'full', 'surgical', 'verify', 'repair')),
    origin        TEXT NOT NULL CHECK (origin IN ('cli', 'api', 'slack', 'schedule', 'webhook', 'retry')),
    project_id    INTEGER REFERENCES projects (id),
    requested     TEXT NOT NULL CHECK (json_valid(requested)),
    status        TEXT NOT NULL CHECK (status IN
        ('queued', 'running', 'done', 'partial', 'failed', 'cancelled')),
    phase         TEXT NOT NULL,
    counters      TEXT NOT NULL CHECK (json_valid(counters)),
    error_code    TEXT,
    error         TEXT CHECK (error IS NULL OR json_valid(error)),
    host          TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    process_start INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    heartbeat_at  INTEGER NOT NULL,
    finished_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_runs_by_status ON sync_runs (status);
CREATE INDEX sync_runs_by_start ON sync_runs (started_at);
CREATE INDEX sync_runs_by_parent ON sync_runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX sync_runs_by_project ON sync_runs (project_id) WHERE project_id IS NOT NULL;

CREATE TABLE sync_run_streams (
    run_id      TEXT NOT NULL REFERENCES sync_runs (run_id),
    project_id  INTEGER NOT NULL REFERENCES projects (id),
    stream      TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN
        ('running', 'done', 'partial', 'failed', 'cancelled', 'skipped')),
    pages       INTEGER NOT NULL,
    rows        INTEGER NOT NULL,
    written     INTEGER NOT NULL,
    unchanged   INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    cursor_from TEXT,
    cursor_to   TEXT,
    error_code  TEXT,
    PRIMARY KEY (run_id, project_id, stream)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_run_streams_by_project ON sync_run_streams (project_id);

CREATE TABLE sync_run_entities (
    id            INTEGER PRIMARY KEY,
    run_id        TEXT NOT NULL REFERENCES sync_runs (run_id),
    entity_type   TEXT NOT NULL CHECK (entity_type IN ('issue', 'merge_request')),
    iid           INTEGER NOT NULL,
    stage         TEXT NOT NULL CHECK (stage IN ('preflight', 'ingest', 'dependents', 'documents', 'embed')),
    status        TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped_stale')),
    error_code    TEXT,
    error_message TEXT,
    updated_at    INTEGER NOT NULL,
    UNIQUE (run_id, entity_type, iid, stage)
) STRICT;

-- A row outlives the hold, so that a fence is never handed out twice. Nobody holds it: holder is null.
CREATE TABLE sync_locks (
    scope         TEXT PRIMARY KEY,
    run_id        TEXT REFERENCES sync_runs (run_id),
    holder        TEXT,
    host          TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    process_start INTEGER NOT NULL,
    fence         INTEGER NOT NULL,
    acquired_at   INTEGER NOT NULL,
    heartbeat_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_locks_by_run ON sync_locks (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE dependent_jobs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id     INTEGER NOT NULL REFERENCES projects (id),
    entity_type    TEXT NOT NULL CHECK (entity_type IN ('issue', 'merge_request')),
    entity_id      INTEGER NOT NULL,
    iid            INTEGER NOT NULL,
    job_type       TEXT NOT NULL CHECK (job_type IN
        ('detail', 'discussions', 'events', 'diffs', 'commits', 'closes')),
    status         TEXT NOT NULL CHECK (status IN ('pending', 'claimed', 'done', 'failed', 'aborted')),
    aborted_reason TEXT,
    scope_run_id   TEXT REFERENCES sync_runs (run_id),
    attempts       INTEGER NOT NULL,
    not_before     INTEGER NOT NULL,
    claimed_by     TEXT,
    claimed_at     INTEGER,
    cause_at       INTEGER NOT NULL,
    error_code     TEXT,
    updated_at     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX dependent_jobs_open ON dependent_jobs
    (project_id, entity_type, entity_id, job_type, coalesce(scope_run_id, ''))
    WHERE status IN ('pending', 'claimed');
CREATE INDEX dependent_jobs_by_scope ON dependent_jobs (scope_run_id, status) WHERE scope_run_id IS NOT NULL;
CREATE INDEX dependent_jobs_by_status ON dependent_jobs (status, not_before, id);
CREATE INDEX dependent_jobs_claim ON dependent_jobs
    (project_id, status, cause_at, entity_type, entity_id, job_type);

CREATE TABLE sweeps (
    project_id  INTEGER NOT NULL REFERENCES projects (id),
    kind        TEXT NOT NULL CHECK (kind IN ('issue', 'merge_request')),
    position    TEXT,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    seen        INTEGER NOT NULL,
    PRIMARY KEY (project_id, kind)
) STRICT, WITHOUT ROWID;
