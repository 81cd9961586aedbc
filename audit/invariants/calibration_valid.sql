-- Machines with deposits in the period whose calibrations on record leave a part of it uncovered: its begin, or what
-- follows the end of one of them.  The next may begin within a day of the end of the one before.
-- Reads: claims, calibrations, parameters
-- Returns: the columns of every rule (rule.py); unknown, expired, unwitnessed_mg
SELECT
    w.machine_id AS subject,
    NULL AS stream, w.machine_id AS chain, NULL AS seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg, w.mass_mg AS weight,
    CASE WHEN k.machine_id IS NULL THEN 1 ELSE 0 END AS unknown,
    CASE WHEN k.machine_id IS NULL THEN 0 ELSE 1 END AS expired,
    w.mass_mg AS unwitnessed_mg
FROM (
    SELECT machine_id, CAST(sum(mass_mg) AS decimal(38, 0)) AS mass_mg FROM claims GROUP BY machine_id
) AS w
JOIN (
    SELECT DISTINCT e.machine_id
    FROM (
        SELECT m.machine_id, q.from_us AS end_us, q.from_us AS next_us
        FROM claims AS m
        CROSS JOIN parameters AS q
        UNION
        SELECT c.machine_id, c.valid_until_us, c.valid_until_us + 86400000000
        FROM calibrations AS c
        CROSS JOIN parameters AS q
        WHERE c.valid_until_us >= q.from_us AND c.valid_until_us < q.to_us
    ) AS e
    LEFT JOIN calibrations AS c ON c.machine_id = e.machine_id
        AND c.valid_from_us <= e.next_us AND c.valid_until_us > e.end_us
    WHERE c.machine_id IS NULL
) AS uncovered ON uncovered.machine_id = w.machine_id
LEFT JOIN (SELECT DISTINCT machine_id FROM calibrations) AS k ON k.machine_id = w.machine_id
