#!/bin/sh
# The roots of RFC 6962's trees over the first one to eight of these entries, by coreutils and xxd alone:
#     sh tests/vectors/merkle.sh
# tests/unit/test_merkle.py holds ledger/merkle.py against what this prints.
set -eu

digest() { xxd -r -p | sha256sum | cut -d' ' -f1; }
leaf() { printf '00%s' "$1" | digest; }
node() { printf '01%s%s' "$1" "$2" | digest; }

a=$(leaf '')
b=$(leaf 00)
c=$(leaf 10)
d=$(leaf 2021)
e=$(leaf 3031)
f=$(leaf 40414243)
g=$(leaf 5051525354555657)
h=$(leaf 606162636465666768696a6b6c6d6e6f)

ab=$(node "$a" "$b")
cd=$(node "$c" "$d")
ef=$(node "$e" "$f")
gh=$(node "$g" "$h")
abcd=$(node "$ab" "$cd")

echo "$a"
echo "$ab"
node "$ab" "$c"
echo "$abcd"
node "$abcd" "$e"
node "$abcd" "$ef"
node "$abcd" "$(node "$ef" "$g")"
node "$abcd" "$(node "$ef" "$gh")"
