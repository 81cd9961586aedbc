-- Purpose: part of the evidence queries: by how much a record arrived after its event, microseconds.  Arrival is what the
--          machine stated as observed time; without one, or with one that is no number of nanoseconds, it is 0.
-- Reads: the columns event_time and attributes
-- Returns: one bigint
CASE
    WHEN CAST(attributes AS text) NOT LIKE '%"observed_time_unix_nano":"%' THEN CAST(0 AS bigint)
    WHEN translate(attributes -> 'tally.otlp' ->> 'observed_time_unix_nano', '0123456789', '') = ''
        AND length(attributes -> 'tally.otlp' ->> 'observed_time_unix_nano') BETWEEN 4 AND 19
        AND (length(attributes -> 'tally.otlp' ->> 'observed_time_unix_nano') < 19
            OR attributes -> 'tally.otlp' ->> 'observed_time_unix_nano' < '9223372036854775807')
    THEN CAST(attributes -> 'tally.otlp' ->> 'observed_time_unix_nano' AS bigint) / 1000
        - CAST(round(date_part('epoch', event_time) * 1000000) AS bigint)
    ELSE CAST(0 AS bigint)
END
