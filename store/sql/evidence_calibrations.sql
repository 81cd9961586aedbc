-- Purpose: the calibrations on record of every machine, up to the end.
-- until timestamptz: event time; machines text[]: only these, NULL for all
-- Returns: the columns that docs/reconciliation.md lists; a date that can't be read is NULL
SELECT
    machine_id, seq, encode(row_hash, 'hex') AS row_hash,
    event_time,
    CAST(round(date_part('epoch', event_time) * 1000000) AS bigint) AS event_us,
    coalesce(attributes ->> 'calibration.instrument', '') AS instrument,
    coalesce(attributes ->> 'calibration.certificate', '') AS certificate,
    CASE WHEN attributes ->> 'calibration.valid_from_unix' ~ '^[0-9]{{1,11}}$'
        THEN CAST(attributes ->> 'calibration.valid_from_unix' AS bigint) * 1000000 END AS valid_from_us,
    CASE WHEN attributes ->> 'calibration.valid_until_unix' ~ '^[0-9]{{1,11}}$'
        THEN CAST(attributes ->> 'calibration.valid_until_unix' AS bigint) * 1000000 END AS valid_until_us
FROM events
WHERE event_time < {until} AND event_name = 'machine.calibrated'
    AND ({machines}::text[] IS NULL OR machine_id = ANY({machines}::text[]))
