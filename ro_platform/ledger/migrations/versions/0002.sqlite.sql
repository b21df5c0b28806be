CREATE TABLE mention (
    name TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 0),
    PRIMARY KEY (name, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX mention_seq ON mention (seq);
CREATE TRIGGER mention_no_update BEFORE UPDATE ON mention
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER mention_no_delete BEFORE DELETE ON mention
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER mention_once BEFORE INSERT ON mention
WHEN EXISTS (SELECT 1 FROM mention WHERE name = NEW.name AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
INSERT INTO ledger_schema (version) VALUES (2);
