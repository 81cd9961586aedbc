-- Lots that differ from their ticket by more than the tolerance, and closed lots without one.  The difference is
-- evidence of errors that other rules name: it is no effect of its own.
-- Reads: lots, parameters
-- Returns: the columns of every rule (rule.py); differing, unweighed, recorded_mg, ticket_mg, machine_id,
--          unwitnessed_mg
SELECT
    lot_id AS subject,
    CASE WHEN ticket_seq IS NULL THEN NULL ELSE 'scale_tickets' END AS stream,
    ticket_machine_id AS chain, ticket_seq AS seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg,
    abs(recorded_mg - coalesce(ticket_mg, 0)) AS weight,
    CASE WHEN ticket_seq IS NULL THEN 0 ELSE 1 END AS differing,
    CASE WHEN ticket_seq IS NULL THEN 1 ELSE 0 END AS unweighed,
    recorded_mg, ticket_mg, machine_id,
    CASE WHEN ticket_seq IS NULL THEN 0 ELSE abs(recorded_mg - ticket_mg) END AS unwitnessed_mg
FROM lots
CROSS JOIN parameters AS q
WHERE (ticket_seq IS NULL AND closed = 1)
    OR CAST(abs(recorded_mg - ticket_mg) AS decimal(38, 0)) * 1000000
        > CAST(ticket_mg AS decimal(38, 0)) * q.lot_tolerance_ppm + q.lot_tolerance_mg * 1000000
