-- Purpose: part of the evidence queries: by how much a record arrived after its event, microseconds.  Arrival is what the
--          machine stated as observed time, in nanoseconds (at most 20 digits); without one, or with anything else
--          there, it is 0.  JSON is read where there is something to read, and as seldom as can be.
-- Reads: the columns event_time and attributes
-- Returns: one bigint
CASE
    WHEN CAST(attributes AS text) NOT LIKE '%"observed_time_unix_nano":"%' THEN CAST(0 AS bigint)
    WHEN ltrim(json_extract_path_text(attributes, 'tally.otlp', 'observed_time_unix_nano'), '0123456789') = ''
        AND length(json_extract_path_text(attributes, 'tally.otlp', 'observed_time_unix_nano')) <= 20
    THEN coalesce(
        CAST(nullif(left(
            json_extract_path_text(attributes, 'tally.otlp', 'observed_time_unix_nano'), -3), '') AS bigint)
            - CAST(round(date_part('epoch', event_time) * 1000000) AS bigint),
        0
    )
    ELSE CAST(0 AS bigint)
END
