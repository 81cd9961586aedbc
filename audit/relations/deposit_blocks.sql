-- The machines' own count of deposits, 32 numbers at a time: enough to see where a number may be missing, in a
-- thirtieth of the rows.
-- Reads: deposits
-- Returns: machine_id; block_seq: the first device_seq that the block has room for (NULL: deposits without a number);
--          first_seq, last_seq: the least and the greatest device_seq on record; holes: 1 if one between them is not;
--          last_time: event time of the last; least_delay_us; records: how many; first_row, last_row: places in the chain
SELECT machine_id, block_seq, first_seq, last_seq,
    CASE
        WHEN numbers <> CAST(power(2, last_seq - block_seq + 1) AS bigint)
            - CAST(power(2, first_seq - block_seq) AS bigint)
        THEN 1 ELSE 0
    END AS holes,
    last_time, least_delay_us, records, first_row, last_row
FROM (
    SELECT machine_id, block_seq, min(device_seq) AS first_seq, max(device_seq) AS last_seq,
        bit_or(CAST(power(2, device_seq - block_seq) AS bigint)) AS numbers,
        max(event_time) AS last_time, min(delay_us) AS least_delay_us, count(*) AS records, min(seq) AS first_row, max(seq) AS last_row
    FROM (
        SELECT machine_id, seq, device_seq, event_time, delay_us,
            CASE WHEN device_seq >= 0 THEN device_seq - device_seq % 32 END AS block_seq
        FROM deposits
    ) AS numbered
    GROUP BY machine_id, block_seq
) AS blocks
