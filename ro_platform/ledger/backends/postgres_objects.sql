-- What the schema ro_ledger is made of, one row an object: its kind, its name, and how it is made.
-- Whatever could change what a query answers or what a write is refused is part of it: unlogged or
-- inherited tables, row security, rules, disabled triggers, another function behind one.
WITH ours AS (
    SELECT c.* FROM pg_catalog.pg_class c WHERE c.relnamespace = to_regnamespace('ro_ledger')
)
SELECT CASE relkind WHEN 'r' THEN 'table' ELSE 'relation' END, relname::text,
    concat_ws(' ', relkind, relpersistence,
        CASE WHEN relrowsecurity OR relforcerowsecurity THEN 'row security' END,
        CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE ours.oid IN (inhparent, inhrelid))
            THEN 'inheritance' END)
FROM ours WHERE relkind NOT IN ('i', 't')
UNION ALL
SELECT 'column', relname || '.' || attname,
    concat_ws(' ', format_type(atttypid, atttypmod), l.collname,
        CASE WHEN attnotnull THEN 'not null' END, CASE WHEN atthasdef THEN 'default' END)
FROM ours JOIN pg_catalog.pg_attribute ON attrelid = ours.oid
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = attcollation
WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'index', ours.relname::text, concat_ws(' ', pg_get_indexdef(indexrelid),
    CASE WHEN NOT (indisvalid AND indisready AND indislive) THEN 'invalid' END)
FROM ours JOIN pg_catalog.pg_index ON indexrelid = ours.oid
UNION ALL
SELECT 'constraint', conname::text, concat_ws(' ', pg_get_constraintdef(k.oid),
    CASE WHEN NOT convalidated THEN 'not validated' END)
FROM pg_catalog.pg_constraint k JOIN ours ON conrelid = ours.oid
WHERE contype NOT IN ('n', 't')
UNION ALL
SELECT 'trigger', tgname::text, concat_ws(' ', pg_get_triggerdef(t.oid),
    CASE WHEN tgenabled <> 'O' THEN 'disabled' END)
FROM pg_catalog.pg_trigger t JOIN ours ON tgrelid = ours.oid WHERE NOT tgisinternal
UNION ALL
SELECT 'rule', relname || '.' || rulename, pg_get_ruledef(r.oid)
FROM pg_catalog.pg_rewrite r JOIN ours ON ev_class = ours.oid WHERE relkind = 'r'
UNION ALL
SELECT 'function', p.oid::regprocedure::text,
    concat_ws(' ', lanname, encode(sha256(convert_to(prosrc, 'UTF8')), 'hex'), CASE WHEN prosecdef THEN 'security definer' END, proconfig::text)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = prolang
WHERE pronamespace = to_regnamespace('ro_ledger')
