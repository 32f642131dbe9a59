-- Documents in which processes died or stalled. Additive: a gateway of the schema before this one goes on beside it, and
-- opens them. Neither table refers to `documents`: a document may be in the log alone.

-- One for each process (`run`) and document, so that it does no harm to write one twice. `suspects`: how many documents
-- that process was working on when it died.
CREATE TABLE strikes (
    document TEXT NOT NULL,
    run INTEGER NOT NULL,
    cause TEXT NOT NULL,
    doing TEXT NOT NULL,
    suspects INTEGER NOT NULL,
    at INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (document, run)
) STRICT, WITHOUT ROWID;

-- What is in here is not opened until somebody releases it.
CREATE TABLE quarantine (
    document TEXT PRIMARY KEY,
    since INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT, WITHOUT ROWID;
