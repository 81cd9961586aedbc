-- Purpose: keep everybody else from writing to a chunk until the transaction ends
-- chunk: identifier
-- Returns: nothing
LOCK TABLE {chunk} IN SHARE MODE
