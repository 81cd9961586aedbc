-- Purpose: the number of a stream's rows, counted without its indexes (the reader switches them off).
-- stream: identifier
-- Returns: rows
SELECT count(*) AS rows FROM {stream}
