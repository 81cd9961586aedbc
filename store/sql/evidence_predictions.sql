-- Purpose: the predictions around a period, a row each, as published SQL reads them.
-- since, until timestamptz: event time; machines text[]: only these, NULL for all
-- Returns: the columns that docs/reconciliation.md lists; covers: the materials that the predicted class stands
--          for besides itself, as a JSON list of texts; empty if it stands for itself alone
SELECT
    machine_id, seq, encode(row_hash, 'hex') AS row_hash, site_id,
    event_time,
    CAST(round(date_part('epoch', event_time) * 1000000) AS bigint) AS event_us,
    received_at,
    {delay_us} AS delay_us,
    prediction_id, transaction_id, model_id, model_version, model_digest, input_digest, material,
    confidence, threshold,
    CASE
        WHEN position('"prediction.covers":[' IN CAST(attributes AS text)) > 0
        THEN coalesce(CAST(attributes -> 'prediction.covers' AS text), '')
        ELSE ''
    END AS covers
FROM predictions
WHERE event_time >= {since} AND event_time < {until}
    AND ({machines}::text[] IS NULL OR machine_id = ANY({machines}::text[]))
