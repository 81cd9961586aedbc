-- Purpose: keep which leaves of a new batch are which rows
-- Returns: nothing; takes rows in COPY's text format
COPY seals (batch, stream, chain, first_seq, last_seq, first_leaf, row_hash, sites) FROM STDIN
