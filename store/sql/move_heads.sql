-- Purpose: move heads, each only from the row that the new rows were chained on (compare and swap).
-- $1 text[]: streams; $2 text[]: chains; $3 bigint[], $4 bytea[]: seq and row_hash before;
-- $5 bigint[], $6 bytea[]: seq and row_hash after
-- Returns: chain of each head that moved
UPDATE chain_heads AS heads
SET seq = moves.seq_after, row_hash = moves.hash_after
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bytea[])
    AS moves (stream, chain, seq_before, hash_before, seq_after, hash_after)
WHERE heads.stream = moves.stream COLLATE "C" AND heads.chain = moves.chain COLLATE "C"
    AND heads.seq = moves.seq_before AND heads.row_hash = moves.hash_before
RETURNING heads.chain
