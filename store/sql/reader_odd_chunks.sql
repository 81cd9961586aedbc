-- Purpose: chunks that are no plain tables, or that lack the trigger which keeps their rows.
-- tables text[]: the streams, in public
-- Returns: table, chunk
SELECT p.relname::text AS "table", c.relname::text AS chunk
FROM pg_class AS p
JOIN pg_inherits AS i ON i.inhparent = p.oid
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE p.relnamespace = 'public'::regnamespace AND p.relname = ANY (%(tables)s)
    AND (
        c.relkind <> 'r' OR c.relrowsecurity OR c.relforcerowsecurity
        OR EXISTS (SELECT FROM pg_rewrite AS w WHERE w.ev_class = c.oid)
        OR NOT EXISTS (
            SELECT FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid
            WHERE t.tgrelid = c.oid AND t.tgname = 'append_only' AND t.tgtype = 27
                AND t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL AND t.tgattr::text = ''
                AND f.proname = 'refuse_change' AND f.pronamespace = 'public'::regnamespace
        )
    )
ORDER BY 1, 2
