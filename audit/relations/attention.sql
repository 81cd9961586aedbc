-- What must be known of a transaction besides its deposit and its prediction: which row counts where there are
-- several, and the latest human decision: confirmed, rejected, or corrected to a material; any other decides nothing.
-- Reads: deposit_roles, prediction_roles, reviews
-- Returns: transaction_id; deposit_machine_id, deposit_seq, prediction_machine_id, prediction_seq: those that count
--          (NULL: there is at most one); decision, review_material, review_prediction_id (NULL: any prediction)
SELECT transaction_id,
    max(deposit_machine_id) AS deposit_machine_id, max(deposit_seq) AS deposit_seq,
    max(prediction_machine_id) AS prediction_machine_id, max(prediction_seq) AS prediction_seq,
    max(decision) AS decision, max(review_material) AS review_material,
    max(review_prediction_id) AS review_prediction_id
FROM (
    SELECT transaction_id, machine_id AS deposit_machine_id, seq AS deposit_seq,
        NULL AS prediction_machine_id, NULL AS prediction_seq,
        NULL AS decision, NULL AS review_material,
        NULL AS review_prediction_id
    FROM deposit_roles WHERE role = 'first'
    UNION ALL
    SELECT transaction_id, NULL, NULL, machine_id, seq, NULL, NULL, NULL
    FROM prediction_roles WHERE role = 'first'
    UNION ALL
    SELECT transaction_id, NULL, NULL, NULL, NULL, decision, material, prediction_id
    FROM (
        SELECT transaction_id, decision, material, prediction_id,
            row_number() OVER (PARTITION BY transaction_id ORDER BY event_us DESC, machine_id, seq DESC) AS place
        FROM reviews
        WHERE transaction_id IS NOT NULL
            AND (decision IN ('confirmed', 'rejected') OR (decision = 'corrected' AND material IS NOT NULL))
    ) AS latest
    WHERE place = 1
) AS facts
GROUP BY transaction_id
