-- What a verification found wrong, of the run that looked.

CREATE TABLE verify_findings (
    id          INTEGER PRIMARY KEY,
    run_id      TEXT NOT NULL REFERENCES sync_runs (run_id),
    project_id  INTEGER REFERENCES projects (id),
    entity_type TEXT CHECK (entity_type IN ('issue', 'merge_request')),
    iid         INTEGER,
    finding     TEXT NOT NULL CHECK (finding IN
        ('corrupt', 'drift', 'missing_here', 'missing_there', 'stale_here', 'differs', 'set_differs')),
    field       TEXT,
    detail      TEXT NOT NULL,
    local_hash  BLOB CHECK (local_hash IS NULL OR length(local_hash) = 32),
    remote_hash BLOB CHECK (remote_hash IS NULL OR length(remote_hash) = 32),
    repaired    INTEGER NOT NULL CHECK (repaired IN (0, 1))
) STRICT;
CREATE INDEX verify_findings_by_run ON verify_findings (run_id, id);
CREATE INDEX verify_findings_by_project ON verify_findings (project_id) WHERE project_id IS NOT NULL;
