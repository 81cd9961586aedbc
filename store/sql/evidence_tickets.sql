-- Purpose: what the plant weighed around a period; a lot's site or machine is known from its deposits.
-- since, until timestamptz: event time
-- Returns: the columns that docs/reconciliation.md lists
SELECT
    machine_id, seq, encode(row_hash, 'hex') AS row_hash, site_id,
    event_time,
    CAST(round(date_part('epoch', event_time) * 1000000) AS bigint) AS event_us,
    ticket_id, lot_id, plant, material, mass_mg, gross_mg, tare_mg
FROM scale_tickets
WHERE event_time >= {since} AND event_time < {until}
