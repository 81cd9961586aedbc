-- Purpose: every site that a deposit names
-- Returns: site_id
SELECT DISTINCT site_id FROM transactions WHERE site_id IS NOT NULL ORDER BY site_id
