-- Predictions of a transaction that has more than one.  The earliest counts, 'first'; one that says the same
-- of it is a 'duplicate', any other a 'conflict'.
-- Reads: predictions, repeated_predictions
-- Returns: machine_id, seq, transaction_id, role
SELECT machine_id, seq, transaction_id,
    CASE
        WHEN place = 1 THEN 'first'
        WHEN first_material = material AND first_model_id = model_id AND first_model_version = model_version
            AND first_confidence = confidence
            AND first_input_digest IS NOT DISTINCT FROM input_digest
        THEN 'duplicate'
        ELSE 'conflict'
    END AS role
FROM (
    SELECT p.machine_id, p.seq, p.transaction_id, p.material, p.model_id, p.model_version, p.confidence,
        p.input_digest,
        row_number() OVER w AS place,
        count(*) OVER (PARTITION BY p.transaction_id) AS records,
        first_value(p.material) OVER w AS first_material,
        first_value(p.model_id) OVER w AS first_model_id,
        first_value(p.model_version) OVER w AS first_model_version,
        first_value(p.confidence) OVER w AS first_confidence,
        first_value(p.input_digest) OVER w AS first_input_digest
    FROM predictions AS p
    JOIN repeated_predictions AS repeated ON repeated.transaction_key = p.transaction_key
    WHERE p.transaction_id IS NOT NULL
    WINDOW w AS (PARTITION BY p.transaction_id ORDER BY p.event_us + p.delay_us, p.machine_id, p.seq)
) AS ranked
WHERE records > 1
