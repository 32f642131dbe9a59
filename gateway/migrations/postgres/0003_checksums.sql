-- What a disk has changed is found out when it is read. NULL: written by a gateway of an earlier schema.
ALTER TABLE documents ADD COLUMN checksum bigint;

-- A gateway of the schema before writes a state without its checksum; a newer one never writes the same one twice.
CREATE FUNCTION documents_without_checksum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.checksum = NULL;
    RETURN NEW;
END;
$$;
CREATE TRIGGER documents_without_checksum BEFORE UPDATE OF state ON documents
    FOR EACH ROW WHEN (NEW.checksum IS NOT NULL AND NEW.checksum IS NOT DISTINCT FROM OLD.checksum)
    EXECUTE FUNCTION documents_without_checksum();
