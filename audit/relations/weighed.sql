-- The plant's ticket of each lot; of several the one with the least mass counts.
-- Reads: tickets
-- Returns: lot_id, ticket_id, ticket_machine_id, ticket_seq, ticket_mg, tickets (how many)
SELECT lot_id, ticket_id, machine_id AS ticket_machine_id, seq AS ticket_seq, mass_mg AS ticket_mg, tickets
FROM (
    SELECT lot_id, ticket_id, machine_id, seq, mass_mg,
        row_number() OVER (PARTITION BY lot_id ORDER BY mass_mg, event_us, machine_id, seq) AS place,
        count(*) OVER (PARTITION BY lot_id) AS tickets
    FROM tickets
) AS ranked
WHERE place = 1
