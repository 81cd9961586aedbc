-- Purpose: the chunks of a stream, the oldest first
-- stream text
-- Returns: schema_name, name; range_start, range_end timestamptz: its event times, the end excluded
SELECT chunk_schema::text AS schema_name, chunk_name::text AS name, range_start, range_end
FROM timescaledb_information.chunks
WHERE hypertable_schema = 'public' AND hypertable_name = %(stream)s
ORDER BY range_start
