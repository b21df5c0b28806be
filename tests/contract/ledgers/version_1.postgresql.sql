-- The ledger in PostgreSQL, schema version 1, in a schema of its own. Rows are only ever inserted.
-- Every text is compared byte by byte (COLLATE "C"): an index cannot be broken by another libc.
CREATE SCHEMA IF NOT EXISTS ro_ledger;
-- Writers also take their turn on this table, with LOCK TABLE.
CREATE TABLE ro_ledger.ledger_schema (version integer NOT NULL);
CREATE TABLE ro_ledger.entry (
    seq bigint PRIMARY KEY CHECK (seq >= 0),
    entry bytea NOT NULL,
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 32),
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    run_id text COLLATE "C",
    dagster_run_id text COLLATE "C"
);
-- Each index ends in the order of seq, so a page of what it finds is read in order. It is written
-- seq + 0, and a kind by itself kind || '', so that exactly one index fits each question: a planner
-- with a choice walks the whole log backwards for a subject that it believes to be common.
CREATE UNIQUE INDEX entry_key ON ro_ledger.entry (key) WHERE key IS NOT NULL;
CREATE INDEX entry_subject ON ro_ledger.entry (subject, kind, (seq + 0));
CREATE INDEX entry_kind ON ro_ledger.entry ((kind || ''), (seq + 0));
CREATE INDEX entry_run_id ON ro_ledger.entry (run_id, (seq + 0)) WHERE run_id IS NOT NULL;
CREATE INDEX entry_dagster_run_id ON ro_ledger.entry (dagster_run_id, (seq + 0))
    WHERE dagster_run_id IS NOT NULL;
CREATE TABLE ro_ledger.mention (
    name text COLLATE "C" NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 0),
    PRIMARY KEY (name, seq)
);
CREATE INDEX mention_seq ON ro_ledger.mention ((seq + 0));
CREATE TABLE ro_ledger.node (
    level integer NOT NULL CHECK (level > 0),
    position bigint NOT NULL CHECK (position >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, position)
);
CREATE FUNCTION ro_ledger.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
-- Primary keys keep an insert from replacing anything; this keeps seq without a gap.
CREATE FUNCTION ro_ledger.require_next() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    least bigint;
    most bigint;
    added bigint;
BEGIN
    SELECT min(seq), max(seq), count(*) INTO least, most, added FROM fresh;
    IF added > 0 AND (most - least + 1 <> added OR least <> (
        SELECT coalesce(max(seq) + 1, 0) FROM ro_ledger.entry WHERE seq < least
    )) THEN
        RAISE EXCEPTION 'the ledger has no gaps' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ro_ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION ro_ledger.refuse();
CREATE TRIGGER mention_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ro_ledger.mention
    FOR EACH STATEMENT EXECUTE FUNCTION ro_ledger.refuse();
CREATE TRIGGER node_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ro_ledger.node
    FOR EACH STATEMENT EXECUTE FUNCTION ro_ledger.refuse();
CREATE TRIGGER schema_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ro_ledger.ledger_schema
    FOR EACH STATEMENT EXECUTE FUNCTION ro_ledger.refuse();
CREATE TRIGGER entry_next AFTER INSERT ON ro_ledger.entry REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ro_ledger.require_next();
INSERT INTO ro_ledger.ledger_schema (version) VALUES (1);
