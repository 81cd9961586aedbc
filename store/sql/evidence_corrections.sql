-- Purpose: compensating rows, from the period's start on: a correction comes after what it corrects.
-- since timestamptz: event time
-- Returns: the columns that docs/reconciliation.md lists; what can't be read is NULL
SELECT
    machine_id, seq, encode(row_hash, 'hex') AS row_hash,
    event_time,
    CAST(round(date_part('epoch', event_time) * 1000000) AS bigint) AS event_us,
    coalesce(attributes ->> 'correction.machine_id', '') AS corrects_machine_id,
    CASE WHEN attributes ->> 'correction.seq' ~ '^[0-9]{{1,18}}$'
        THEN CAST(attributes ->> 'correction.seq' AS bigint) END AS corrects_seq,
    coalesce(attributes ->> 'correction.row_hash', '') AS corrects_row_hash,
    CASE WHEN attributes ->> 'correction.mass_delta_mg' ~ '^-?[0-9]{{1,15}}$'
        THEN CAST(attributes ->> 'correction.mass_delta_mg' AS bigint) END AS mass_delta_mg,
    coalesce(attributes ->> 'correction.material', '') AS material,
    coalesce(attributes ->> 'correction.reason', '') AS reason,
    coalesce(attributes ->> 'correction.actor', '') AS actor
FROM events
WHERE event_time >= {since} AND event_name = 'audit.correction'
