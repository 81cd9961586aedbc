-- Purpose: keep which rows go with their chunks
-- Returns: nothing; takes rows in COPY's text format
COPY dropped_runs (drop_number, stream, chain, first_seq, last_seq, last_hash) FROM STDIN
