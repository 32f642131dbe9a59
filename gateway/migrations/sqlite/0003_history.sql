-- Versions, authorship and deletion. Additive: a gateway of the schema before this one goes on beside it.

-- A deleted document keeps its row for a while, without content, so that nobody brings it back by mistake.
ALTER TABLE documents ADD COLUMN deleted_at INTEGER;

-- For the gateways that do not know `deleted_at`: their checkpoint of a deleted document fails.
CREATE TRIGGER documents_deleted_is_final BEFORE UPDATE ON documents WHEN OLD.deleted_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'the document was deleted');
END;

-- The content of a row at `rev`, compressed with zstd. Without a name it was made automatically. `authors` is a JSON
-- list of the Yjs clients that wrote since the automatic version before it.
CREATE TABLE versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    rev INTEGER NOT NULL,
    name TEXT,
    -- When the content was written, and when it became a version.
    created_at INTEGER NOT NULL,
    made_at INTEGER NOT NULL DEFAULT (unixepoch()),
    authors TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    state BLOB NOT NULL
) STRICT;
CREATE INDEX versions_of_document ON versions (document, id);
CREATE UNIQUE INDEX versions_once ON versions (document, rev) WHERE name IS NULL;

-- Who wrote. `clock`: how far the client's writing goes; `last_rev`: the last row in which it had grown. The user's
-- name is there once somebody vouches for it.
CREATE TABLE authors (
    document TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    client INTEGER NOT NULL,
    user_name TEXT,
    clock INTEGER NOT NULL,
    last_rev INTEGER NOT NULL,
    first_seen INTEGER NOT NULL DEFAULT (unixepoch()),
    last_seen INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (document, client)
) STRICT, WITHOUT ROWID;
