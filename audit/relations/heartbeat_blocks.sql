-- Signs of life by stretches of the period, 14 times as long as a silence must be: enough to see where a silence may
-- be, in a thirtieth of the rows.  A stretch has 56 places of a quarter of a silence; a silence within it leaves at
-- least three places in a row empty.
-- Reads: heartbeats, claims, parameters
-- Returns: machine_id; stretch_us: microseconds from the period's begin to the stretch's (NULL: outside of the period,
--          or a machine of which there are only deposits); site_id; heartbeats: how many; first_us, last_us: the
--          first and the last by the clock of arrival; sparse: 1 if between them three places in a row are empty;
--          least_delay_us, most_delay_us; records: how many, wherever; first_row, last_row: places in the chain
SELECT b.machine_id, b.stretch_us, b.site_id, b.heartbeats, b.first_us, b.last_us,
    CASE
        WHEN (b.signs | (b.signs * 2) | (b.signs * 4))
                % CAST(power(2, floor((b.last_us - q.from_us - b.stretch_us) * q.signs_per_us) + 1) AS bigint)
            <> CAST(power(2, floor((b.last_us - q.from_us - b.stretch_us) * q.signs_per_us) + 1) AS bigint)
                - CAST(power(2, floor((b.first_us - q.from_us - b.stretch_us) * q.signs_per_us)) AS bigint)
        THEN 1 ELSE 0
    END AS sparse,
    b.least_delay_us, b.most_delay_us, b.records, b.first_row, b.last_row
FROM (
    SELECT machine_id, stretch_us, max(site_id) AS site_id, count(place_us) AS heartbeats,
        min(observed_us) AS first_us, max(observed_us) AS last_us,
        bit_or(CAST(power(2, floor(place_us * signs_per_us)) AS bigint)) AS signs,
        min(delay_us) AS least_delay_us, max(delay_us) AS most_delay_us,
        count(seq) AS records, min(seq) AS first_row, max(seq) AS last_row
    FROM (
        SELECT machine_id, seq, site_id, observed_us, delay_us, signs_per_us,
            elapsed_us - elapsed_us % length_us AS stretch_us, elapsed_us % length_us AS place_us
        FROM (
            SELECT h.machine_id, h.seq, h.site_id, h.observed_us, h.delay_us, q.signs_per_us, q.stretch_us AS length_us,
                CASE WHEN h.observed_us >= q.from_us AND h.observed_us < q.to_us
                    THEN h.observed_us - q.from_us END AS elapsed_us
            FROM (
                SELECT machine_id, seq, site_id, event_us + delay_us AS observed_us, delay_us FROM heartbeats
                UNION ALL
                SELECT machine_id, NULL, site_id, NULL, NULL FROM claims
            ) AS h
            CROSS JOIN parameters AS q
        ) AS elapsed
    ) AS placed
    GROUP BY machine_id, stretch_us
) AS b
CROSS JOIN parameters AS q
