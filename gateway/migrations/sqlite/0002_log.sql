-- The log of the embedded gateway: entries that no checkpoint holds yet.
CREATE TABLE log (
    document TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    n INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    -- Arrival; epochs cannot be compared, so this is the order of READ.
    seq INTEGER PRIMARY KEY,
    UNIQUE (document, epoch, n)
) STRICT;

CREATE TABLE log_head (
    document TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    tenure TEXT NOT NULL,
    last_n INTEGER NOT NULL
) STRICT;

-- One row. The file is one reign of one log server for as long as it exists: nothing in it is ever numbered twice.
CREATE TABLE log_tenure (tenure TEXT NOT NULL) STRICT;
INSERT INTO log_tenure (tenure) VALUES (lower(hex(randomblob(20))));
