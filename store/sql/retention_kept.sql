-- Purpose: whether this database keeps what was dropped: one of an earlier revision does not
-- Returns: kept
SELECT to_regclass('public.dropped_runs') IS NOT NULL AS kept
