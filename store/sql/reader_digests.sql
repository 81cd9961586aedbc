-- Purpose: which of these descriptions of senders are kept.
-- digests bytea[]: names of descriptions
-- Returns: digest of each that is there
SELECT digest FROM resources WHERE digest = ANY (%(digests)s)
