-- Times without a sign of life, by the clock of arrival (observed), of every machine that sent any or that
-- recorded deposits.  The period's ends count as signs of life.  From one stretch to the next the last sign and the
-- first tell; within one, signs are looked at closely only where it is sparse.
-- Reads: heartbeats, heartbeat_blocks, parameters
-- Returns: machine_id, begin_us, end_us
SELECT machine_id, begin_us, end_us
FROM (
    SELECT machine_id, last_us AS begin_us,
        lead(first_us) OVER (PARTITION BY machine_id ORDER BY first_us, last_us) AS end_us
    FROM (
        SELECT machine_id, first_us, last_us FROM heartbeat_blocks WHERE stretch_us IS NOT NULL
        UNION ALL
        SELECT m.machine_id, q.from_us, q.from_us
        FROM (SELECT DISTINCT machine_id FROM heartbeat_blocks) AS m
        CROSS JOIN parameters AS q
        UNION ALL
        SELECT m.machine_id, q.to_us, q.to_us
        FROM (SELECT DISTINCT machine_id FROM heartbeat_blocks) AS m
        CROSS JOIN parameters AS q
    ) AS ends
    UNION ALL
    SELECT h.machine_id, h.event_us + h.delay_us,
        lead(h.event_us + h.delay_us)
            OVER (PARTITION BY h.machine_id, b.stretch_us ORDER BY h.event_us + h.delay_us)
    FROM heartbeats AS h
    CROSS JOIN parameters AS q
    JOIN heartbeat_blocks AS b ON b.machine_id = h.machine_id
        AND b.stretch_us = h.event_us + h.delay_us - q.from_us
            - (h.event_us + h.delay_us - q.from_us) % q.stretch_us
    WHERE b.sparse = 1 AND h.event_us + h.delay_us >= q.from_us AND h.event_us + h.delay_us < q.to_us
) AS pairs
CROSS JOIN parameters AS q
WHERE end_us - begin_us > q.silence_us
