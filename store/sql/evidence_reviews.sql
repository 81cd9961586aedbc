-- Purpose: what humans decided around a period.
-- since, until timestamptz: event time
-- Returns: the columns that docs/reconciliation.md lists
SELECT
    machine_id, seq, encode(row_hash, 'hex') AS row_hash,
    event_time,
    CAST(round(date_part('epoch', event_time) * 1000000) AS bigint) AS event_us,
    review_id, transaction_id, prediction_id, decision, material, reviewer
FROM reviews
WHERE event_time >= {since} AND event_time < {until}
