-- Transactions of the period that may be an exception: a narrow look at all, so that the close look at few is cheap.
-- Every other one is named in attention, or has one deposit, on time and of a plausible mass, and one sure prediction
-- of its material.  What an exception is, exceptions.sql decides alone; a transaction too many changes nothing there.
-- Reads: deposits, predictions, bounds, parameters
-- Returns: transaction_id (NULL: of a prediction without one; it may come more than once)
SELECT coalesce(d.transaction_id, p.transaction_id) AS transaction_id
FROM (
    SELECT r.transaction_id, r.material,
        CASE
            WHEN r.event_time >= q.from_time AND r.event_time < q.to_time
                AND (r.delay_us = 0 OR (r.delay_us > 0 AND r.delay_us <= q.late_us))
                AND r.mass_mg = coalesce(r.gross_mg - r.tare_mg, r.mass_mg)
                AND (b.material IS NULL
                    OR (r.mass_mg >= least(r.item_count, 1000) * b.least_mg
                        AND r.mass_mg <= least(r.item_count, 1000) * b.most_mg))
            THEN 'plain'
            WHEN (r.event_time >= q.from_time AND r.event_time < q.to_time)
                OR (r.delay_us <> 0 AND r.event_us + r.delay_us >= q.from_us AND r.event_us + r.delay_us < q.to_us)
            THEN 'odd'
            ELSE 'elsewhere'
        END AS looks
    FROM deposits AS r
    CROSS JOIN parameters AS q
    LEFT JOIN bounds AS b ON b.material = r.material
) AS d
FULL JOIN (
    SELECT r.transaction_id,
        CASE WHEN r.confidence >= coalesce(r.threshold, q.low_confidence) THEN r.material END AS material,
        CASE WHEN r.confidence >= coalesce(r.threshold, q.low_confidence) THEN r.covers ELSE '' END AS covers,
        CASE WHEN r.event_time >= q.from_time AND r.event_time < q.to_time THEN 1 ELSE 0 END AS inside
    FROM predictions AS r
    CROSS JOIN parameters AS q
) AS p ON p.transaction_id = d.transaction_id
WHERE CASE
        WHEN d.looks = 'plain' AND d.material = p.material THEN 0
        WHEN d.looks = 'plain' AND position('"' || d.material || '"' IN p.covers) > 0
            AND position('"' IN d.material) = 0 AND position(chr(92) IN d.material) = 0 AND d.material <> ','
        THEN 0
        WHEN d.looks IS NULL THEN p.inside
        WHEN d.looks = 'elsewhere' THEN 0
        ELSE 1
    END = 1
