-- Every deposit and every prediction of the period that is not plainly in order, in exactly one class.  A material
-- that can't be told from the marks of the JSON list (quotes, backslashes, a lone comma) is not covered by a class.
-- Nobody puts more than a thousand items into a machine at once: a larger count bears out no more mass.
-- Reads: deposits, predictions, deposit_roles, prediction_roles, attention, suspects, candidates, bounds, parameters
-- Returns: class ('matched' where only mass_problem is wrong); site_id, machine_id; declared and accepted
--          material; claimed: 1 if the deposit's mass is in the period's reported figure; mass_problem: '',
--          'implausible' for these items, or 'net' is not gross minus tare; deposit_seq,
--          prediction_machine_id, prediction_seq: where the rows lie (NULL: there is none); transaction_id,
--          device_seq, lot_id, event_us, observed_us, item_count, predicted, confidence, decision, mass_mg
SELECT class, site_id, machine_id, declared, accepted, claimed, mass_problem, deposit_seq,
    prediction_machine_id, prediction_seq, transaction_id, device_seq, lot_id, event_us, observed_us,
    item_count, predicted, confidence, decision, mass_mg
FROM (
    SELECT paired.*,
        CASE
            WHEN deposit_seq IS NULL THEN 'orphan_prediction'
            WHEN claimed = 0 OR early = 1 THEN 'out_of_period'
            WHEN prediction_seq IS NULL THEN 'missing_prediction'
            WHEN decision = 'rejected' THEN 'low_confidence'
            WHEN unsure = 1 AND coalesce(decision, '') NOT IN ('confirmed', 'corrected') THEN 'low_confidence'
            WHEN accepted IS NULL OR declared IS NULL OR accepted <> declared THEN 'material_mismatch'
            WHEN late = 1 THEN 'late'
            ELSE 'matched'
        END AS class
    FROM (
        SELECT
            coalesce(d.site_id, p.site_id, '') AS site_id,
            coalesce(d.machine_id, p.machine_id) AS machine_id,
            d.material AS declared,
            CASE
                WHEN a.decision IN ('confirmed', 'corrected') AND a.review_material IS NOT NULL
                    AND (a.review_prediction_id IS NULL OR a.review_prediction_id = p.prediction_id)
                THEN CASE
                    WHEN a.review_material = p.material
                        AND position('"' || d.material || '"' IN p.covers) > 0
                        AND position('"' IN d.material) = 0 AND position(chr(92) IN d.material) = 0
                        AND d.material <> ','
                    THEN d.material ELSE a.review_material END
                WHEN position('"' || d.material || '"' IN p.covers) > 0
                    AND position('"' IN d.material) = 0 AND position(chr(92) IN d.material) = 0
                    AND d.material <> ','
                THEN d.material
                ELSE p.material
            END AS accepted,
            CASE WHEN d.event_time >= q.from_time AND d.event_time < q.to_time THEN 1 ELSE 0 END AS claimed,
            CASE WHEN d.delay_us < 0 AND d.event_us + d.delay_us < q.from_us THEN 1 ELSE 0 END AS early,
            CASE WHEN d.delay_us > q.late_us THEN 1 ELSE 0 END AS late,
            CASE
                WHEN d.mass_mg <> d.gross_mg - d.tare_mg THEN 'net'
                WHEN d.mass_mg < least(d.item_count, 1000) * b.least_mg
                    OR d.mass_mg > least(d.item_count, 1000) * b.most_mg
                THEN 'implausible'
                ELSE ''
            END AS mass_problem,
            d.seq AS deposit_seq, p.machine_id AS prediction_machine_id, p.seq AS prediction_seq,
            coalesce(d.transaction_id, p.transaction_id) AS transaction_id,
            d.device_seq, d.lot_id,
            coalesce(d.event_us, p.event_us) AS event_us,
            coalesce(d.event_us + d.delay_us, p.event_us) AS observed_us,
            d.item_count, p.material AS predicted, p.confidence,
            CASE
                WHEN a.review_prediction_id IS NULL OR a.review_prediction_id = p.prediction_id
                THEN a.decision
            END AS decision,
            CASE WHEN p.confidence < coalesce(p.threshold, q.low_confidence) THEN 1 ELSE 0 END AS unsure,
            coalesce(d.mass_mg, 0) AS mass_mg
        FROM (
            SELECT * FROM deposits WHERE transaction_id IN (SELECT transaction_id FROM candidates)
        ) AS d
        FULL JOIN (
            SELECT * FROM predictions WHERE transaction_id IN (SELECT transaction_id FROM candidates)
            UNION ALL
            SELECT * FROM predictions
            WHERE transaction_id IS NULL AND EXISTS (SELECT 1 FROM suspects WHERE transaction_id IS NULL)
        ) AS p ON p.transaction_id = d.transaction_id
        CROSS JOIN parameters AS q
        LEFT JOIN bounds AS b ON b.material = d.material
        LEFT JOIN attention AS a ON a.transaction_id = coalesce(d.transaction_id, p.transaction_id)
        WHERE (a.deposit_seq IS NULL OR d.seq IS NULL
                OR (a.deposit_seq = d.seq AND a.deposit_machine_id = d.machine_id))
            AND (a.prediction_seq IS NULL OR p.seq IS NULL
                OR (a.prediction_seq = p.seq AND a.prediction_machine_id = p.machine_id))
            AND ((d.event_time >= q.from_time AND d.event_time < q.to_time)
                OR (d.delay_us <> 0 AND d.event_us + d.delay_us >= q.from_us
                    AND d.event_us + d.delay_us < q.to_us)
                OR (d.seq IS NULL AND p.event_time >= q.from_time AND p.event_time < q.to_time))
    ) AS paired
) AS judged
WHERE class <> 'matched' OR mass_problem <> ''
UNION ALL
SELECT r.role, coalesce(d.site_id, ''), d.machine_id, d.material, NULL, 1, '', d.seq, NULL, NULL,
    d.transaction_id, d.device_seq, d.lot_id, d.event_us, d.event_us + d.delay_us, d.item_count, NULL, NULL, NULL,
    d.mass_mg
FROM deposit_roles AS r
JOIN deposits AS d ON d.machine_id = r.machine_id AND d.seq = r.seq
CROSS JOIN parameters AS q
WHERE r.role <> 'first' AND d.event_time >= q.from_time AND d.event_time < q.to_time
UNION ALL
SELECT r.role, coalesce(p.site_id, ''), p.machine_id, NULL, NULL, 0, '', NULL, p.machine_id, p.seq,
    p.transaction_id, NULL, NULL, p.event_us, p.event_us, NULL, p.material, p.confidence, NULL, 0
FROM prediction_roles AS r
JOIN predictions AS p ON p.machine_id = r.machine_id AND p.seq = r.seq
CROSS JOIN parameters AS q
WHERE r.role <> 'first' AND p.event_time >= q.from_time AND p.event_time < q.to_time
