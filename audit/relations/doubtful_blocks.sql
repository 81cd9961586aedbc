-- Blocks of a machine's count with a missing number in or beside them, which are looked at one by one.
-- Reads: deposit_blocks
-- Returns: machine_id, block_seq; last_before: the last number on record before the block (NULL: none)
SELECT machine_id, block_seq, last_before
FROM (
    SELECT machine_id, block_seq, first_seq, last_seq, holes,
        lag(last_seq) OVER w AS last_before, lead(first_seq) OVER w AS first_after
    FROM deposit_blocks
    WHERE block_seq IS NOT NULL
    WINDOW w AS (PARTITION BY machine_id ORDER BY block_seq)
) AS neighbours
WHERE holes = 1 OR first_seq - last_before > 1 OR first_after - last_seq > 1
