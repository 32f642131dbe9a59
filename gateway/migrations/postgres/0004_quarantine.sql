-- Documents in which processes died or stalled. Additive: a gateway of the schema before this one goes on beside it, and
-- opens them. Neither table refers to `documents`: a document may be in the log alone.

-- One for each process (`run`) and document, so that it does no harm to write one twice. `suspects`: how many documents
-- that process was working on when it died.
CREATE TABLE strikes (
    document text NOT NULL,
    run bigint NOT NULL,
    cause text NOT NULL,
    doing text NOT NULL,
    suspects bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document, run)
);

-- What is in here is not opened until somebody releases it.
CREATE TABLE quarantine (
    document text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);
