-- The lots that ended in the period, beside the plant's ticket.  A lot counts if it is whole: its first deposit
-- is the machine's first ever, or an earlier one of the machine is in sight.
-- Reads: deposits, deposit_blocks, weighed, parameters
-- Returns: lot_id, machine_id, site_id, deposits, recorded_mg, closed (1: the machine has a later lot),
--          ticket_id, ticket_machine_id, ticket_seq, ticket_mg (NULL: no ticket), tickets (how many)
SELECT l.lot_id, l.machine_id, l.site_id, l.deposits, l.recorded_mg,
    CASE WHEN l.last_time < m.last_time THEN 1 ELSE 0 END AS closed,
    t.ticket_id, t.ticket_machine_id, t.ticket_seq, t.ticket_mg, coalesce(t.tickets, 0) AS tickets
FROM (
    SELECT lot_id, min(machine_id) AS machine_id, coalesce(min(site_id), '') AS site_id,
        count(*) AS deposits, CAST(sum(mass_mg) AS decimal(38, 0)) AS recorded_mg,
        min(device_seq) AS first_device_seq, max(event_time) AS last_time
    FROM deposits WHERE lot_id IS NOT NULL GROUP BY lot_id
) AS l
JOIN (
    SELECT machine_id, min(first_seq) AS first_device_seq, max(last_time) AS last_time
    FROM deposit_blocks GROUP BY machine_id
) AS m ON m.machine_id = l.machine_id
CROSS JOIN parameters AS q
LEFT JOIN weighed AS t ON t.lot_id = l.lot_id
WHERE l.last_time >= q.from_time AND l.last_time < q.to_time
    AND (l.first_device_seq IS NULL OR l.first_device_seq <= 1 OR l.first_device_seq > m.first_device_seq)
