-- Deposits whose prediction was unsure and not confirmed, or rejected by a human.
-- Reads: exceptions
-- Returns: the columns of every rule (rule.py); confidence, decision
SELECT
    transaction_id AS subject,
    'transactions' AS stream, machine_id AS chain, deposit_seq AS seq,
    declared AS material, mass_mg AS effect_mg, NULL AS counter_material, 0 AS counter_mg, mass_mg AS weight,
    confidence, decision
FROM exceptions
WHERE class = 'low_confidence'
