-- Purpose: every description of a sender, with its name.
-- Returns: digest, content (as text)
SELECT digest, content::text AS content FROM resources ORDER BY digest
