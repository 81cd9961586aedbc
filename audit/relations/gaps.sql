-- Gaps in the machines' own count of deposits: numbers that are on record nowhere between two that are.  A gap
-- belongs to the period of the deposit before it.
-- Reads: deposits, doubtful_blocks, parameters
-- Returns: machine_id, site_id, previous_seq, next_seq (device_seq around the gap), lost (how many),
--          previous_us, next_us (machine's clock), chain_seq (the ledger row after the gap)
SELECT g.machine_id, g.site_id, g.previous_seq, g.next_seq, g.next_seq - g.previous_seq - 1 AS lost,
    g.previous_us, g.next_us, g.chain_seq
FROM (
    SELECT d.machine_id, coalesce(d.site_id, '') AS site_id, d.device_seq AS next_seq, d.event_us AS next_us,
        d.seq AS chain_seq, b.block_seq, b.last_before,
        lag(d.device_seq) OVER w AS previous_seq,
        lag(d.event_us) OVER w AS previous_us,
        lag(d.event_time) OVER w AS previous_time
    FROM deposits AS d
    JOIN doubtful_blocks AS b ON b.machine_id = d.machine_id AND b.block_seq = d.device_seq - d.device_seq % 32
    WHERE d.device_seq >= 0
    WINDOW w AS (PARTITION BY d.machine_id ORDER BY d.device_seq, d.seq)
) AS g
CROSS JOIN parameters AS q
WHERE g.next_seq - g.previous_seq > 1 AND (g.previous_seq >= g.block_seq OR g.previous_seq = g.last_before)
    AND g.previous_time >= q.from_time AND g.previous_time < q.to_time
