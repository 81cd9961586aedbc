#!/usr/bin/env python3
"""Checks an evidence bundle of Tally, with nothing but this file, Python 3.9 and ``cryptography``.

    python3 verify.py                          the folder that this file lies in
    python3 verify.py BUNDLE.zip               an archive, or another folder
    python3 verify.py BUNDLE.zip --policy FILE --checkpoint FILE

It reads nothing but the bundle and the files named, asks no network, and changes nothing.  It says for each
step PASSED, FAILED (what was expected, what was found) or NOT CHECKED, and ends with one line of conclusion.
Exit codes: 0 every step passed, 1 one did not, 2 it could not run, 3 every step passed, but the bundle closes
before its period and the time for what comes late are over.

What is checked, from the top down: a key that you know signed a checkpoint, witnesses that you know cosigned
it, two statements are in the checkpoint's tree that say how far each chain of rows had come at two moments,
and the rows in the bundle lead each chain from the one to the other, hash by hash.  So none is missing, added
or altered.

Formats: PostgreSQL binary COPY; RFC 6962 (trees); C2SP signed-note, tlog-checkpoint, tlog-cosignature,
tlog-proof, tlog-policy; RFC 4180 (CSV).  The bundle's own: docs/bundle.md of the project.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import csv
import gc
import json
import mmap
import os
import re
import shutil
import stat
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from hashlib import sha256
from itertools import accumulate, groupby, repeat
from operator import itemgetter
from typing import Any, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    SIGNATURES = True
except Exception:  # not there, or broken in whatever way: signatures are then NOT CHECKED, which is no pass
    SIGNATURES = False

FORMAT = "tally/bundle/v1"
HEADS_FORMAT = "tally/heads/v1"
ANY_SITE = "*"  # named by a head instead of more than 100 sites
MEBIBYTE = 1 << 20
MOST_LEAVES = 2**63 - 1
MOST_TEXT_BYTES = 256 * MEBIBYTE
"""Of a file that is read as a whole: far more than any statement of heads needs."""
MOST_MEMBERS = 10_000
SMALL_BYTES = 16 * MEBIBYTE
MARGIN_H = 48
"""After the period, at least: what the builder waits for rows that come late."""
CLOCKS_S = 3600
"""How far a sealer's clock may be ahead of a witness's.  Our choice."""
MOST_FOLDERS = 4
"""In each other; a bundle has two."""
ROWS_A_PROCESS = 10_000
"""For fewer, another process takes longer to start than it saves."""

# The streams and their columns, as they are hashed: name, type, and a question mark where NULL is allowed.
HEAD = "event_time:timestamptz received_at:timestamptz {}:text seq:int8 resource_digest:bytea "
TAIL = " attributes:json row_hash:bytea"
MACHINE = HEAD.format("machine_id")
STREAMS = {
    "telemetry": MACHINE
    + "metric:text unit:text kind:text start_time:timestamptz? value:float8? count:int8?"
    + TAIL,
    "transactions": MACHINE
    + "transaction_id:text device_seq:int8? site_id:text? material:text? item_count:int8 mass_mg:int8 "
    "gross_mg:int8? tare_mg:int8? mass_method:text? lot_id:text?" + TAIL,
    "predictions": MACHINE
    + "prediction_id:text transaction_id:text? site_id:text? model_id:text model_version:text "
    "model_digest:text? "
    "input_digest:text? material:text confidence:float8 threshold:float8?" + TAIL,
    "events": MACHINE + "event_name:text site_id:text? severity_number:int8? body:text?" + TAIL,
    "scale_tickets": MACHINE
    + "ticket_id:text lot_id:text site_id:text? plant:text? material:text? mass_mg:int8 gross_mg:int8? "
    "tare_mg:int8?" + TAIL,
    "reviews": MACHINE
    + "review_id:text transaction_id:text? prediction_id:text? decision:text material:text? reviewer:text"
    + TAIL,
    "incidents": MACHINE
    + "fingerprint:text alert:text status:text severity:text? site_id:text? starts_at:timestamptz? "
    "ends_at:timestamptz?" + TAIL,
    "governance": HEAD.format("model_id")
    + "action:text model_version:text actor:text model_digest:text?"
    + TAIL,
}


class Column(NamedTuple):
    """A column of a stream."""

    name: str
    type: str
    nullable: bool


def columns_of(stream: str) -> list[Column]:
    """The columns of a stream, in the order of their bytes."""
    return [
        Column(name, kind.rstrip("?"), kind.endswith("?"))
        for name, kind in (word.split(":") for word in STREAMS[stream].split())
    ]


class Failed(Exception):
    """A step found something else than it expected."""

    def __init__(self, found: str, expected: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected


class NotChecked(Exception):
    """A step can't be done; the message says why."""


class CouldNotRun(Exception):
    """There is nothing to check; the message says why."""


def shown(value: object, most: int = 100) -> str:
    """A text of the bundle as it may be printed: no control characters, not too long."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value)[: most + 1])
    return text if len(text) <= most else text[:most] + "..."


def amount(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def reason(error: Exception) -> str:
    """What Python says, in plain words."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number or a moment that is too large" if isinstance(error, OverflowError) else shown(error, 200)


def sites_text(sites: Sequence[str]) -> str:
    """Sites as JSON, uncut, each in quotes; what can't be seen is escaped."""
    text = json.dumps(sites, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


# --- texts of the transparency log ---


def b64(text: str, what: str, length: int | None = None) -> bytes:
    """Canonical base64."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Failed(f"{what} is no base64: {shown(text)!r}") from error
    if base64.b64encode(content).decode() != text:
        raise Failed(f"{what} is no canonical base64: {shown(text)!r}")
    if length is not None and len(content) != length:
        raise Failed(f"{what} has {len(content)} bytes", f"{length} bytes")
    return content


def decimal(text: str, what: str) -> int:
    """Digits without leading zeros, up to 2^63 - 1."""
    if re.fullmatch(r"0|[1-9][0-9]{0,18}", text, re.ASCII) is None or int(text) > MOST_LEAVES:
        raise Failed(f"{what} is {shown(text)!r}", "a number without leading zeros, up to 2^63 - 1")
    return int(text)


class Key(NamedTuple):
    """A verifier key: 1 signs as a log, 4 cosigns as a witness."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """By which signatures name it."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        blob = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{blob}"

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made that Ed25519 signature."""
        if not SIGNATURES:
            raise NotChecked("the Python package cryptography is missing; `pip install cryptography` gets it")
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_key(text: str, kind: int) -> Key:
    """A key of that kind."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not good_name(parts[0]):
        raise Failed(f"{shown(text)!r} is no key", "NAME+IDENTIFIER+BASE64")
    content = b64(parts[2], f"key {shown(parts[0])}", 33)
    key = Key(parts[0], content[0], content[1:])
    if key.kind != kind:
        raise Failed(f"key {shown(key.name)} is of type {key.kind}", f"type {kind} (logs 1, witnesses 4)")
    if parts[1] != key.key_id.hex():
        raise Failed(f"key {shown(key.name)}: its identifier is {shown(parts[1])}", key.key_id.hex())
    return key


def good_name(name: str) -> bool:
    """Whether a key can have this name."""
    return bool(name) and "+" not in name and name.isprintable() and not any(c.isspace() for c in name)


class Note(NamedTuple):
    """A signed text; signatures are name, key identifier, value."""

    text: str
    signatures: list[tuple[str, bytes, bytes]]


def parse_note(content: bytes) -> Note:
    """C2SP signed-note."""
    if len(content) > 1_000_000:
        raise Failed(f"a note of {len(content):,} bytes", "at most 1,000,000")
    try:
        text, separator, lines = content.decode().rpartition("\n\n")
    except UnicodeDecodeError as error:
        raise Failed("a note that is not UTF-8") from error
    text += "\n"
    if not separator or not lines.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise Failed(
            "what lies there is no signed note", "a text, an empty line, and signatures, a line each"
        )
    signatures = []
    for line in lines[:-1].split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014" or not good_name(words[1]):
            raise Failed(f"a note's line {shown(line)!r}", "an em dash, a name and base64")
        blob = b64(words[2], "a signature")
        if len(blob) < 5:
            raise Failed("a note with a signature that is too short")
        signatures.append((words[1], blob[:4], blob[4:]))
    if len(signatures) > 100:
        raise Failed(f"a note with {len(signatures)} signatures", "at most 100")
    return Note(text, signatures)


class Checkpoint(NamedTuple):
    """A log's head."""

    origin: str
    size: int
    root: bytes


def parse_checkpoint(text: str) -> Checkpoint:
    """C2SP tlog-checkpoint."""
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines):
        raise Failed("the note is no checkpoint", "lines for origin, size and root")
    if not good_name(lines[0]):
        raise Failed(f"the origin {shown(lines[0])!r}", "a name without spaces")
    return Checkpoint(lines[0], decimal(lines[1], "the size"), b64(lines[2], "the root", 32))


class Policy(NamedTuple):
    """C2SP tlog-policy: names are octets; the quorum is one of them."""

    logs: list[Key]
    witnesses: dict[bytes, Key]
    groups: dict[bytes, tuple[int, list[bytes]]]
    quorum: bytes

    def agrees(self, keys: Iterable[Key]) -> bool:
        """Whether cosignatures by these keys are enough."""
        cosigned = set(keys)
        good = {name for name, key in self.witnesses.items() if key in cosigned}
        for name, (least, members) in self.groups.items():
            if sum(member in good for member in members) >= least:
                good.add(name)
        return self.quorum == b"none" or self.quorum in good

    def counting(self) -> set[Key]:
        """The witnesses that the quorum is made of."""
        names = [self.quorum]
        for name in names:
            names += self.groups.get(name, (0, []))[1]
        return {self.witnesses[name] for name in names if name in self.witnesses}

    @property
    def asks_for(self) -> str:
        """The quorum, for people."""
        if self.quorum in self.groups:
            least, members = self.groups[self.quorum]
            return f"{least} of {', '.join(octets(member) for member in members)}"
        return octets(self.quorum)


def octets(name: bytes) -> str:
    """A name of a policy as it may be printed."""
    return shown(name.decode("utf-8", "backslashreplace"))


