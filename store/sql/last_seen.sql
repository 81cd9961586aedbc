-- Purpose: when each machine's newest row arrived, read at the chain heads.
-- Returns: machine_id, site_id (may be null), received_at
SELECT heads.chain AS machine_id,
    max(resources.content -> 'resource' -> 'attributes' ->> 'site.id') AS site_id,
    max(newest.received_at) AS received_at
FROM chain_heads AS heads
CROSS JOIN LATERAL (
    SELECT received_at, resource_digest FROM telemetry
    WHERE heads.stream = 'telemetry' AND machine_id = heads.chain AND seq = heads.seq
    UNION ALL
    SELECT received_at, resource_digest FROM events
    WHERE heads.stream = 'events' AND machine_id = heads.chain AND seq = heads.seq
) AS newest
LEFT JOIN resources ON resources.digest = newest.resource_digest
WHERE heads.stream IN ('telemetry', 'events')
GROUP BY heads.chain
