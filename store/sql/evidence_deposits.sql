-- Purpose: the deposits around a period, a row each, as published SQL reads them.
-- since, until timestamptz: event time; machines text[]: only these, NULL for all
-- Returns: the columns that docs/reconciliation.md lists; times in microseconds since 1970
SELECT
    machine_id, seq, encode(row_hash, 'hex') AS row_hash, site_id,
    event_time,
    CAST(round(date_part('epoch', event_time) * 1000000) AS bigint) AS event_us,
    received_at,
    {delay_us} AS delay_us,
    transaction_id, device_seq, material, item_count, mass_mg, gross_mg, tare_mg, mass_method, lot_id
FROM transactions
WHERE event_time >= {since} AND event_time < {until}
    AND ({machines}::text[] IS NULL OR machine_id = ANY({machines}::text[]))
