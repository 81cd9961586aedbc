-- Purpose: forget requests that no client retries any more.
-- $1 interval: age
-- Returns: nothing
DELETE FROM request_digests WHERE committed_at < now() - $1::interval
