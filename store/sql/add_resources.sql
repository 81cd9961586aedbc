-- Purpose: keep descriptions of senders that are not kept yet.
-- $1 bytea[]: digests; $2 text[]: canonical contents
-- Returns: nothing
INSERT INTO resources (digest, content)
SELECT digest, content::json FROM unnest($1::bytea[], $2::text[]) AS described (digest, content) ORDER BY digest
ON CONFLICT DO NOTHING
