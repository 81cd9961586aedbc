-- Deposits on the borders of the period.
-- Reads: exceptions, parameters
-- Returns: the columns of every rule (rule.py); claimed_early, elsewhere, arrived_after
SELECT
    transaction_id AS subject,
    'transactions' AS stream, machine_id AS chain, deposit_seq AS seq,
    declared AS material,
    CASE WHEN class = 'out_of_period' AND claimed = 1 THEN mass_mg ELSE 0 END AS effect_mg,
    NULL AS counter_material, 0 AS counter_mg, mass_mg AS weight,
    CASE WHEN class = 'out_of_period' AND claimed = 1 THEN 1 ELSE 0 END AS claimed_early,
    CASE WHEN class = 'out_of_period' AND claimed = 0 THEN 1 ELSE 0 END AS elsewhere,
    CASE WHEN class <> 'out_of_period' THEN 1 ELSE 0 END AS arrived_after
FROM exceptions
CROSS JOIN parameters AS q
WHERE class = 'out_of_period' OR (class = 'late' AND observed_us >= q.to_us)
