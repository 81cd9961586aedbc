-- Stretches in which a machine's clock and the arrival of its records disagree by more than is allowed.  Heartbeats
-- tell both ways; a deposit only if it arrived before its event, since one that arrives after it may have been
-- sent again.
-- Reads: heartbeats, heartbeat_blocks, deposits, deposit_blocks, parameters
-- Returns: machine_id, begin_us, end_us (clock of arrival), least_us, most_us (machine's clock minus arrival),
--          records, heartbeat_seq, deposit_seq (the first of each, NULL: none)
SELECT machine_id, min(observed_us) AS begin_us, max(observed_us) AS end_us,
    min(offset_us) AS least_us, max(offset_us) AS most_us, count(*) AS records,
    min(CASE WHEN is_deposit = 0 THEN seq END) AS heartbeat_seq,
    min(CASE WHEN is_deposit = 1 THEN seq END) AS deposit_seq
FROM (
    SELECT starts.*, sum(is_start) OVER (PARTITION BY machine_id ORDER BY observed_us, is_deposit, seq
        ROWS UNBOUNDED PRECEDING) AS stretch
    FROM (
        SELECT odd.*,
            CASE
                WHEN observed_us - lag(observed_us) OVER w <= 10 * heartbeat_us THEN 0 ELSE 1
            END AS is_start
        FROM (
            SELECT h.machine_id, h.seq, h.event_us + h.delay_us AS observed_us, -h.delay_us AS offset_us,
                0 AS is_deposit, q.heartbeat_us
            FROM heartbeats AS h
            CROSS JOIN parameters AS q
            JOIN (
                SELECT DISTINCT machine_id FROM heartbeat_blocks
                CROSS JOIN parameters AS q
                WHERE least_delay_us < -q.skew_us OR most_delay_us > q.skew_us
            ) AS doubtful ON doubtful.machine_id = h.machine_id
            WHERE (h.delay_us < -q.skew_us OR h.delay_us > q.skew_us)
                AND h.event_us + h.delay_us >= q.from_us AND h.event_us + h.delay_us < q.to_us
            UNION ALL
            SELECT d.machine_id, d.seq, d.event_us + d.delay_us, -d.delay_us, 1, q.heartbeat_us
            FROM deposits AS d
            CROSS JOIN parameters AS q
            JOIN (
                SELECT DISTINCT machine_id FROM deposit_blocks
                CROSS JOIN parameters AS q
                WHERE least_delay_us < -q.skew_us
            ) AS doubtful ON doubtful.machine_id = d.machine_id
            WHERE d.delay_us < -q.skew_us
                AND d.event_us + d.delay_us >= q.from_us AND d.event_us + d.delay_us < q.to_us
        ) AS odd
        WINDOW w AS (PARTITION BY machine_id ORDER BY observed_us, is_deposit, seq)
    ) AS starts
) AS stretches
GROUP BY machine_id, stretch
