-- Purpose: give a head to each chain that may not have one yet; it stays as it is where it has.
-- $1 text[]: streams; $2 text[]: chains; $3 bytea[]: genesis hashes
-- Returns: nothing
INSERT INTO chain_heads (stream, chain, seq, row_hash)
SELECT stream, chain, 0, genesis
FROM unnest($1::text[], $2::text[], $3::bytea[]) AS opened (stream, chain, genesis)
ORDER BY stream COLLATE "C", chain COLLATE "C"
ON CONFLICT (stream, chain) DO NOTHING
