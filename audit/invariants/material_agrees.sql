-- Deposits that were declared as another material than was accepted.
-- Reads: exceptions
-- Returns: the columns of every rule (rule.py)
SELECT
    transaction_id AS subject,
    'transactions' AS stream, machine_id AS chain, deposit_seq AS seq,
    declared AS material, mass_mg AS effect_mg, accepted AS counter_material, -mass_mg AS counter_mg,
    mass_mg AS weight
FROM exceptions
WHERE class = 'material_mismatch'
