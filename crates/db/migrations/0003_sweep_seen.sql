-- A sweep may need several runs. What its index has shown so far is kept until it ends, and with it how far the
-- mirror reached when it began: a row that came in later says nothing by not being in the index.
ALTER TABLE sweeps ADD COLUMN up_to INTEGER NOT NULL DEFAULT 0;

CREATE TABLE sweep_seen (
    project_id INTEGER NOT NULL REFERENCES projects (id),
    kind       TEXT NOT NULL CHECK (kind IN ('issue', 'merge_request')),
    iid        INTEGER NOT NULL,
    PRIMARY KEY (project_id, kind, iid)
) STRICT, WITHOUT ROWID;
