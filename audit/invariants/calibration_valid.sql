-- Machines with deposits in the period that no calibration on record covers.  Times are compared in whole days.
-- Reads: claims, calibrations, parameters
-- Returns: the columns of every rule (rule.py); unknown, expired
SELECT
    w.machine_id AS subject,
    NULL AS stream, w.machine_id AS chain, NULL AS seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg, w.mass_mg AS weight,
    CASE WHEN max(c.machine_id) IS NULL THEN 1 ELSE 0 END AS unknown,
    CASE WHEN max(c.machine_id) IS NULL THEN 0 ELSE 1 END AS expired
FROM (
    SELECT machine_id, CAST(sum(mass_mg) AS decimal(38, 0)) AS mass_mg FROM claims GROUP BY machine_id
) AS w
CROSS JOIN parameters AS q
LEFT JOIN calibrations AS c ON c.machine_id = w.machine_id
GROUP BY w.machine_id, w.mass_mg, q.from_us, q.to_us
HAVING coalesce(max(CASE WHEN c.valid_from_us <= q.from_us THEN 1 ELSE 0 END), 0) = 0
    OR coalesce(max(CASE WHEN c.valid_until_us >= q.to_us THEN 1 ELSE 0 END), 0) = 0
