-- Purpose: what the catalogue says of tables and views that readers of the ledger rely on.
-- names text[]: their names, in public
-- Returns: a row each: name, kind, row_security, rules, hypertable, columns, triggers, definition
SELECT
    c.relname::text AS name,
    c.relkind::text AS kind,
    c.relrowsecurity OR c.relforcerowsecurity AS row_security,
    (SELECT count(*) FROM pg_rewrite AS w WHERE w.ev_class = c.oid) AS rules,
    EXISTS (
        SELECT FROM _timescaledb_catalog.hypertable AS h
        WHERE h.schema_name = 'public' AND h.table_name = c.relname
    ) AS hypertable,
    ARRAY(
        SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
            || CASE WHEN l.collname IS NULL OR l.collname = 'default' THEN '' ELSE ' ' || l.collname END
            || CASE WHEN a.attgenerated = '' THEN '' ELSE ' generated' END
        FROM pg_attribute AS a LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
    ) AS columns,
    ARRAY(
        SELECT concat_ws(' ', t.tgname, t.tgtype, p.pronamespace::regnamespace, p.proname,
            encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'))
        FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL AND t.tgattr::text = ''
        ORDER BY t.tgname
    ) AS triggers,
    CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%(names)s)
