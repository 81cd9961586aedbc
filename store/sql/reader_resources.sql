-- Purpose: every description of a sender, with its name.
-- Returns: digest, content (its text's bytes, UTF-8 or not); either may be NULL after tampering
SELECT digest, json_send(content) AS content FROM resources ORDER BY digest
