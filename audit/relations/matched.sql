-- What is in order: the claims without the exceptions among them.
-- Reads: claims, exceptions
-- Returns: site_id, machine_id, material, deposits, mass_mg
SELECT site_id, machine_id, material,
    CAST(sum(deposits) AS bigint) AS deposits, CAST(sum(mass_mg) AS decimal(38, 0)) AS mass_mg
FROM (
    SELECT site_id, machine_id, material, deposits, mass_mg FROM claims
    UNION ALL
    SELECT site_id, machine_id, coalesce(declared, ''), -1, -mass_mg
    FROM exceptions WHERE claimed = 1 AND deposit_seq IS NOT NULL
) AS parts
GROUP BY site_id, machine_id, material
