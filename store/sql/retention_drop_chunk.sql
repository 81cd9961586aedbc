-- Purpose: drop the chunks that lie wholly in a range of event times
-- stream text; range_start, range_end timestamptz
-- Returns: the name of each, with its schema
SELECT drop_chunks(%(stream)s::regclass, older_than => %(range_end)s::timestamptz,
    newer_than => %(range_start)s::timestamptz)::text AS chunk
