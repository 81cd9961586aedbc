-- Purpose: the signs of life around a period.
-- since, until timestamptz: event time; machines text[]: only these, NULL for all
-- Returns: the columns that docs/reconciliation.md lists
SELECT
    machine_id, seq, encode(row_hash, 'hex') AS row_hash, site_id,
    event_time,
    CAST(round(date_part('epoch', event_time) * 1000000) AS bigint) AS event_us,
    {delay_us} AS delay_us
FROM events
WHERE event_time >= {since} AND event_time < {until} AND event_name = 'machine.heartbeat'
    AND ({machines}::text[] IS NULL OR machine_id = ANY({machines}::text[]))
