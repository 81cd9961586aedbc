-- Purpose: the temperature readings around a period.
-- since, until timestamptz: event time; machines text[]: only these, NULL for all
-- Returns: the columns that docs/reconciliation.md lists; value in Cel
SELECT
    t.machine_id, t.seq, encode(t.row_hash, 'hex') AS row_hash,
    t.event_time,
    CAST(round(date_part('epoch', t.event_time) * 1000000) AS bigint) AS event_us,
    coalesce(t.attributes ->> 'hw.id', '') AS sensor,
    t.value
FROM telemetry AS t
WHERE t.event_time >= {since} AND t.event_time < {until} AND t.metric = 'hw.temperature'
    AND t.unit = 'Cel' AND t.value IS NOT NULL
    AND ({machines}::text[] IS NULL OR t.machine_id = ANY({machines}::text[]))