def parse_policy(content: bytes) -> Policy:
    """A policy from its file."""
    if len(content) > 100_000:
        raise Failed(f"a policy of {len(content):,} bytes", "at most 100,000")
    policy = Policy([], {}, {}, b"")
    quorum: list[bytes] = []
    members_so_far: set[bytes] = set()
    for number, line in enumerate(content.split(b"\n"), start=1):
        words = [word for word in line.replace(b"\t", b" ").split(b" ") if word]
        if not words or words[0].startswith(b"#"):
            continue
        taken = {b"none", *policy.witnesses, *policy.groups}
        try:
            if any(octet < 32 or octet == 127 for word in words for octet in word):
                raise Failed("a control character")
            if words[0] == b"log" and len(words) in (2, 3):
                policy.logs.append(parse_key(words[1].decode(), 1))
            elif words[0] == b"witness" and len(words) in (3, 4) and words[1] not in taken:
                key = parse_key(words[2].decode(), 4)
                if key.public in {other.public for other in policy.witnesses.values()}:
                    raise Failed("a witness that was listed before")
                policy.witnesses[words[1]] = key
            elif words[0] == b"group" and len(words) >= 4 and words[1] not in taken:
                members = words[3:]
                if not set(members) <= taken - {b"none"} - members_so_far or len(set(members)) != len(
                    members
                ):
                    raise Failed("a member that is unknown, or a member already")
                members_so_far.update(members)
                counts = {b"all": len(members), b"any": 1}
                least = counts.get(words[2]) or decimal(words[2].decode(), "the count")
                if not 1 <= least <= len(members):
                    raise Failed(f"{least} of {len(members)}")
                policy.groups[words[1]] = least, members
            elif words[0] == b"quorum" and len(words) == 2 and words[1] in taken and not quorum:
                quorum.append(words[1])
            else:
                raise Failed("not a line of a policy, or a name that is taken or unknown")
        except (Failed, UnicodeDecodeError) as error:
            raise Failed(f"policy, line {number}: {error}", "C2SP tlog-policy") from error
    if len(quorum) != 1 or not policy.logs:
        raise Failed("a policy without a log or without a quorum", "lines `log KEY` and `quorum NAME`")
    return policy._replace(quorum=quorum[0])


class Cosigned(NamedTuple):
    """Who cosigned, and when (seconds since 1970)."""

    key: Key
    unix_s: int


def cosignatures(note: Note, keys: Iterable[Key]) -> list[Cosigned]:
    """C2SP tlog-cosignature: those of the keys that cosigned; a wrong one fails."""
    known = {(key.name, key.key_id): key for key in keys}
    found: dict[Key, int] = {}
    for name, key_id, value in note.signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        unix_s = int.from_bytes(value[:8], "big")
        message = f"cosignature/v1\ntime {unix_s}\n{note.text}".encode()
        if len(value) != 72 or unix_s > MOST_LEAVES or not key.signed(message, value[8:]):
            raise Failed(
                f"the cosignature by {shown(key.name)} is wrong", "one that its key made of this checkpoint"
            )
        found[key] = min(unix_s, found.get(key, unix_s))
    return [Cosigned(key, unix_s) for key, unix_s in found.items()]


def check_log_signature(note: Note, checkpoint: Checkpoint, policy: Policy) -> Key:
    """The log's key that signed; a wrong signature fails."""
    known = {(key.name, key.key_id): key for key in policy.logs}
    signed = None
    for name, key_id, value in note.signatures:
        key = known.get((name, key_id))
        if key is not None:
            if not key.signed(note.text.encode(), value):
                raise Failed(
                    f"the signature by {shown(key)} is wrong", "one that this key made of this checkpoint"
                )
            if key.name == checkpoint.origin:
                signed = key
    if signed is None:
        keys = ", ".join(shown(key) for key in policy.logs)
        raise Failed(
            f"no signature of the log {shown(checkpoint.origin)} by a key of the policy", f"one by {keys}"
        )
    return signed


