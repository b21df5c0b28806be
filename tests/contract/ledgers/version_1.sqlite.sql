-- The ledger in SQLite, schema version 1. Rows are only ever inserted.
-- An index of a rowid table ends in the rowid, which is seq: so (kind) orders by (kind, seq).
CREATE TABLE ledger_schema (version INTEGER NOT NULL) STRICT;
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY CHECK (seq >= 0),
    entry BLOB NOT NULL,
    leaf BLOB NOT NULL CHECK (length(leaf) = 32),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    key TEXT,
    run_id TEXT,
    dagster_run_id TEXT
) STRICT;
CREATE UNIQUE INDEX entry_key ON entry (key) WHERE key IS NOT NULL;
CREATE INDEX entry_subject ON entry (subject, kind);
CREATE INDEX entry_kind ON entry (kind);
CREATE INDEX entry_run_id ON entry (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX entry_dagster_run_id ON entry (dagster_run_id) WHERE dagster_run_id IS NOT NULL;
CREATE TABLE node (
    level INTEGER NOT NULL CHECK (level > 0),
    position INTEGER NOT NULL CHECK (position >= 0),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER node_no_update BEFORE UPDATE ON node
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER node_no_delete BEFORE DELETE ON node
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER schema_no_update BEFORE UPDATE ON ledger_schema
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER schema_no_delete BEFORE DELETE ON ledger_schema
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
-- INSERT OR REPLACE deletes without firing a delete trigger, so the insert itself is guarded too.
CREATE TRIGGER entry_in_order BEFORE INSERT ON entry
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq) + 1, 0) FROM entry)
    OR EXISTS (SELECT 1 FROM entry WHERE key = NEW.key)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER node_once BEFORE INSERT ON node
WHEN EXISTS (SELECT 1 FROM node WHERE level = NEW.level AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
INSERT INTO ledger_schema (version) VALUES (1);
