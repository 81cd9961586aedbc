-- Purpose: claim requests for this transaction; one that was committed before is not returned.
--          A claim of the same request by another transaction is waited for.
-- $1 bytea[]: request digests
-- Returns: digest of each request that is new
INSERT INTO request_digests (digest)
SELECT digest FROM unnest($1::bytea[]) AS asked (digest) ORDER BY digest
ON CONFLICT (digest) DO NOTHING
RETURNING digest
