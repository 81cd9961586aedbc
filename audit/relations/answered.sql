-- Which model versions answered in the period, how often, and from when to when.
-- Reads: predicted
-- Returns: model_id, model_version, model_digest, predictions, first_event, last_event (by the machines' clocks),
--          first_received, last_received (by the collector's)
SELECT model_id, model_version, model_digest, CAST(sum(predictions) AS bigint) AS predictions,
    min(first_event) AS first_event, max(last_event) AS last_event,
    min(first_received) AS first_received, max(last_received) AS last_received
FROM predicted
WHERE predictions > 0
GROUP BY model_id, model_version, model_digest
