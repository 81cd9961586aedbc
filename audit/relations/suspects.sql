-- Transactions of the period that may be an exception: a narrow look at all, so that the close look at few is cheap.
-- Every other one is named in attention, or has one deposit, on time and of a plausible mass, and one sure prediction
-- of its material.  What an exception is, exceptions.sql decides alone; a transaction too many changes nothing there.
-- Reads: deposits, predictions, bounds, parameters
-- Returns: transaction_id (NULL: of a prediction without one; it may come more than once)
SELECT coalesce(d.transaction_id, p.transaction_id) AS transaction_id
FROM deposits AS d
FULL JOIN predictions AS p ON p.transaction_id = d.transaction_id
CROSS JOIN parameters AS q
LEFT JOIN bounds AS b ON b.material = d.material
WHERE ((d.event_time >= q.from_time AND d.event_time < q.to_time)
        OR (d.delay_us <> 0 AND d.event_us + d.delay_us >= q.from_us AND d.event_us + d.delay_us < q.to_us)
        OR (d.seq IS NULL AND p.event_time >= q.from_time AND p.event_time < q.to_time))
    AND CASE
        WHEN d.event_time >= q.from_time AND d.event_time < q.to_time
            AND d.delay_us >= 0 AND d.delay_us <= q.late_us
            AND d.mass_mg = coalesce(d.gross_mg - d.tare_mg, d.mass_mg)
            AND (b.material IS NULL
                OR (d.mass_mg >= least(d.item_count, 1000) * b.least_mg
                    AND d.mass_mg <= least(d.item_count, 1000) * b.most_mg))
            AND p.confidence >= coalesce(p.threshold, q.low_confidence)
            AND (d.material = p.material
                OR (position('"' || d.material || '"' IN p.covers) > 0
                    AND position('"' IN d.material) = 0 AND position(chr(92) IN d.material) = 0
                    AND d.material <> ','))
        THEN 0 ELSE 1
    END = 1
