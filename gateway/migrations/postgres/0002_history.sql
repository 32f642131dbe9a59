-- Versions, authorship and deletion. Additive: a gateway of the schema before this one goes on beside it.

-- A deleted document keeps its row for a while, without content, so that nobody brings it back by mistake.
ALTER TABLE documents ADD COLUMN deleted_at timestamptz;
CREATE INDEX documents_deleted ON documents (deleted_at) WHERE deleted_at IS NOT NULL;

-- For the gateways that do not know `deleted_at`: their checkpoint of a deleted document fails.
CREATE FUNCTION documents_deleted_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the document was deleted';
END;
$$;
CREATE TRIGGER documents_deleted_is_final BEFORE UPDATE ON documents
    FOR EACH ROW WHEN (OLD.deleted_at IS NOT NULL) EXECUTE FUNCTION documents_deleted_is_final();

-- The content of a row at `rev`, compressed with zstd. Without a name it was made automatically. `authors` are the Yjs
-- clients that wrote since the automatic version before it.
CREATE TABLE versions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document text NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    rev bigint NOT NULL,
    name text,
    -- When the content was written, and when it became a version.
    created_at timestamptz NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    authors bigint[] NOT NULL,
    bytes bigint NOT NULL,
    state bytea NOT NULL
);
-- Compressed already.
ALTER TABLE versions ALTER COLUMN state SET STORAGE EXTERNAL;
CREATE INDEX versions_of_document ON versions (document, id);
CREATE INDEX versions_by_age ON versions (made_at) WHERE name IS NULL;
CREATE UNIQUE INDEX versions_once ON versions (document, rev) WHERE name IS NULL;

-- Who wrote. `clock`: how far the client's writing goes; `last_rev`: the last row in which it had grown. The user's
-- name is there once somebody vouches for it.
CREATE TABLE authors (
    document text NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    client bigint NOT NULL,
    user_name text,
    clock bigint NOT NULL,
    last_rev bigint NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document, client)
);
