-- Gaps in the machines' own count of deposits: numbers that are on record nowhere between two that are.  A gap
-- belongs to the period of the deposit before it.
-- Reads: deposits, parameters
-- Returns: machine_id, site_id, previous_seq, next_seq (device_seq around the gap), lost (how many),
--          previous_us, next_us (machine's clock), chain_seq (the ledger row after the gap)
SELECT g.machine_id, coalesce(n.site_id, '') AS site_id, g.previous_seq, g.next_seq,
    g.next_seq - g.previous_seq - 1 AS lost,
    p.event_us AS previous_us, n.event_us AS next_us, g.chain_seq
FROM (
    SELECT machine_id, device_seq AS next_seq, seq AS chain_seq,
        lag(device_seq) OVER w AS previous_seq,
        lag(seq) OVER w AS previous_chain_seq,
        lag(event_time) OVER w AS previous_time
    FROM deposits
    WHERE device_seq >= 0
    WINDOW w AS (PARTITION BY machine_id ORDER BY device_seq, seq)
) AS g
CROSS JOIN parameters AS q
JOIN deposits AS p ON p.machine_id = g.machine_id AND p.seq = g.previous_chain_seq
JOIN deposits AS n ON n.machine_id = g.machine_id AND n.seq = g.chain_seq
WHERE g.next_seq - g.previous_seq > 1 AND g.previous_time >= q.from_time AND g.previous_time < q.to_time
