-- Purpose: let other connections see this one's instant, as long as it is open
-- Returns: name
SELECT pg_export_snapshot() AS name
