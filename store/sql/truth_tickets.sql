-- Purpose: what the plant weighed of each lot, beside what a model answered for its deposits.  Of a deposit that
--          was sent twice the first row counts, of several answers to one deposit the latest.  An answer is looked
--          for within a day of the deposits: both are told by the machine's own clock.
-- $1, $2 timestamptz: tickets from, until; $3 timestamptz: deposits from; $4 text: model
-- Returns: lot_id, ticket_mg, composition (JSON text), material, model_version, predicted (the last two null:
--          not predicted), mass_mg and deposits of the lot with that answer
WITH tickets AS MATERIALIZED (
    SELECT DISTINCT ON (t.lot_id) t.lot_id, t.mass_mg, t.material,
        (t.attributes -> 'ticket.composition')::text AS composition
    FROM scale_tickets AS t
    WHERE t.event_time >= $1 AND t.event_time < $2
    ORDER BY t.lot_id, t.received_at DESC, t.seq DESC
), deposits AS MATERIALIZED (
    SELECT DISTINCT ON (d.machine_id, d.transaction_id) d.machine_id, d.transaction_id, d.lot_id, d.mass_mg,
        d.event_time
    FROM transactions AS d
    WHERE d.event_time >= $3 AND d.event_time < $2 AND d.lot_id IN (SELECT lot_id FROM tickets)
    ORDER BY d.machine_id, d.transaction_id, d.seq
), answers AS (
    SELECT DISTINCT ON (p.machine_id, p.transaction_id) p.machine_id, p.transaction_id, p.model_version,
        p.material
    FROM predictions AS p
    JOIN deposits ON deposits.machine_id = p.machine_id AND deposits.transaction_id = p.transaction_id
    WHERE p.event_time >= (SELECT min(event_time) - INTERVAL '1 day' FROM deposits)
        AND p.event_time < (SELECT max(event_time) + INTERVAL '1 day' FROM deposits)
        AND p.model_id = $4::text COLLATE "C"
    ORDER BY p.machine_id, p.transaction_id, p.seq DESC
)
SELECT tickets.lot_id, tickets.mass_mg AS ticket_mg, tickets.composition, tickets.material,
    answers.model_version, answers.material AS predicted, sum(deposits.mass_mg)::bigint AS mass_mg,
    count(*) AS deposits
FROM tickets
JOIN deposits ON deposits.lot_id = tickets.lot_id
LEFT JOIN answers ON answers.machine_id = deposits.machine_id
    AND answers.transaction_id = deposits.transaction_id
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1
