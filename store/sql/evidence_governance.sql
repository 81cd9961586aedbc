-- Purpose: every step in the life of every model, up to the end.
-- until timestamptz: event time
-- Returns: the columns that docs/reconciliation.md lists
SELECT
    model_id, seq, encode(row_hash, 'hex') AS row_hash,
    event_time, received_at,
    CAST(round(date_part('epoch', event_time) * 1000000) AS bigint) AS event_us,
    action, model_version, actor, model_digest
FROM governance
WHERE event_time < {until}
