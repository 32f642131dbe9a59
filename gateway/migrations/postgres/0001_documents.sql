-- One row a document: its last checkpoint. `epoch` holds the bits of an unsigned 64-bit number.
CREATE TABLE documents (
    id text PRIMARY KEY,
    state bytea NOT NULL,
    epoch bigint,
    n bigint,
    rev bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((epoch IS NULL) = (n IS NULL))
);
