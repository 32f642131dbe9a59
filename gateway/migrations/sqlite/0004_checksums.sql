-- What a disk has changed is found out when it is read. NULL: written by a gateway of an earlier schema.
ALTER TABLE documents ADD COLUMN checksum INTEGER;
ALTER TABLE log ADD COLUMN checksum INTEGER;
ALTER TABLE log_head ADD COLUMN checksum INTEGER;

-- A gateway of the schema before writes a state without its checksum; a newer one never writes the same one twice.
CREATE TRIGGER documents_without_checksum AFTER UPDATE OF state ON documents 
WHEN NEW.checksum IS NOT NULL AND NEW.checksum IS OLD.checksum
BEGIN
    UPDATE documents SET checksum = NULL WHERE id = NEW.id;
END;
