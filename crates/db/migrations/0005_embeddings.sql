-- Vectors of documents. A set is what one model makes of the documents, cut in one way. One set answers searches;
-- another may be under way to take its place.
CREATE TABLE embedding_sets (
    id       INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    model    TEXT NOT NULL,
    dims     INTEGER NOT NULL CHECK (dims > 0),
    chunking TEXT NOT NULL,
    active   INTEGER NOT NULL CHECK (active IN (0, 1)),
    UNIQUE (provider, model, dims, chunking)
) STRICT;
CREATE UNIQUE INDEX embedding_sets_active ON embedding_sets (active) WHERE active;

-- The rows of a document stand together: they are written in one transaction, after all others. A search reads them in
-- the order of the file.
CREATE TABLE embeddings (
    id           INTEGER PRIMARY KEY,
    document_id  INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    set_id       INTEGER NOT NULL REFERENCES embedding_sets (id) ON DELETE CASCADE,
    chunk        INTEGER NOT NULL,
    content_hash BLOB NOT NULL,
    vector       BLOB NOT NULL CHECK (length(vector) % 4 = 0),
    UNIQUE (document_id, set_id, chunk)
) STRICT;
CREATE INDEX embeddings_by_set ON embeddings (set_id);

-- Documents whose vectors are still to be made. The triggers see to it that no writer of documents can forget one.
CREATE TABLE embedding_owed (
    set_id      INTEGER NOT NULL REFERENCES embedding_sets (id) ON DELETE CASCADE,
    document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    attempts    INTEGER NOT NULL DEFAULT 0,
    anew        INTEGER NOT NULL DEFAULT 0 CHECK (anew IN (0, 1)),
    PRIMARY KEY (set_id, document_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX embedding_owed_by_document ON embedding_owed (document_id);

CREATE TRIGGER documents_new_owe_vectors AFTER INSERT ON documents
WHEN new.flags & 2 = 0 BEGIN
    INSERT INTO embedding_owed (set_id, document_id) SELECT id, new.id FROM embedding_sets WHERE true
        ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER documents_changed_owe_vectors AFTER UPDATE OF content_hash ON documents
WHEN new.content_hash IS NOT old.content_hash AND new.flags & 2 = 0 BEGIN
    INSERT INTO embedding_owed (set_id, document_id) SELECT id, new.id FROM embedding_sets WHERE true
        ON CONFLICT DO UPDATE SET attempts = 0;
END;
-- Flag 2: the text was removed on purpose, so nothing that was made of it may stay, and nothing is to be made of what is
-- left. One statement may empty the text and set the flag; triggers have no order, so each asks for the flag.
CREATE TRIGGER documents_purged_lose_vectors AFTER UPDATE OF flags ON documents
WHEN new.flags & 2 <> 0 BEGIN
    DELETE FROM embeddings WHERE document_id = new.id;
    DELETE FROM embedding_owed WHERE document_id = new.id;
END;