def check_inclusion(index: int, checkpoint: Checkpoint, leaf: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162, 2.1.3.2: the leaf is in the checkpoint's tree at that index."""
    if not 0 <= index < checkpoint.size:
        raise Failed(f"leaf {index} of a tree of {checkpoint.size} leaves")
    node, last, root = index, checkpoint.size - 1, leaf
    for step in proof:
        if last == 0:
            raise Failed(f"the proof of leaf {index} is too long")
        if node & 1 or node == last:
            root = sha256(b"\x01" + step + root).digest()
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            root = sha256(b"\x01" + root + step).digest()
        node, last = node >> 1, last >> 1
    if last != 0 or root != checkpoint.root:
        raise Failed(
            f"the proof of leaf {index} leads to {base64.b64encode(root).decode()}",
            f"the checkpoint's root {base64.b64encode(checkpoint.root).decode()}",
        )


def check_consistency(older: Checkpoint, newer: Checkpoint, proof: Sequence[bytes]) -> None:
    """RFC 9162, 2.1.4.2, for trees of different sizes: the newer one begins with the older one."""
    wrong = Failed(
        f"the tree of {newer.size} leaves is not shown to begin with that of {older.size}",
        "a proof that leads to both roots",
    )
    steps = list(proof)
    if older.size & (older.size - 1) == 0:
        steps.insert(0, older.root)
    if not steps or older.size < 1:
        raise wrong
    node, last = older.size - 1, newer.size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise wrong
        if node & 1 or node == last:
            first = sha256(b"\x01" + step + first).digest()
            second = sha256(b"\x01" + step + second).digest()
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            second = sha256(b"\x01" + second + step).digest()
        node, last = node >> 1, last >> 1
    if last != 0 or first != older.root or second != newer.root:
        raise wrong


def parse_consistency(content: bytes, older: Checkpoint, newer: Checkpoint) -> list[bytes]:
    """The hashes of a proof of `tally prove-consistency` between these two."""
    lines = content.decode("utf-8", "replace").partition("\n\n")[0].rstrip("\n").split("\n")
    heads = [
        f"{word} {one.size} {base64.b64encode(one.root).decode()}"
        for word, one in (("old", older), ("new", newer))
    ]
    if lines[:3] != ["tally/consistency-proof/v1", *heads] or len(lines) > 130:
        raise Failed(
            "a consistency proof of other trees, or none", f"one of {older.size} and {newer.size} leaves"
        )
    return [b64(line, "a hash of the consistency proof", 32) for line in lines[3:]]


def parse_proof(content: bytes) -> tuple[int, list[bytes], bytes]:
    """C2SP tlog-proof: index, hashes, and the checkpoint's bytes."""
    head, separator, note = content.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Failed("a proof that is not ASCII") from error
    if not separator or len(lines) < 2 or lines[0] != "c2sp.org/tlog-proof@v1" or len(lines) > 65:
        raise Failed("what lies there is no proof", "c2sp.org/tlog-proof@v1")
    if not lines[1].startswith("index "):
        raise Failed(f"a proof's second line {shown(lines[1])!r}", "index N")
    hashes = [b64(line, "a hash of the proof", 32) for line in lines[2:]]
    return decimal(lines[1][6:], "a proof's index"), hashes, note


# --- statements of heads, and the manifest ---

ChainId = tuple[str, str]


class Head(NamedTuple):
    """How far a chain was sealed: its last row's seq and hash; the sites that it had named."""

    seq: int
    row_hash: bytes
    sites: tuple[str, ...]


class Statement(NamedTuple):
    """A statement of heads."""

    origin: str
    batch: int
    first_leaf: int
    size: int
    sealed_at: str
    heads: dict[ChainId, Head]
    digest: bytes


def canonical(value: object) -> str:
    """RFC 8785, for texts and integers."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def counted(value: object, least: int) -> int:
    """An integer of JSON from ``least`` up to 2^63 - 1."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_LEAVES:
        raise ValueError(f"{shown(value, 40)} is no count from {least} on")
    return value


def parse_time(text: object) -> datetime:
    """A moment as the bundle writes it, in microseconds and Z."""
    if not isinstance(text, str):
        raise ValueError(f"{shown(text, 40)} is no moment")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def time_text(moment: datetime) -> str:
    """The inverse of ``parse_time``."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def parse_statement(content: bytes) -> Statement:
    """A statement of heads, refused if it is not in its one form."""
    try:
        lines = content.decode().split("\n")
        if lines.pop() or not lines:
            raise ValueError("it does not end with a line break")
        values = [json.loads(line) for line in lines]
        if [canonical(value) for value in values] != lines:
            raise ValueError("not in canonical form")
        batch = values[0]
        form = batch["format"], batch["columns"], len(batch)
        columns = ["stream", "chain", "seq", "row_hash", "sites"]
        if form != (HEADS_FORMAT, columns, 7) or not isinstance(batch["origin"], str):
            raise ValueError("another format")
        if time_text(parse_time(batch["sealed_at"])) != batch["sealed_at"]:
            raise ValueError("a moment in another form")
        heads: dict[ChainId, Head] = {}
        before: tuple[bytes, bytes] = (b"", b"")
        for stream, chain, seq, row_hash, sites in values[1:]:
            place = stream.encode(), chain.encode()
            if place <= before:
                raise ValueError("chains are not in order, each once")
            if sites != sorted(set(sites)) or not re.fullmatch(r"[0-9a-f]{64}", row_hash, re.ASCII):
                raise ValueError("a head that is none")
            heads[stream, chain] = Head(counted(seq, 1), bytes.fromhex(row_hash), tuple(sites))
            before = place
        first_leaf, leaves = counted(batch["first_leaf"], 0), counted(batch["leaves"], 1)
        return Statement(
            batch["origin"],
            counted(batch["batch"], 1),
            first_leaf,
            first_leaf + leaves,
            batch["sealed_at"],
            heads,
            sha256(content).digest(),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise Failed(f"this is no statement of heads: {reason(error)}", HEADS_FORMAT) from error


class Manifest(NamedTuple):
    """What the bundle says of itself."""

    origin: str
    start: datetime
    end: datetime
    margin_h: int
    sites: tuple[str, ...] | None
    opening: tuple[int, int, str] | None
    closing: tuple[int, int, str]
    checkpoint_size: int
    witnessed: bool
    rows: dict[str, int]
    report: str | None
    sql_digest: str
    members: dict[str, tuple[int, str]]

    @property
    def over(self) -> datetime:
        """When the period and its margin are over."""
        try:
            return self.end + timedelta(hours=self.margin_h)
        except OverflowError as error:
            raise Failed(
                f"a period to {time_text(self.end)} and a margin of {self.margin_h} h",
                "both to end before the year 10000",
            ) from error

    @property
    def about(self) -> str:
        """Which bundle it is, for people."""
        sites = "all" if self.sites is None else sites_text(self.sites)
        opening = self.opening[2] if self.opening else "the beginning of the ledger"
        return (
            f"period {time_text(self.start)} to {time_text(self.end)}, sites {sites}, opening {opening}, "
            f"closing {self.closing[2]}"
        )


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, refused if it has a name twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name that is there twice")
    return found


def parse_manifest(content: bytes) -> Manifest:
    """The manifest, refused if it is not in its one form."""

    def batch(value: Any) -> tuple[int, int, str]:
        at = value["sealed_at"]
        if set(value) != {"batch", "size", "sealed_at"} or time_text(parse_time(at)) != at:
            raise ValueError("a batch has batch, size and sealed_at")
        return counted(value["batch"], 1), counted(value["size"], 1), at

    try:
        value = json.loads(content.decode(), object_pairs_hook=once)
        if (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode() != content:
            raise ValueError("not in canonical form")
        names = "checkpoint closing digest format margin_h members opening origin period report rows sites"
        if sorted(value) != [*names.split(), "sql_digest"] or value["format"] != FORMAT:
            raise ValueError(f"not as {FORMAT} has it")
        digest = value.pop("digest")
        if digest != sha256(canonical(value).encode()).hexdigest():
            raise ValueError("its digest is not that of its content: it was damaged")
        sites = value["sites"]
        if sites is not None and (not sites or sites != sorted({str(site) for site in sites})):
            raise ValueError("sites are texts in order, each once")
        if set(value["period"]) != {"from", "to"} or set(value["checkpoint"]) != {"size", "witnessed"}:
            raise ValueError("a period has from and to, a checkpoint size and witnessed")
        for stream in value["rows"]:
            if stream not in STREAMS:
                raise ValueError(
                    f"the stream {shown(stream)!r} is not known here: take the verify.py of a newer release"
                )
        members = {}
        for name, one in value["members"].items():
            if set(one) != {"bytes", "sha256"} or not re.fullmatch(r"[0-9a-f]{64}", one["sha256"], re.ASCII):
                raise ValueError(f"{shown(name)}: a member has bytes and sha256")
            members[name] = counted(one["bytes"], 0), one["sha256"]
        texts = value["origin"], value["sql_digest"], "" if value["report"] is None else value["report"]
        witnessed = value["checkpoint"]["witnessed"]
        if not all(isinstance(one, str) for one in texts) or not isinstance(witnessed, bool):
            raise ValueError("a value of another type")
        start, end = parse_time(value["period"]["from"]), parse_time(value["period"]["to"])
        if not start < end:
            raise ValueError("a period that ends before it begins")
        return Manifest(
            value["origin"],
            start,
            end,
            counted(value["margin_h"], 0),
            None if sites is None else tuple(sites),
            None if value["opening"] is None else batch(value["opening"]),
            batch(value["closing"]),
            counted(value["checkpoint"]["size"], 1),
            witnessed,
            {stream: counted(rows, 1) for stream, rows in value["rows"].items()},
            value["report"],
            value["sql_digest"],
            members,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise Failed(f"manifest.json is no manifest: {reason(error)}", FORMAT) from error


_STREAM_FILES = ("rows/{}.copy", "rows/{}.lengths", "csv/{}.csv", "csv/{}.blocks", "parquet/{}.parquet")
_FREE = re.compile(r"(factors|sql|report|report/csv)/[A-Za-z0-9_.-]{1,120}", re.ASCII)


def check_names(manifest: Manifest) -> None:
    """Raise unless the members are those of a bundle: no more, no less, and no path that leads out."""
    needed = {
        *("README.md", "verify.py", "resources.csv"),
        *("log/checkpoint", "log/policy", "log/closing.heads", "log/closing.tlog-proof", "log/seals.csv"),
    }
    if manifest.opening is not None:
        needed |= {"log/opening.heads", "log/opening.tlog-proof"}
    for stream in manifest.rows:
        needed |= {name.format(stream) for name in _STREAM_FILES}
    if manifest.report is not None:
        needed |= {"report/report.json"}
    missing = sorted(needed - set(manifest.members))
    if missing:
        raise Failed(f"the manifest does not name {missing[0]}", "all the files of a bundle")
    if len(manifest.members) > MOST_MEMBERS:
        raise Failed(f"{len(manifest.members)} files", f"at most {MOST_MEMBERS}")
    for name in sorted(set(manifest.members) - needed - {"log/timestamp.tsr"}):
        if not _FREE.fullmatch(name) or name.rpartition("/")[2].startswith(".") or name.endswith("."):
            raise Failed(f"the manifest names {shown(name)!r}", "no files but those of a bundle")
    folded = [name.lower() for name in manifest.members]
    if len(set(folded)) != len(folded):
        raise Failed("names that differ in capitals alone")


# --- the bundle as files ---


class Bundle:
    """The files of a bundle in a folder: what an archive holds is unpacked into a temporary one.

    ``good``: the names of those whose size and digest are the manifest's; no other is ever read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder = path
        self.good: set[str] = set()
        self._temporary: str | None = None

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Bundle:  # noqa: PYI034 - Self is Python 3.11's
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def place(self, name: str) -> str:
        """Where a file lies."""
        if name not in self.good:
            raise NotChecked(f"{name} is not there as the manifest has it")
        return os.path.join(self.folder, *name.split("/"))

    def read(self, name: str, most: int = MOST_TEXT_BYTES) -> bytes:
        """A file's content."""
        with open(self.place(name), "rb") as file:
            if os.fstat(file.fileno()).st_size > most:
                raise Failed(f"{name} has more than {most:,} bytes")
            return file.read()

    def open(self) -> tuple[Manifest, bytes, list[str]]:
        """The manifest, its bytes, and what is wrong with the files."""
        if os.path.isdir(self.path):
            return self._open_folder()
        return self._open_archive()

    def _open_folder(self) -> tuple[Manifest, bytes, list[str]]:
        found: dict[str, os.stat_result] = {}
        problems = []

        def walk(folder: str, prefix: str) -> None:
            for entry in os.scandir(folder):
                name = prefix + entry.name
                if len(found) > 2 * MOST_MEMBERS:
                    return
                if entry.is_dir(follow_symlinks=False) and prefix.count("/") < MOST_FOLDERS:
                    walk(entry.path, name + "/")
                elif entry.is_file(follow_symlinks=False):
                    found[name] = entry.stat(follow_symlinks=False)
                else:
                    problems.append(f"{shown(name)} is a link, no plain file, or a folder too deep")

        walk(self.path, "")
        if "manifest.json" not in found:
            raise CouldNotRun(f"{self.path} has no manifest.json: name the archive or the folder of a bundle")
        if found["manifest.json"].st_size > SMALL_BYTES:
            raise Failed(
                f"manifest.json has {found['manifest.json'].st_size:,} bytes", f"at most {SMALL_BYTES:,}"
            )
        with open(os.path.join(self.path, "manifest.json"), "rb") as file:
            content = file.read(SMALL_BYTES + 1)
        manifest = parse_manifest(content)
        check_names(manifest)
        problems += [
            f"{shown(name)} is there and is not in the manifest"
            for name in sorted(set(found) - set(manifest.members) - {"manifest.json"})
        ]

        def check(name: str) -> str | None:
            if name not in found:
                return f"{name} is missing"
            with open(os.path.join(self.path, *name.split("/")), "rb") as file:
                blocks = iter(partial(file.read, MEBIBYTE), b"")
                return self._judged(name, found[name].st_size, blocks, manifest)

        with ThreadPoolExecutor(processors()) as pool:
            problems += [said for said in pool.map(check, sorted(manifest.members)) if said]
        return manifest, content, problems

    def _judged(
        self, name: str, size: int, blocks: Iterable[bytes], manifest: Manifest, copy: Any = None
    ) -> str | None:
        """What is wrong with a file, if anything; its content is written to ``copy`` on the way."""
        expected, digest = manifest.members[name]
        hashed, read = sha256(), 0
        for block in blocks if size == expected else ():
            read += len(block)
            if read > expected:
                break
            hashed.update(block)
            if copy is not None:
                copy.write(block)
        if size != expected or read != expected:
            return f"{name} has {size if size != expected else read:,} bytes, expected {expected:,}"
        if hashed.hexdigest() != digest:
            return f"{name} was altered: its SHA-256 is {hashed.hexdigest()}, expected {digest}"
        self.good.add(name)
        return None

    def _open_archive(self) -> tuple[Manifest, bytes, list[str]]:
        try:
            file = open(self.path, "rb")  # noqa: SIM115 - its error alone is caught here
        except OSError as error:
            raise CouldNotRun(
                f"{self.path}: {error.strerror}; name the archive or the folder of a bundle"
            ) from error
        with file:
            entries = archive_entries(file)
            if "manifest.json" not in entries:
                raise Failed("the archive has no manifest.json", "an evidence bundle")
            if entries["manifest.json"].file_size > SMALL_BYTES:
                raise Failed("a manifest.json that is far too large", f"at most {SMALL_BYTES:,} bytes")
            content = b"".join(inflated(file, entries["manifest.json"]))
            manifest = parse_manifest(content)
            check_names(manifest)
            needs = sum(size for size, _ in manifest.members.values())
            self._temporary = self.folder = tempfile.mkdtemp(prefix="bundle-")
            if needs > shutil.disk_usage(self.folder).free - 64 * MEBIBYTE:
                raise CouldNotRun(
                    f"unpacked it takes {needs:,} bytes: set TMPDIR to a folder with that much room"
                )
        problems = [
            f"{shown(name)} is in the archive and not in the manifest"
            for name in sorted(set(entries) - set(manifest.members) - {"manifest.json"})
        ]

        def unpack(name: str) -> str | None:
            if name not in entries:
                return f"{name} is missing"
            place = os.path.join(self.folder, *name.split("/"))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            try:
                with open(self.path, "rb") as archive, open(place, "xb") as copy:
                    blocks = inflated(archive, entries[name])
                    return self._judged(name, entries[name].file_size, blocks, manifest, copy)
            except Failed as error:
                return f"{name}: {error}"

        with ThreadPoolExecutor(processors()) as pool:
            problems += [said for said in pool.map(unpack, sorted(manifest.members)) if said]
        return manifest, content, problems


_REPACKED = "an archive as it was written; if it was re-packed, unpack it and verify the folder"


def archive_entries(file: Any) -> dict[str, zipfile.ZipInfo]:
    """The entries of an archive, every byte of whose structure is as a bundle has it."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            comment = archive.comment
            directory = archive.start_dir
    except Exception as error:  # zipfile has many ways to refuse
        raise Failed(
            f"this is no archive, or it is damaged: {shown(error, 200)}", "a ZIP archive, whole"
        ) from error
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise Failed("an archive with two files of one name", "each name once")
    if len(infos) > MOST_MEMBERS or comment or names != sorted(names):
        raise Failed("an archive with a comment, or out of order", _REPACKED)
    at = 0
    for info in infos:
        odd = (
            info.flag_bits
            or info.date_time != (1980, 1, 1, 0, 0, 0)
            or info.create_system != 3
            or info.external_attr != (stat.S_IFREG | 0o644) << 16
            or info.internal_attr
            or info.volume
            or info.comment
            or info.create_version not in (20, 45)
            or info.extract_version not in (20, 45)
            or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            or info.header_offset != at
            or not info.filename.isascii()
            or info.orig_filename != info.filename
        )
        if odd:
            raise Failed(f"{shown(info.filename)}: its entry is not as a bundle has it", _REPACKED)
        name = info.filename.encode()
        sizes = info.compress_size, info.file_size
        head = struct.pack("<4sHHHHH", b"PK\x03\x04", info.extract_version, 0, info.compress_type, 0, 33)
        small = (
            head + struct.pack("<LLLHH", info.CRC, *(min(s, 0xFFFFFFFF) for s in sizes), len(name), 0) + name
        )
        large = (
            head
            + struct.pack("<LLLHH", info.CRC, 0xFFFFFFFF, 0xFFFFFFFF, len(name), 20)
            + name
            + struct.pack("<HHQQ", 1, 16, info.file_size, info.compress_size)
        )
        file.seek(at)
        local = file.read(len(large))
        header = large if local == large else small
        if not local.startswith(header):
            raise Failed(f"{shown(info.filename)}: its two headers differ", _REPACKED)
        info.header_offset = at + len(header)  # from here on: where the content begins
        at += len(header) + info.compress_size
    if at != directory:
        raise Failed("an archive with bytes between its files", _REPACKED)
    file.seek(at)
    rest = file.read(MOST_MEMBERS * 400)
    if sum(46 + len(i.filename) + len(i.extra) for i in infos) + 22 != len(rest) - (
        76 if b"PK\x06\x06" in rest[-98:-90] else 0
    ) or any(i.extra[:2] not in (b"", b"\x01\x00") for i in infos):
        raise Failed("an archive with more than its files", _REPACKED)
    return {info.filename: info for info in infos}


def inflated(file: Any, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of an entry, never more than it says."""
    file.seek(info.header_offset)
    left, given, crc = info.compress_size, 0, 0
    inflate = zlib.decompressobj(-15) if info.compress_type == zipfile.ZIP_DEFLATED else None
    try:
        while left or (inflate and inflate.unconsumed_tail):
            packed = inflate.unconsumed_tail if inflate else b""
            if not packed:
                packed = file.read(min(left, 1 << 16))
                left -= len(packed)
                if not packed:
                    raise Failed("the archive ends early")
            block = inflate.decompress(packed, 1 << 18) if inflate else packed
            if inflate and inflate.eof and (left or inflate.unused_data):
                raise Failed("it has bytes after its end")
            given += len(block)
            if given > info.file_size:
                raise Failed(f"it has more than the {info.file_size:,} bytes that it says")
            crc = zlib.crc32(block, crc)
            yield block
    except zlib.error as error:
        raise Failed(f"it is damaged: {shown(error)}") from error
    if (inflate and not inflate.eof) or given != info.file_size or crc != info.CRC:
        raise Failed("it is damaged: it ends early, or its CRC is another")


def processors() -> int:
    """How many processes are of use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


# --- rows: hash chains, and what the CSV file says of them ---

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
HASH_FIELD_BYTES = 36
"""row_hash with its length, the last field of a row: what its hash does not cover."""
_CODES = {"timestamptz": "q", "int8": "q", "float8": "d"}
_MOST_SHAPES = 20_000
_RUN_ROWS = 128
_copy_buffer, _table_buffer = bytearray(), bytearray()

Row = tuple[Any, ...]
"""A tuple as its shape gives it: the count of fields, then length and content of each."""


class Segment(NamedTuple):
    """Rows of a chain that follow each other, the hash before them, and the last one's where it is known."""

    chain: str
    first_seq: int
    rows: int
    previous: bytes
    last: bytes | None


class Block(NamedTuple):
    """Rows of a stream that are checked together, and where they lie in the two files."""

    stream: str
    copy: str
    table: str
    copy_at: int
    table_at: int
    table_bytes: int
    lengths: bytes
    segments: list[Segment]


class Checked(NamedTuple):
    """What was found in a block: the senders that its rows name; the first thing that is wrong, if any."""

    rows: int
    senders: set[bytes]
    wrong_row: tuple[str, str] | None
    wrong_line: tuple[str, str] | None


class Memo(dict[Any, str]):
    """Texts of values, made once as long as there is room."""

    def __init__(self, render: Callable[[Any], str]) -> None:
        super().__init__({NULL: ""})
        self.render = render

    def __missing__(self, value: Any) -> str:
        text = self.render(value)
        if len(self) > 100_000:
            self.clear()
            self[NULL] = ""
        if len(text) < 1_000:
            self[value] = text
        return text


def second_text(seconds: int) -> str:
    """A whole second since 2000, up to the decimal point."""
    return (EPOCH + timedelta(seconds=seconds)).isoformat()[:19] + "."


_seconds = Memo(second_text)
_QUOTED = re.compile('[",\r\n]')


def moment_text(microseconds: int) -> str:
    """A timestamptz."""
    return f"{_seconds[microseconds // 1_000_000]}{microseconds % 1_000_000:06d}Z"


def quoted(raw: bytes) -> str:
    """A text as a CSV field; the empty text is not NULL."""
    text = raw.decode()
    if not text or _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


_RENDER: dict[str, Callable[[Any], str]] = {
    "timestamptz": Memo(moment_text).__getitem__,
    "int8": Memo(str).__getitem__,
    "float8": lambda value: "" if value == NULL else repr(value),  # no memo: 0.0 and -0.0 are equal
    "text": Memo(quoted).__getitem__,
    "json": Memo(quoted).__getitem__,
    "bytea": Memo(bytes.hex).__getitem__,
}


class Shape:
    """Tuples with the same lengths of fields: one format reads them all.

    Each column gives two values: its length and its content; for NULL nothing and ``NULL``.
    """

    def __init__(self, stream: str, data: bytes) -> None:
        """From one tuple; Failed if it is none of the stream."""
        columns = columns_of(stream)
        if int.from_bytes(data[:2], "big") != len(columns):
            raise Failed(f"a tuple of {int.from_bytes(data[:2], 'big')} fields", f"{len(columns)}")
        at = 2
        form, places = [">h"], [0]
        expected: list[Any] = [len(columns)]
        for number, column in enumerate(columns):
            length = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
            if length == -1 and column.nullable:
                form.append("0s4s")
                places.append(2 * number + 2)
                expected.append(NULL)
                continue
            right = 8 if column.type in _CODES else 32 if column.type == "bytea" else length
            if length != right or length < 0 or at + length > len(data):
                raise Failed(f"{column.name} of {length} bytes", f"{column.type}, within the tuple")
            form.append(f"i{_CODES.get(column.type) or f'{length}s'}")
            places.append(2 * number + 1)
            expected.append(length)
            at += length
        if at != len(data):
            raise Failed(f"{len(data) - at} bytes after a tuple's last field", "none")
        self.form = struct.Struct("".join(form))
        self.words = itemgetter(*places)
        self.expected = tuple(expected)


_shapes: dict[tuple[str, int], dict[int, list[Shape]]] = {}


def read_tuples(stream: str, chain: str, data: memoryview, at: int, lengths: Sequence[int]) -> Iterator[Row]:
    """The tuples of these lengths, each as its shape gives it."""
    # Which shape a tuple has is guessed from its length and from that of its sixth field, and then checked;
    # neighbours of one length are read at once if they turn out to have one shape.
    place = 2 + 12 + 12 + 4 + len(chain.encode()) + 12 + 36 + 3
    known = _shapes.setdefault((stream, place), {})
    for length, group in groupby(lengths):
        count = len(list(group))
        while count:
            guess = (length << 8) | (data[at + place] if place < length else 0)
            for shape in known.get(guess, ()):
                row = shape.form.unpack_from(data, at)
                if shape.words(row) == shape.expected:
                    break
            else:
                shape = Shape(stream, bytes(data[at : at + length]))
                if sum(map(len, known.values())) > _MOST_SHAPES:
                    known.clear()
                known.setdefault(guess, []).append(shape)
                row = shape.form.unpack_from(data, at)
            if count > 1:
                rows = list(shape.form.iter_unpack(data[at : at + count * length]))
                if list(map(shape.words, rows)).count(shape.expected) == count:
                    yield from rows
                    at += count * length
                    break
            yield row
            at, count = at + length, count - 1


def check_block(block: Block) -> Checked:
    """Recompute the chains of a block, and the lines of its CSV file."""
    gc.disable()  # there are no cycles here, and to look for them among all these tuples takes long
    lengths = numbers(block.lengths)
    with memoryview(read_part(_copy_buffer, block.copy, block.copy_at, sum(lengths))) as data:
        return check_rows(block, lengths, data)


def numbers(content: bytes) -> array[int]:
    """Unsigned integers of 32 bits, big-endian."""
    found = array("I", content)
    if sys.byteorder == "little":
        found.byteswap()
    return found


def check_rows(block: Block, lengths: Sequence[int], data: memoryview) -> Checked:
    """The same, with the tuples read."""
    table = Table(block)
    senders: set[bytes] = set()
    rows: list[Row] = []
    at, number = 0, 0
    for segment in block.segments:
        previous, seq, end = segment.previous, segment.first_seq, segment.first_seq + segment.rows
        while seq < end:
            # Few at a time: what stays in the processor's caches is checked in half the time.
            own = lengths[number : number + min(end - seq, _RUN_ROWS - len(rows))]
            run: list[Row] = []
            try:
                run.extend(read_tuples(block.stream, segment.chain, data, at, own))
            except (Failed, struct.error, IndexError) as error:
                where = row_name(block.stream, segment.chain, seq + len(run))
                expected = getattr(error, "expected", "") or "a tuple of this stream"
                return Checked(0, senders, (f"{where}: {error}", expected), None)
            previous, wrong = check_run(block.stream, segment.chain, seq, previous, data, at, own, run)
            if wrong is not None:
                return Checked(0, senders, wrong, None)
            rows += run
            at, number, seq = at + sum(own), number + len(own), seq + len(own)
            if len(rows) == _RUN_ROWS:
                senders.update(table.check(rows))
                rows.clear()
        if segment.last is not None and previous != segment.last:
            where = row_name(block.stream, segment.chain, end - 1)
            expected = f"{segment.last.hex()}, as the closing statement says"
            return Checked(0, senders, (f"{where}: its hash is {previous.hex()}", expected), None)
    if rows:
        senders.update(table.check(rows))
    return Checked(number, senders, None, table.finished())


def read_part(buffer: bytearray, path: str, at: int, size: int) -> bytearray:
    """A part of a file, in a buffer that is used again."""
    if len(buffer) < size:
        buffer.extend(bytes(size - len(buffer)))
    with open(path, "rb", buffering=0) as file, memoryview(buffer) as view:
        file.seek(at)
        done = 0
        while done < size:
            read = file.readinto(view[done:size])
            if not read:
                raise Failed(f"{os.path.basename(path)} ends early")
            done += read
    return buffer


def row_name(stream: str, chain: str, seq: int) -> str:
    """A row's place, as messages name it."""
    return f"{stream} {shown(chain)} row {seq}"


def check_run(
    stream: str,
    chain: str,
    seq: int,
    previous: bytes,
    data: memoryview,
    at: int,
    lengths: Sequence[int],
    rows: list[Row],
) -> tuple[bytes, tuple[str, str] | None]:
    """The last hash of rows that follow each other, and the first that is not what its chain has there."""
    name = chain.encode()
    # All at once first, each with the 32 bytes before it, which are the hash of the row before it as the file
    # has it; one by one only if something is wrong.
    starts = accumulate(lengths[1:], initial=at + lengths[0])
    computed = [sha256(previous + data[at : at + lengths[0] - HASH_FIELD_BYTES]).digest()]
    computed += [
        sha256(data[start - 32 : start + length - HASH_FIELD_BYTES]).digest()
        for start, length in zip(starts, lengths[1:])
    ]
    stored = [row[-1] for row in rows]
    places = [row[8] for row in rows] == list(range(seq, seq + len(rows)))
    if computed == stored and places and {row[6] for row in rows} == {name}:
        return stored[-1], None
    for length, row in zip(lengths, rows):
        previous = sha256(previous + data[at : at + length - HASH_FIELD_BYTES]).digest()
        if row[-1] != previous or row[8] != seq or row[6] != name:
            where = row_name(stream, chain, seq)
            if row[6] != name or row[8] != seq:
                other = shown(row[6].decode("utf-8", "backslashreplace"))
                return previous, (f"{where}: row {row[8]} of {other} is in its place", "the chain's next row")
            expected = f"{previous.hex()}, from the row before it and its own bytes"
            return previous, (f"{where}: its hash is {row[-1].hex()}", expected)
        at += length
        seq += 1
    return previous, None


class Table:
    """The lines of a block in the CSV file, held against its rows; ``wrong``: the first that differs."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.columns = columns_of(block.stream)
        self.found = read_part(_table_buffer, block.table, block.table_at, block.table_bytes)
        self.at = 0
        self.wrong: tuple[str, str] | None = None

    def check(self, rows: list[Row]) -> set[bytes]:
        """The next lines, which should say what these rows say; the senders that they name."""
        columns = list(zip(*rows))[2::2]
        if self.wrong is None:
            try:
                rendered = [rendered_column(c.type, values) for c, values in zip(self.columns, columns)]
                lines = list(map(",".join, zip(*rendered)))
                expected = ("\r\n".join(lines) + "\r\n").encode()
            except (ValueError, OverflowError) as error:
                said = f"a value of {self.block.stream} that CSV can't say: {shown(error)}"
                self.wrong = said, "UTF-8; the years 1 to 9999"
                return set()
            if self.found[self.at : self.at + len(expected)] != expected:
                self.wrong = self._first_wrong(columns, lines)
            self.at += len(expected)
        return set(columns[4])

    def _first_wrong(self, columns: list[tuple[Any, ...]], lines: list[str]) -> tuple[str, str]:
        at = self.at
        for line, chain, seq in zip(lines, columns[2], columns[3]):
            raw = line.encode() + b"\r\n"
            if self.found[at : at + len(raw)] != raw:
                said = self.found[at : at + len(raw)].decode("utf-8", "backslashreplace")
                where = row_name(self.block.stream, chain.decode(), seq)
                return f"{where}: the CSV file says {shown(said, 300)!r}", repr(shown(line, 300))
            at += len(raw)
        raise AssertionError("one of them is another")

    def finished(self) -> tuple[str, str] | None:
        """What is wrong, after the last row."""
        if self.wrong is None and self.at != self.block.table_bytes:
            said = f"csv/{self.block.stream}.csv: a block of {self.block.table_bytes:,} bytes"
            return said, f"{self.at:,} bytes, as its rows take"
        return self.wrong


def rendered_column(kind: str, values: tuple[Any, ...]) -> Iterable[str]:
    """The fields of a column; the usual cases are done without a step for each value."""
    render = _RENDER[kind]
    if kind != "float8" and values.count(values[0]) == len(values):
        return repeat(render(values[0]), len(values))
    if kind in ("int8", "float8"):
        nulls = values.count(NULL)
        if nulls in (0, len(values)):
            return repeat("", nulls) if nulls else map(repr, values)
    if kind == "timestamptz" and NULL not in values and len(set(values)) > len(values) // 2:
        second = min(values) // 1_000_000
        if max(values) // 1_000_000 == second:
            text, before = _seconds[second], (second - 1) * 1_000_000
            return [text + str(value - before)[1:] + "Z" for value in values]
        return [
            _seconds[value // 1_000_000] + str(value % 1_000_000 + 1_000_000)[1:] + "Z" for value in values
        ]
    return map(bytes.hex, values) if kind == "bytea" else map(render, values)


class StreamRows:
    """Where the rows of a stream lie: ``ends`` has the end of each in the COPY file."""

    def __init__(self, bundle: Bundle, stream: str, chains: list[tuple[str, int, int]], rows: int) -> None:
        """``chains``: name, first and last seq of each that has rows, in the order of their bytes."""
        self.stream = stream
        self.chains = chains
        self.copy = bundle.place(f"rows/{stream}.copy")
        self.table = bundle.place(f"csv/{stream}.csv")
        self.lengths = bundle.read(f"rows/{stream}.lengths", 4 * rows)
        if len(self.lengths) != 4 * rows:
            raise Failed(
                f"rows/{stream}.lengths has {len(self.lengths):,} bytes", f"{4 * rows:,}: 4 for each row"
            )
        self.ends = array("Q", accumulate(numbers(self.lengths), initial=len(COPY_HEADER)))
        size = os.path.getsize(self.copy)
        if self.ends[-1] + len(COPY_TRAILER) != size:
            raise Failed(
                f"rows/{stream}.copy has {size:,} bytes",
                f"{self.ends[-1] + len(COPY_TRAILER):,}: header, {rows:,} rows of these lengths, trailer",
            )
        with open(self.copy, "rb") as file:
            header = file.read(len(COPY_HEADER))
            file.seek(self.ends[-1])
            trailer = file.read()
        if header != COPY_HEADER or trailer != COPY_TRAILER:
            raise Failed(
                f"rows/{stream}.copy has another header or trailer", "those of PostgreSQL's binary COPY"
            )
        self.blocks = self._blocks(bundle.read(f"csv/{stream}.blocks"), rows)

    def _blocks(self, content: bytes, rows: int) -> list[tuple[int, int]]:
        """Rows and bytes of CSV of each block."""
        lines = content.decode("ascii", "replace").split("\r\n")
        header = (",".join(c.name for c in columns_of(self.stream)) + "\r\n").encode()
        with open(self.table, "rb") as file:
            if file.read(len(header)) != header:
                raise Failed(
                    f"csv/{self.stream}.csv does not begin with its columns' names",
                    shown(header.decode(), 400),
                )
        what = f"csv/{self.stream}.blocks"
        if lines.pop() or lines[:1] != ["rows,bytes"]:
            raise Failed(f"{what} is none", "a header rows,bytes and a line for each block")
        found = []
        for line in lines[1:]:
            first, _, second = line.partition(",")
            found.append((decimal(first, what), decimal(second, what)))
        size = os.path.getsize(self.table)
        if sum(n for n, _ in found) != rows or any(n == 0 for n, _ in found):
            raise Failed(f"{what} has {sum(n for n, _ in found):,} rows", f"{rows:,}")
        if len(header) + sum(n for _, n in found) != size:
            raise Failed(
                f"csv/{self.stream}.csv has {size:,} bytes", "its header and its blocks, nothing else"
            )
        self.table_begin = len(header)
        return found

    def row_hash(self, row: int, mapped: Any) -> bytes:
        """The stored hash of a row, by its number in the file."""
        end = self.ends[row + 1]
        return bytes(mapped[end - 32 : end])

    def planned(self, opening: dict[ChainId, Head], closing: dict[ChainId, Head]) -> Iterator[Block]:
        """The blocks to check; each begins with the hash that the one before must end with."""
        chains = iter(self.chains)
        chain, seq, last = "", 1, 0
        row, table_at = 0, self.table_begin
        with open(self.copy, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for rows, table_bytes in self.blocks:
                first, left, segments = row, rows, []
                while left:
                    if seq > last:
                        chain, seq, last = next(chains)
                        before = opening.get((self.stream, chain))
                        previous = before.row_hash if before else genesis(self.stream, chain)
                    else:
                        previous = self.row_hash(row - 1, mapped)
                    taken = min(left, last - seq + 1)
                    seq += taken
                    ends = seq > last
                    known = closing[self.stream, chain].row_hash if ends else None
                    segments.append(Segment(chain, seq - taken, taken, previous, known))
                    row, left = row + taken, left - taken
                lengths = self.lengths[4 * first : 4 * row]
                at = self.ends[first]
                yield Block(self.stream, self.copy, self.table, at, table_at, table_bytes, lengths, segments)
                table_at += table_bytes


def genesis(stream: str, chain: str) -> bytes:
    """The hash before a chain's first row."""
    return sha256(f"tally/v1\n{stream}\n{chain}".encode()).digest()


def check_blocks(blocks: Iterator[Block], processes: int) -> Iterator[Checked]:
    """Check them all, in processes if there are several; results come in any order."""
    if processes == 1:
        yield from map(check_block, blocks)
        return
    with ProcessPoolExecutor(processes) as pool:
        under_way: set[Any] = set()
        for block in blocks:
            under_way.add(pool.submit(check_block, block))
            if len(under_way) >= 3 * processes:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        yield from (one.result() for one in under_way)


# --- the checklist ---


class Checklist:
    """The steps, in their order; what one finds, a later one uses."""

    def __init__(self, bundle: Bundle, options: argparse.Namespace) -> None:
        self.bundle = bundle
        self.options = options
        self.results: dict[int, str] = {}
        self.manifest: Manifest | None = None
        self.policy: Policy | None = None
        self.note: Note | None = None
        self.cosigned_s: int | None = None
        self.checkpoint: Checkpoint | None = None
        self.statements: tuple[Statement | None, Statement] | None = None
        self.scope: list[ChainId] | None = None
        self.streams: dict[str, StreamRows] = {}
        self.senders: set[bytes] | None = None
        self.table: tuple[bool, str, str] | None = None

    STEPS = (
        ("files", "the files are those that the manifest names, to the byte"),
        ("signature", "the log signed the checkpoint"),
        ("witnesses", "witnesses cosigned it, as many as the policy asks for"),
        ("heads", "the statements of how far each chain had come are in the log's tree"),
        ("chains", "the chains are those of the scope, all and no other"),
        ("rows", "each chain's rows lead from the one statement to the other, hash by hash"),
        ("tables", "the CSV files say what the rows say"),
        ("seals", "seals.csv, the operator's word for each row's leaf, fits the rows and the statements"),
        ("senders", "the descriptions of senders are those that the rows name"),
        ("report", "report.json and SQL are those that the manifest names"),
    )

    def run(self) -> int:
        """Every step; the exit code."""
        for number, (name, title) in enumerate(self.STEPS, start=1):
            print(f"{number:2}. {title}")
            try:
                said = getattr(self, f"step_{name}")()
                self._result(number, "PASSED", said)
            except Failed as error:
                expected = [f"expected: {error.expected}"] if error.expected else []
                self._result(number, "FAILED", [*expected, f"found:    {error.found}"])
            except NotChecked as error:
                self._result(number, "NOT CHECKED", [str(error)])
            except (CouldNotRun, KeyboardInterrupt):
                raise
            except MemoryError as error:
                raise CouldNotRun("there is not enough memory") from error
            except Exception as error:  # the last guard: an error is never a pass
                self._result(number, "FAILED", [f"found:    {type(error).__name__}: {shown(error, 200)}"])
        return self._conclusion()

    def _result(self, number: int, word: str, lines: Sequence[str]) -> None:
        self.results[number] = word
        print(f"      {word:7}  " + "\n               ".join(lines), flush=True)

    def _conclusion(self) -> int:
        failed = [str(n) for n, word in self.results.items() if word == "FAILED"]
        left = [str(n) for n, word in self.results.items() if word == "NOT CHECKED"]
        print()
        if (failed or left) and self.manifest is not None:
            print(f"It says that it is of: {self.manifest.about}.")
        if failed:
            print(f"FAILED: step {', '.join(failed)}. This is not what was sealed; do not rely on it.")
            return 1
        if left:
            print(f"NOT SHOWN: step {', '.join(left)} could not be checked, so this is no pass.")
            return 1
        manifest = self._manifest
        closing = self._statements[1].sealed_at
        done = f"all {len(self.results)} steps" + (
            ", by the keys in the bundle itself" if self.options.policy is None else ""
        )
        chains = "all chains" if manifest.sites is None else "the chains of its sites"
        holds = f"Every row that {chains} got from opening to closing is in it, unaltered: {manifest.about}."
        if parse_time(closing) >= manifest.over:
            print(f"PASSED: {done}. {holds}")
            return 0
        early = (
            f"THE PERIOD GOES ON to {time_text(manifest.end)}"
            if parse_time(closing) < manifest.end
            else f"rows of the period may come late, until {time_text(manifest.over)}"
        )
        print(f"PASSED IN PART: {done}; but {early}, and what came after {closing} is not in it. {holds}")
        return 3

    @property
    def _manifest(self) -> Manifest:
        if self.manifest is None:
            raise NotChecked("there is no manifest to go by (step 1)")
        return self.manifest

    @property
    def _checkpoint(self) -> Checkpoint:
        if self.checkpoint is None:
            raise NotChecked("there is no checkpoint to go by (step 2)")
        return self.checkpoint

    @property
    def _statements(self) -> tuple[Statement | None, Statement]:
        if self.statements is None:
            raise NotChecked("there are no statements to go by (step 4)")
        return self.statements

    def step_files(self) -> list[str]:
        """Step 1."""
        self.manifest, content, problems = self.bundle.open()
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise Failed(problems[0] + more, "each file of the manifest as it was written, and no other")
        total = sum(size for size, _ in self.manifest.members.values())
        return [
            f"{amount(len(self.manifest.members), 'file')}, {total:,} bytes",
            f"the bundle's own digest (SHA-256 of manifest.json): {sha256(content).hexdigest()}",
        ]

    def step_signature(self) -> list[str]:
        """Step 2."""
        if self.options.policy is None:
            content, whose = self.bundle.read("log/policy"), "the bundle's own policy"
        else:
            content, whose = read_file(self.options.policy, "--policy"), "your policy"
        self.policy = parse_policy(content)
        note = parse_note(self.bundle.read("log/checkpoint"))
        checkpoint = parse_checkpoint(note.text)
        manifest = self._manifest
        if (checkpoint.origin, checkpoint.size) != (manifest.origin, manifest.checkpoint_size):
            raise Failed(
                f"a checkpoint of {shown(checkpoint.origin)}, {checkpoint.size} leaves",
                f"{shown(manifest.origin)}, {manifest.checkpoint_size}, as the manifest says",
            )
        self.note, self.checkpoint = note, checkpoint
        key = check_log_signature(note, checkpoint, self.policy)
        leaves = amount(checkpoint.size, "leaf", "leaves")
        said = [
            f"{shown(checkpoint.origin)}, {leaves}, signed by the key of {whose}",
            shown(key, 200),
        ]
        if self.options.policy is None:
            said.append(
                "Compare these keys with those that you were given, or name your own policy (--policy):"
            )
            said += [f"  log      {shown(one, 200)}" for one in self.policy.logs]
            said += [f"  witness  {shown(one, 200)}" for one in self.policy.witnesses.values()]
        return said

    def step_witnesses(self) -> list[str]:
        """Step 3."""
        if self.note is None or self.policy is None:
            raise NotChecked("there is no checkpoint to go by (step 2)")
        found = cosignatures(self.note, self.policy.witnesses.values())
        said = [f"{shown(one.key.name)} at {unix_text(one.unix_s)}" for one in found]
        if not self.policy.agrees(one.key for one in found):
            raise Failed(
                "NOT YET WITNESSED: " + (", ".join(said) or "nobody of the policy cosigned"),
                f"cosignatures by {self.policy.asks_for}",
            )
        if self.policy.quorum == b"none":
            return [
                "the policy asks for no witness: that everybody is shown this one history, nobody vouches"
            ]
        counting = self.policy.counting()
        self.cosigned_s = min(one.unix_s for one in found if one.key in counting)
        return [f"asked for: {self.policy.asks_for}; cosigned:", *said]

    def step_heads(self) -> list[str]:
        """Step 4."""
        manifest, checkpoint = self._manifest, self._checkpoint
        opening = None if manifest.opening is None else self._statement("opening", manifest.opening)
        closing = self._statement("closing", manifest.closing)
        said = []
        if opening is not None:
            if (
                opening.batch > closing.batch
                or opening.size > closing.size
                or opening.sealed_at > closing.sealed_at
            ):
                raise Failed("the opening statement is later than the closing one", "opening, then closing")
            if not parse_time(opening.sealed_at) < manifest.start:
                raise Failed(
                    f"an opening statement of {opening.sealed_at}", f"one before {time_text(manifest.start)}"
                )
            for chain, head in opening.heads.items():
                later = closing.heads.get(chain)
                if later is None or later.seq < head.seq or not set(head.sites) <= set(later.sites):
                    raise Failed(
                        f"{chain[0]} {shown(chain[1])} is lost between the statements", "chains that grow"
                    )
                if later.seq == head.seq and later.row_hash != head.row_hash:
                    raise Failed(
                        f"{chain[0]} {shown(chain[1])} has another row {head.seq} later", "the same row"
                    )
            said.append(
                f"opening: batch {opening.batch}, leaf {opening.size - 1:,}, sealed {opening.sealed_at}"
            )
        else:
            said.append("opening: the beginning of the ledger")
        said.append(f"closing: batch {closing.batch}, leaf {closing.size - 1:,}, sealed {closing.sealed_at}")
        said += self._check_closing(manifest, closing, checkpoint)
        said.append(
            "A row of the period that was sealed after the closing, or before the opening, is not in here."
        )
        if self.options.checkpoint is not None:
            said.append(self._other_checkpoint(checkpoint))
        self.statements = opening, closing
        return said

    def _check_closing(self, manifest: Manifest, closing: Statement, checkpoint: Checkpoint) -> list[str]:
        """Late enough, or the last there is; and no later than the witnesses' times."""
        said = []
        if manifest.margin_h < MARGIN_H:
            raise Failed(f"a margin of {manifest.margin_h} h", f"{MARGIN_H} h or more, for what comes late")
        sealed_at = parse_time(closing.sealed_at)
        if sealed_at < manifest.over:
            over = f"{time_text(manifest.over)}, the period's end and {manifest.margin_h} h"
            if closing.size != checkpoint.size:
                raise Failed(
                    f"it closes early: leaf {closing.size - 1:,}, sealed {closing.sealed_at}, while the tree "
                    f"goes on to {checkpoint.size:,} leaves",
                    f"a closing of {over}, or later, or the last of the checkpoint's batches",
                )
            said.append(f"Note: it closes before {over}; it is the last of the checkpoint's batches.")
        if self.cosigned_s is None:
            said.append("Note: that these moments are true, the sealer's clock alone says, and no witness.")
        elif sealed_at.timestamp() > self.cosigned_s + CLOCKS_S:
            raise Failed(
                f"a closing of {closing.sealed_at}, that a witness cosigned at {unix_text(self.cosigned_s)}",
                f"one sealed before it was cosigned (clocks may differ by {CLOCKS_S} s)",
            )
        return said

    def _statement(self, which: str, said: tuple[int, int, str]) -> Statement:
        content = self.bundle.read(f"log/{which}.heads")
        statement = parse_statement(content)
        checkpoint = self._checkpoint
        if statement.origin != checkpoint.origin:
            raise Failed(f"the {which} statement is of {shown(statement.origin)}", shown(checkpoint.origin))
        if (statement.batch, statement.size, statement.sealed_at) != said:
            raise Failed(
                f"the {which} one is batch {statement.batch}, size {statement.size}, {statement.sealed_at}",
                f"batch {said[0]}, size {said[1]}, {said[2]}, as the manifest says",
            )
        index, hashes, note = parse_proof(self.bundle.read(f"log/{which}.tlog-proof", SMALL_BYTES))
        if index != statement.size - 1:
            raise Failed(
                f"the {which} proof is of leaf {index}", f"{statement.size - 1}, the last of the batch"
            )
        if note != self.bundle.read("log/checkpoint"):
            raise Failed(f"the {which} proof is for another checkpoint", "that of the bundle")
        entry = f"{HEADS_FORMAT}\n".encode() + statement.digest
        check_inclusion(index, checkpoint, sha256(b"\x00" + entry).digest(), hashes)
        return statement

    def _other_checkpoint(self, own: Checkpoint) -> str:
        note = parse_note(read_file(self.options.checkpoint, "--checkpoint"))
        other = parse_checkpoint(note.text)
        assert self.policy is not None, "step 2 has read it"
        check_log_signature(note, other, self.policy)
        if other.origin != own.origin:
            raise Failed(f"your checkpoint is of {shown(other.origin)}", shown(own.origin))
        if other.size != own.size and self.options.consistency is not None:
            older, newer = sorted((own, other), key=lambda one: one.size)
            hashes = parse_consistency(read_file(self.options.consistency, "--consistency"), older, newer)
            check_consistency(older, newer, hashes)
            return f"the tree of {newer.size:,} leaves begins with that of {older.size:,}: one is yours"
        if other.size != own.size:
            raise NotChecked(
                f"your checkpoint has {other.size:,} leaves, this one {own.size:,}: that one continues the "
                "other, the operator shows with `tally prove-consistency` (--consistency FILE)"
            )
        if other.root != own.root:
            raise Failed(
                f"two histories: your checkpoint of {own.size:,} leaves has the root "
                f"{base64.b64encode(other.root).decode()}",
                f"{base64.b64encode(own.root).decode()}, as the bundle's has",
            )
        return "your checkpoint is of the same tree"

    def step_chains(self) -> list[str]:
        """Step 5."""
        manifest = self._manifest
        opening, closing = self._statements
        if manifest.sites is None:
            scope = list(closing.heads)
        else:
            wanted = {*manifest.sites, ANY_SITE}
            machines = {
                chain
                for (stream, chain), head in closing.heads.items()
                if stream != "governance" and not wanted.isdisjoint(head.sites)
            }
            heads = [head for (stream, _), head in closing.heads.items() if stream != "governance"]
            named = {site for head in heads for site in head.sites}
            unknown = [] if ANY_SITE in named else sorted(set(manifest.sites) - named)
            if unknown:
                raise Failed(f"sites that no machine has named: {sites_text(unknown)}", "sites of the ledger")
            scope = [one for one in closing.heads if one[0] == "governance" or one[1] in machines]
        before = opening.heads if opening else {}
        rows: dict[str, int] = {}
        for chain in scope:
            new = closing.heads[chain].seq - (before[chain].seq if chain in before else 0)
            if new:
                rows[chain[0]] = rows.get(chain[0], 0) + new
        if rows != manifest.rows:
            raise Failed(
                f"rows by stream: {shown(canonical(manifest.rows), 300)}", shown(canonical(rows), 300)
            )
        self.scope = scope
        self._check_asked(manifest)
        where = "the whole ledger" if manifest.sites is None else f"sites {sites_text(manifest.sites)}"
        return [f"{where}: {amount(len(scope), 'chain')}, {amount(sum(rows.values()), 'row')}"]

    def _check_asked(self, manifest: Manifest) -> None:
        """That period and sites are those that the auditor names."""
        for option, found in (("since", manifest.start), ("until", manifest.end)):
            asked = getattr(self.options, option)
            if asked not in {None, found}:
                raise Failed(f"a bundle of another period: {manifest.about}", time_text(asked))
        sites = sorted(set(self.options.site or ()))
        if sites and sites != list(manifest.sites or ()):
            raise Failed(f"a bundle of other sites: {manifest.about}", f"sites {sites_text(sites)}")

    def step_rows(self) -> list[str]:
        """Step 6, and the work of step 7 with it."""
        manifest = self._manifest
        opening, closing = self._statements
        if self.scope is None:
            raise NotChecked("which chains these should be is not known (step 5)")
        before = opening.heads if opening else {}
        begun = time.perf_counter()
        for stream, count in manifest.rows.items():
            own = []
            for key in self.scope:
                first = before[key].seq + 1 if key in before else 1
                if key[0] == stream and first <= closing.heads[key].seq:
                    own.append((key[1], first, closing.heads[key].seq))
            self.streams[stream] = StreamRows(self.bundle, stream, own, count)
        blocks = (block for one in self.streams.values() for block in one.planned(before, closing.heads))
        total = sum(manifest.rows.values())
        processes = max(1, min(self.options.processes or processors(), total // ROWS_A_PROCESS))
        senders: set[bytes] = set()
        checked, wrong_rows, wrong_lines = 0, [], []
        for found in check_blocks(blocks, processes):
            checked += found.rows
            senders |= found.senders
            wrong_rows += [found.wrong_row] if found.wrong_row else []
            wrong_lines += [found.wrong_line] if found.wrong_line else []
        seconds = time.perf_counter() - begun
        if wrong_lines:
            self.table = (False, *min(wrong_lines))
        elif not wrong_rows:
            self.table = (True, "", "")
        if wrong_rows:
            raise Failed(*min(wrong_rows))
        if checked != total:
            raise Failed(f"{checked:,} rows", f"{total:,}")
        self.senders = senders
        rate = f", {checked / seconds:,.0f} rows/s" if seconds > 0 and checked else ""
        used = amount(processes, "process", "processes")
        return [f"{amount(checked, 'row')} with their CSV in {seconds:.2f} s, {used}{rate}"]

    def step_tables(self) -> list[str]:
        """Step 7."""
        if self.table is None:
            raise NotChecked("the rows themselves did not hold (step 6)")
        good, found, expected = self.table
        if not good:
            raise Failed(found, expected)
        said = [f"{amount(sum(self._manifest.rows.values()), 'line')}, each value as in its row"]
        if not self.options.parquet:
            return [
                *said,
                "the Parquet files are for reading and were not compared (--parquet compares them)",
            ]
        return [*said, *self._compare_parquet()]

    def _compare_parquet(self) -> list[str]:
        try:
            import duckdb  # noqa: PLC0415 - nobody else needs it
        except ImportError as error:
            raise NotChecked("--parquet needs the Python package duckdb") from error
        for stream in self.streams:
            names = ", ".join(f'"{column.name}"' for column in columns_of(stream))
            with duckdb.connect() as connection:
                connection.execute("SET TimeZone = 'UTC'")
                one = parquet_query(stream, self.bundle.place(f"parquet/{stream}.parquet"), names)
                other = table_query(stream, self.bundle.place(f"csv/{stream}.csv"), names)
                for first, second in ((one, other), (other, one)):
                    query = f"SELECT count(*) FROM ({first} EXCEPT ALL {second})"
                    if connection.execute(query).fetchone() != (0,):
                        raise Failed(
                            f"parquet/{stream}.parquet has other values than csv/{stream}.csv",
                            "the same rows",
                        )
        return ["the Parquet files have the same rows as the CSV files"]

    def step_seals(self) -> list[str]:
        """Step 8: each row once; the leaves of a batch in order, its statement's leaf after them."""
        opening, closing = self._statements
        whole = self._manifest.sites is None  # then no leaf lies between
        if self.senders is None:
            raise NotChecked("the rows themselves did not hold (step 6)")
        first_batch, first_leaf = (opening.batch + 1, opening.size) if opening else (1, 0)
        starts: dict[ChainId, tuple[int, int]] = {}
        left: dict[ChainId, tuple[int, int]] = {}
        for stream, one in self.streams.items():
            row = 0
            for chain, seq, last in one.chains:
                starts[stream, chain] = row, seq
                left[stream, chain] = seq, last
                row += last - seq + 1
        mapped = {}
        files = []
        batch, leaf, seals = first_batch, first_leaf, 0
        before: tuple[int, bytes, bytes] = (0, b"", b"")
        try:
            for stream, one in self.streams.items():
                files.append(open(one.copy, "rb"))  # noqa: SIM115 - closed below
                mapped[stream] = mmap.mmap(files[-1].fileno(), 0, access=mmap.ACCESS_READ)
            columns = ["batch", "stream", "chain", "first_seq", "last_seq", "first_leaf", "row_hash"]
            for line in csv_lines(self.bundle.place("log/seals.csv"), columns):
                numbers = [decimal(line[n], "a number of seals.csv") for n in (0, 3, 4, 5)]
                number, seq, last, at = numbers
                key = (line[1], line[2])
                rows = f"{shown(line[1])} {shown(line[2])} rows {seq} to {last}"
                where = f"seals.csv: batch {number}, {rows}, leaf {at}"
                if key not in left or left[key][0] != seq or not seq <= last <= left[key][1]:
                    raise Failed(where, "each row of the bundle once, chains without gaps")
                end = at + last - seq + 1
                least = leaf + number - batch  # each batch ends with a leaf of its own
                if number == closing.batch:
                    least, most = max(least, closing.first_leaf), closing.size - 1
                else:
                    most = closing.first_leaf - closing.batch + number
                place = number, line[1].encode(), line[2].encode()
                if place <= before or not batch <= number <= closing.batch:
                    raise Failed(where, f"batches {first_batch} to {closing.batch}, their chains in order")
                if at < least or end > most or (whole and at != least):
                    raise Failed(where, f"leaves {least:,} to {most - 1:,}, upwards, none twice")
                before = place
                row = starts[key][0] + last - starts[key][1]
                if self.streams[line[1]].row_hash(row, mapped[line[1]]).hex() != line[6]:
                    raise Failed(f"{where}: {shown(line[6])}", "the hash of the last of these rows")
                left[key] = last + 1, left[key][1]
                batch, leaf, seals = number, end, seals + 1
        finally:
            for one_map in mapped.values():
                one_map.close()
            for file in files:
                file.close()
        for key, (seq, last) in left.items():
            if seq <= last:
                raise Failed(f"seals.csv has no leaf for {row_name(*key, seq)}", "a leaf for each row")
        if whole and leaf + closing.batch - batch + 1 != closing.size:
            raise Failed(f"seals.csv ends at leaf {leaf - 1:,}", f"all leaves up to {closing.size - 1:,}")
        return [
            f"{amount(seals, 'range')} of rows: each row once, batches and leaves upwards",
            "That a leaf is that row is the operator's word: no proof of it is in here",
        ]

    def step_senders(self) -> list[str]:
        """Step 9."""
        if self.senders is None:
            raise NotChecked("the rows themselves did not hold (step 6)")
        found: set[bytes] = set()
        before = ""
        for digest, content in csv_lines(self.bundle.place("resources.csv"), ["digest", "content"]):
            if sha256(content.encode()).hexdigest() != digest or digest <= before:
                raise Failed(f"resources.csv: {shown(digest)}", "SHA-256 of each content, in order")
            found.add(bytes.fromhex(digest))
            before = digest
        if found != self.senders:
            odd = min(found ^ self.senders).hex()
            what = "that no row names" if bytes.fromhex(odd) in found else "is missing"
            raise Failed(f"the description {odd} {what}", "the descriptions that rows name, and no other")
        return [amount(len(found), "description")]

    def step_report(self) -> list[str]:
        """Step 10."""
        manifest = self._manifest
        texts = sorted(name[4:-4] for name in manifest.members if name.startswith("sql/"))
        hashed = sha256()
        for name in texts:
            text = self.bundle.read(f"sql/{name}.sql")
            hashed.update(f"{name} {len(text)}\n".encode() + text)
        if hashed.hexdigest() != manifest.sql_digest:
            raise Failed(f"queries in sql/ with the digest {hashed.hexdigest()}", shown(manifest.sql_digest))
        said = [f"{amount(len(texts), 'query', 'queries')} in sql/, with the digest {manifest.sql_digest}"]
        if manifest.report is None:
            if any(name.startswith("report/") for name in manifest.members):
                raise Failed("a folder report/, of which the manifest does not know", "no report")
            return [*said, "there is no report in this bundle"]
        content = self.bundle.read("report/report.json")
        if sha256(content).hexdigest() != manifest.report:
            raise Failed(f"report.json with the digest {sha256(content).hexdigest()}", shown(manifest.report))
        try:
            report = json.loads(content.decode(), object_pairs_hook=once)
            period = [parse_report_time(report[name]) for name in ("period_from", "period_to")]
            sites, sql_digest = tuple(report["sites"]), report["sql_digest"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Failed(f"report.json is no report: {reason(error)}") from error
        if period != [manifest.start, manifest.end] or sites != (manifest.sites or ()):
            raise Failed("a report of another period or of other sites", "the bundle's")
        if sql_digest != manifest.sql_digest:
            raise Failed(f"a report made by queries with the digest {shown(sql_digest)}", manifest.sql_digest)
        return [
            *said,
            f"report.json, {manifest.report}, says that it was made by them, of this period and these sites",
            "The other files in report/ show it, and were not compared with it",
            "That its figures follow from the rows is not checked here: the queries compute them anew",
        ]


def parse_report_time(text: str) -> datetime:
    """A moment as a report writes it: a fraction only if there is one."""
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.strptime(text, form).replace(tzinfo=timezone.utc)


def unix_text(seconds: int) -> str:
    """A moment of a cosignature."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat()[:19] + "Z"
    except (ValueError, OverflowError, OSError):
        return f"second {seconds} of 1970"


def csv_lines(path: str, columns: list[str]) -> Iterator[list[str]]:
    """The lines of a small table, after its header."""
    csv.field_size_limit(MOST_TEXT_BYTES)
    name = os.path.basename(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            if next(lines, None) != columns:
                raise Failed(f"{name} has another header", ",".join(columns))
            for line in lines:
                if len(line) != len(columns):
                    raise Failed(f"{name}: a line of {len(line)} fields", f"{len(columns)}")
                yield line
    except (csv.Error, UnicodeDecodeError) as error:
        raise Failed(f"{name} is no CSV file: {shown(error)}", "RFC 4180, UTF-8") from error


_SQL_TYPES = {"timestamptz": "TIMESTAMPTZ", "int8": "BIGINT", "float8": "DOUBLE"}
"""For the rest: VARCHAR."""


def table_query(stream: str, path: str, names: str) -> str:
    """A CSV file for DuckDB."""
    types = ", ".join(
        f"'{column.name}': '{_SQL_TYPES.get(column.type, 'VARCHAR')}'" for column in columns_of(stream)
    )
    place = path.replace("'", "''")
    return (
        f"SELECT {names} FROM read_csv('{place}', header = true, auto_detect = false, delim = ',', "
        f"quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false, parallel = false, "
        f"new_line = '\\r\\n', "
        f"max_line_size = 100000000, buffer_size = 200000000, columns = {{{types}}})"
    )


def parquet_query(stream: str, path: str, names: str) -> str:
    """A Parquet file for DuckDB; bytes as hex, as CSV has them."""
    place = path.replace("'", "''")
    for column in columns_of(stream):
        if column.type == "bytea":
            names = names.replace(f'"{column.name}"', f'lower(hex("{column.name}")) AS "{column.name}"')
    return f"SELECT {names} FROM read_parquet('{place}')"


def read_file(path: str, option: str) -> bytes:
    """A file that an option names."""
    try:
        with open(path, "rb") as file:
            return file.read(MEBIBYTE + 1)
    except OSError as error:
        raise CouldNotRun(f"{option} {path}: {error.strerror}") from error


def moment(text: str) -> datetime:
    """A date or a moment, UTC unless it says otherwise, of an option."""
    try:
        found = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment such as 2026-03-01T00:00:00Z") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit code."""
    here = os.path.dirname(os.path.abspath(__file__))
    own = here if os.path.exists(os.path.join(here, "manifest.json")) else os.getcwd()
    parser = argparse.ArgumentParser(
        prog="verify.py",
        description="Checks an evidence bundle.",
        epilog="Exit codes: 0 all passed, 1 something failed, 2 could not run, "
        "3 all that could be checked passed, but the period goes on.",
    )
    parser.add_argument(
        "bundle", nargs="?", default=own, help="archive or folder (default: this file's folder)"
    )
    parser.add_argument(
        "--policy", metavar="FILE", help="your own policy: the keys that you trust (C2SP tlog-policy)"
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="a checkpoint of the log that you hold")
    parser.add_argument(
        "--consistency", metavar="FILE", help="a proof that the two checkpoints are of one log"
    )
    expected = "what you expect; a bundle of another fails"
    parser.add_argument(
        "--from", dest="since", type=moment, metavar="TIME", help=f"the period's beginning, {expected}"
    )
    parser.add_argument("--to", dest="until", type=moment, metavar="TIME", help=f"its end, {expected}")
    parser.add_argument("--site", action="append", metavar="SITE", help=f"each site, {expected}")
    parser.add_argument("--parquet", action="store_true", help="compare the Parquet files too (needs duckdb)")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="how many (default: one for each processor)"
    )
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if options.consistency is not None and options.checkpoint is None:
            raise CouldNotRun("--consistency needs --checkpoint: the one that you hold")
        for option in ("policy", "checkpoint", "consistency"):
            if getattr(options, option) is not None:
                read_file(getattr(options, option), f"--{option}")
        with Bundle(options.bundle) as bundle:
            return Checklist(bundle, options).run()
    except CouldNotRun as error:
        print(f"verify.py: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("verify.py: interrupted; nothing is shown", file=sys.stderr)
    except Exception as error:
        print(f"verify.py: could not run: {type(error).__name__}: {shown(error, 200)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
