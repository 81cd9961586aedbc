-- What was reported: every deposit record with an event time in the period, by machine and declared material.
-- Reads: deposits, parameters
-- Returns: site_id, machine_id, material ('' if none was declared), deposits, mass_mg; squares: sum of
--          the squared masses (of at most a tonne each)
SELECT coalesce(d.site_id, '') AS site_id, d.machine_id, coalesce(d.material, '') AS material,
    count(*) AS deposits,
    CAST(sum(d.mass_mg) AS decimal(38, 0)) AS mass_mg,
    CAST(sum(CAST(least(d.mass_mg, 1000000000) * least(d.mass_mg, 1000000000) AS decimal(38, 0)))
        AS decimal(38, 0)) AS squares
FROM deposits AS d
CROSS JOIN parameters AS q
WHERE d.event_time >= q.from_time AND d.event_time < q.to_time
GROUP BY coalesce(d.site_id, ''), d.machine_id, coalesce(d.material, '')
