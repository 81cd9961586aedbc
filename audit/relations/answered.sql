-- Which model versions answered in the period, how often, and from when to when.
-- Reads: predictions, parameters
-- Returns: model_id, model_version, model_digest, predictions, first_event, last_event (by the machines' clocks),
--          first_received, last_received (by the collector's)
SELECT p.model_id, p.model_version, p.model_digest, count(*) AS predictions,
    min(p.event_time) AS first_event, max(p.event_time) AS last_event,
    min(p.received_at) AS first_received, max(p.received_at) AS last_received
FROM predictions AS p
CROSS JOIN parameters AS q
WHERE p.event_time >= q.from_time AND p.event_time < q.to_time
GROUP BY p.model_id, p.model_version, p.model_digest
