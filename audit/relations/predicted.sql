-- Which model versions answered for which machines, how often, and in the period from when to when.
-- Reads: predictions, parameters
-- Returns: machine_id, model_id, model_version, model_digest; records: how many; first_row, last_row: places in the
--          chain; predictions: how many have an event time in the period; first_event, last_event (by the machines'
--          clocks), first_received, last_received (by the collector's): of these
SELECT machine_id, model_id, model_version, model_digest, count(*) AS records,
    min(seq) AS first_row, max(seq) AS last_row, count(event_time) AS predictions,
    min(event_time) AS first_event, max(event_time) AS last_event,
    min(received_at) AS first_received, max(received_at) AS last_received
FROM (
    SELECT p.machine_id, p.seq, p.model_id, p.model_version, p.model_digest,
        CASE WHEN p.event_time >= q.from_time AND p.event_time < q.to_time THEN p.event_time END AS event_time,
        CASE WHEN p.event_time >= q.from_time AND p.event_time < q.to_time THEN p.received_at END AS received_at
    FROM predictions AS p
    CROSS JOIN parameters AS q
) AS placed
GROUP BY machine_id, model_id, model_version, model_digest
