#!/bin/bash
# Derives rows.json from docs/ledger.md with printf, od, date and sha256sum: no code of this repository takes part.
# Float bytes are written out by hand (IEEE 754 binary64).  Run: bash derive.sh > rows.json
set -euo pipefail
export LC_ALL=C.UTF-8

hex() { od -An -v -tx1 | tr -d ' \n'; }
bytes() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }
sha() { bytes "$1" | sha256sum | cut -d' ' -f1; }
quoted() { printf '"%s"' "$(printf %s "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"; }

IMAGE=  VALUES=  COMMA=
field() { # column, hex of the data, JSON of the value
    IMAGE+=$(printf '%08x' $((${#2} / 2)))$2
    VALUES+="$COMMA\"$1\": $3" COMMA=", "
}
null() { IMAGE+=ffffffff VALUES+="$COMMA\"$1\": null" COMMA=", "; }
text() { field "$1" "$(printf %s "$2" | hex)" "$(quoted "$2")"; }
int() { field "$1" "$(printf '%016x' "$2")" "$2"; }
float() { field "$1" "$2" "$3"; } # column, its eight bytes, how people write it
digest() { field "$1" "$2" "\"$2\""; }
moment() { # column, YYYY-MM-DDTHH:MM:SS.ffffff: microseconds since 2000-01-01T00:00:00Z
    local seconds=$(($(date -u -d "${2%.*}Z" +%s) - 946684800))
    field "$1" "$(printf '%016x' $((seconds * 1000000 + 10#${2#*.})))" "\"$2+00:00\""
}

SEPARATOR=
begin() { # stream, number of columns, chain
    STREAM=$1 COLUMNS=$2 CHAIN=$3 SEQ=0
    HASH=$(printf 'tally/v1\n%s\n%s' "$STREAM" "$CHAIN" | sha256sum | cut -d' ' -f1)
}
row() { # event_time, received_at, chain's column, resource_digest
    SEQ=$((SEQ + 1)) IMAGE=$(printf '%04x' "$COLUMNS") VALUES= COMMA=
    moment event_time "$1"
    moment received_at "$2"
    text "$3" "$CHAIN"
    int seq $SEQ
    digest resource_digest "$4"
}
done_row() {
    local before=$HASH
    HASH=$(sha "$before$IMAGE")
    printf '%s {"stream": "%s", "values": {%s},\n  "image": "%s",\n  "previous_hash": "%s",\n  "row_hash": "%s"}' \
        "$SEPARATOR" "$STREAM" "$VALUES" "$IMAGE" "$before" "$HASH"
    SEPARATOR=$',\n'
}

LONGEST=9223372036854775807 LOWEST=$((-9223372036854775807 - 1))
SENDER=$(printf '{"resource":{"attributes":{"service.name":"recycling-machine"}}}' | sha256sum | cut -d' ' -f1)
ZEROS=$(printf '%064d' 0)
T1=2026-03-01T08:30:00.000001 T2=2026-03-01T08:30:01.500000
OLD=1999-12-31T23:59:59.999999 OLDER=1970-01-01T00:00:00.000000

echo '['

begin telemetry 13 rvm-0001
row $T1 $T2 machine_id "$SENDER"
text metric hw.temperature; text unit Cel; text kind gauge; null start_time
float value 4034800000000000 20.5; null count
text attributes '{"hw.id":"fan-1","hw.type":"temperature"}'; done_row
row $OLD $OLDER machine_id "$ZEROS"
text metric ''; text unit ''; text kind summary; moment start_time 0001-01-01T00:00:00.000000
float value 8000000000000000 -0.0; int count $LONGEST; text attributes '{}'; done_row
row $OLDER $T1 machine_id "$ZEROS"
text metric hw.energy; text unit J; text kind sum; moment start_time 9999-12-31T23:59:59.999999
float value 0000000000000001 5e-324; int count $LOWEST; text attributes '{"a":null,"b":[1,2.5,"é"],"€":1}'; done_row
row $T1 $T1 machine_id "$ZEROS"
text metric m; text unit 1; text kind gauge; null start_time
float value ffefffffffffffff -1.7976931348623157e308; int count 0; text attributes '{}'; done_row
row $T1 $T1 machine_id "$ZEROS"
text metric m; text unit 1; text kind histogram; null start_time
null value; int count -1; text attributes '{}'; done_row

begin transactions 17 'Zürich/♻-7'
row $T1 $T2 machine_id "$SENDER"
text transaction_id t-1; int device_seq 1; text site_id Zürich; text material pet; int item_count 3
int mass_mg 74250; int gross_mg 75000; int tare_mg 750; text mass_method weighed; text lot_id lot-9
text attributes '{"deposit.note":"a \"quoted\" word"}'; done_row
row $OLDER $OLD machine_id "$ZEROS"
text transaction_id ''; null device_seq; null site_id; null material; int item_count $LOWEST
int mass_mg $LONGEST; null gross_mg; null tare_mg; null mass_method; null lot_id; text attributes '{}'; done_row

begin predictions 17 rvm-0001
row $T1 $T2 machine_id "$SENDER"
text prediction_id p-1; text transaction_id t-1; text site_id Zürich; text model_id materials
text model_version 1.2.0; text model_digest sha256:00ff; text input_digest sha256:aa; text material glass
float confidence 3fe8000000000000 0.75; float threshold 3fb999999999999a 0.1
text attributes '{"top":[{"confidence":0.75,"material":"glass"}]}'; done_row
row $OLD $OLD machine_id "$ZEROS"
text prediction_id ''; null transaction_id; null site_id; text model_id ''; text model_version ''
null model_digest; null input_digest; text material ''; float confidence 8000000000000000 -0.0; null threshold
text attributes '{}'; done_row

begin events 11 rvm-0001
row $T1 $T2 machine_id "$SENDER"
text event_name machine.status; text site_id 東京; int severity_number 9; text body 'door open — ☠'
text attributes '{"status":"maintenance"}'; done_row
row $OLDER $OLDER machine_id "$ZEROS"
text event_name ''; null site_id; null severity_number; null body; text attributes '{}'; done_row
row $T1 $OLD machine_id "$ZEROS"
text event_name e; text site_id ''; int severity_number -1; text body ''; text attributes '{}'; done_row

begin scale_tickets 15 plant-3
row $T1 $T2 machine_id "$SENDER"
text ticket_id k-1; text lot_id lot-9; text site_id s-1; text plant Köln; text material pet
int mass_mg 120500000; int gross_mg 121000000; int tare_mg 500000
text attributes '{"composition":{"pet":0.98}}'; done_row
row $OLD $T1 machine_id "$ZEROS"
text ticket_id ''; text lot_id ''; null site_id; null plant; null material; int mass_mg 0
null gross_mg; null tare_mg
text attributes '{}'; done_row

begin reviews 13 rvm-0001
row $T1 $T2 machine_id "$SENDER"
text review_id r-1; text transaction_id t-1; text prediction_id p-1; text decision corrected; text material pp
text reviewer zoë; text attributes '{}'; done_row
row $OLD $OLD machine_id "$ZEROS"
text review_id ''; null transaction_id; null prediction_id; text decision ''; null material; text reviewer ''
text attributes '{}'; done_row

begin incidents 14 rvm-0001
row $T1 $T2 machine_id "$SENDER"
text fingerprint 5ef77f1f8a3ecfaf; text alert MachineDown; text status resolved; text severity critical
text site_id s-1; moment starts_at $OLD; moment ends_at $T1; text attributes '{"summary":"no heartbeat"}'; done_row
row $OLD $OLD machine_id "$ZEROS"
text fingerprint ''; text alert ''; text status ''; null severity; null site_id; null starts_at; null ends_at
text attributes '{}'; done_row

begin governance 11 materials
row $T1 $T2 model_id "$SENDER"
text action promoted; text model_version 1.2.0; text actor 'Ána'; text model_digest sha256:00ff
text attributes '{"reason":"better on glass"}'; done_row
row $OLD $OLD model_id "$ZEROS"
text action ''; text model_version ''; text actor ''; null model_digest; text attributes '{}'; done_row

printf '\n]\n'
