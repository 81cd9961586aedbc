-- Purpose: names of descriptions of senders, at most so many (known before the first row is read).
-- most bigint
-- Returns: digest
SELECT digest FROM resources LIMIT %(most)s
