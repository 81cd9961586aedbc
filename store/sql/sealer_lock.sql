-- Purpose: be the one sealer of this database, as long as the session lasts
-- key bigint
-- Returns: whether no other is
SELECT pg_try_advisory_lock(%(key)s)
