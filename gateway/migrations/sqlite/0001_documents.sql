-- One row a document: its last checkpoint. `epoch` holds the bits of an unsigned 64-bit number; times are Unix seconds.
CREATE TABLE documents (
    id TEXT PRIMARY KEY,
    state BLOB NOT NULL,
    epoch INTEGER,
    n INTEGER,
    rev INTEGER NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (unixepoch()),
    updated_at INTEGER NOT NULL DEFAULT (unixepoch()),
    CHECK ((epoch IS NULL) = (n IS NULL))
) STRICT;
