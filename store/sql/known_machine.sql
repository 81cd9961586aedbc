-- Purpose: whether a machine has sent anything itself; a prediction about it does not count.
-- Parameters: $1 machine_id
-- Returns: known, in one row
SELECT EXISTS (
    SELECT FROM chain_heads
    WHERE stream IN ('telemetry', 'events', 'transactions') AND chain = $1
) AS known
