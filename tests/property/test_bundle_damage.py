"""Whatever bytes a bundle has, its verifier says so in words, and passes none whose content was damaged."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.bundle import verify
from audit.bundle.rows import csv_lines, tuple_fields
from ledger.chain import genesis, link
from ledger.errors import BadNote
from ledger.notes import parse_note
from ledger.policies import Policy
from ledger.rows import HASH_FIELD_LENGTH, Value, encode_row
from ledger.streams import STREAMS, Column
from tests.sealed_memory import POLICY, small_ledger
from tests.sealing import WITNESSES

SOME = settings(max_examples=120, deadline=None)


class Bundled:
    """A good bundle's bytes, and a place for damaged ones."""

    def __init__(self, folder: Path) -> None:
        ledger = small_ledger(folder / "log")
        ledger.bundle(folder / "good.zip")
        self.note = ledger.notes[0].note.encode()
        self.content = (folder / "good.zip").read_bytes()
        self.place = folder / "damaged.zip"
        self.members = self.read(self.content)
        self.heads = self.members["log/closing.heads"]

    @staticmethod
    def read(content: bytes) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def verified(self, content: bytes) -> tuple[int, str]:
        self.place.write_bytes(content)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = verify.main([str(self.place), "--processes", "1"])
        return code, said.getvalue()


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    return Bundled(tmp_path_factory.mktemp("damage"))


@SOME
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_passes_that_changes_a_file(bundled: Bundled, at: float, bit: int) -> None:
    damaged = bytearray(bundled.content)
    damaged[int(at * len(damaged))] ^= 1 << bit
    code, said = bundled.verified(bytes(damaged))
    assert code in {0, 1}, said
    if code == 0:
        # Bits that deflate leaves unused after a file's end are no file's.
        assert bundled.read(bytes(damaged)) == bundled.members


@SOME
@given(first=st.floats(0, 1), last=st.floats(0, 1), more=st.binary(max_size=8))
def test_no_cut_and_no_insertion_passes(bundled: Bundled, first: float, last: float, more: bytes) -> None:
    begin, end = sorted(int(one * len(bundled.content)) for one in (first, last))
    damaged = bundled.content[:begin] + more + bundled.content[end:]
    code, said = bundled.verified(damaged)
    assert code == (0 if damaged == bundled.content else 1), said


@SOME
@given(st.data())
def test_no_member_that_was_altered_passes_in_a_well_formed_archive(
    bundled: Bundled, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(bundled.members)))
    content = bundled.members[name]
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, min(begin + 40, len(content))))
    changed = content[:begin] + data.draw(st.binary(max_size=40)) + content[end:]
    folder = io.BytesIO()
    with zipfile.ZipFile(folder, "w") as archive:
        for other, value in bundled.members.items():
            info = zipfile.ZipInfo(other)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, changed if other == name else value)
    code, said = bundled.verified(folder.getvalue())
    assert code == (0 if changed == content else 1), said


@given(st.binary(max_size=300))
def test_any_bytes_are_no_bundle(bundled: Bundled, content: bytes) -> None:
    assert bundled.verified(content)[0] == 1


PARSERS: list[Callable[[bytes], object]] = [
    verify.parse_manifest,
    verify.parse_statement,
    verify.parse_policy,
    verify.parse_proof,
    lambda content: verify.parse_checkpoint(verify.parse_note(content).text),
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PARSERS), st.data())
def test_parsers_fail_in_one_way(
    bundled: Bundled, parser: Callable[[bytes], object], data: st.DataObject
) -> None:
    names = ["manifest.json", "log/closing.heads", "log/policy", "log/closing.tlog-proof", "log/checkpoint"]
    content = bundled.members[data.draw(st.sampled_from(names))]
    begin = data.draw(st.integers(0, len(content)))
    damaged = (
        content[:begin] + data.draw(st.binary(max_size=20)) + content[begin + data.draw(st.integers(0, 20)) :]
    )
    with contextlib.suppress(verify.Failed):
        parser(damaged)


WORDS = st.sampled_from([b"", b"\n", b" ", b"\t", b"+", b"=", b"0", b"9", b"none", b"\n\n", b"A"])


def _damaged(content: bytes, data: st.DataObject) -> bytes:
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, min(begin + 3, len(content))))
    return content[:begin] + data.draw(WORDS) + content[end:]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_notes_are_read_as_the_ledger_reads_them(bundled: Bundled, data: st.DataObject) -> None:
    content = _damaged(bundled.note, data)
    try:
        ours = [(one.name, one.key_id, one.value) for one in parse_note(content).signatures]
    except BadNote:
        with pytest.raises(verify.Failed):
            verify.parse_note(content)
        return
    assert verify.parse_note(content).signatures == ours


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_policies_are_read_as_the_ledger_reads_them(data: st.DataObject) -> None:
    content = _damaged(POLICY.encode(), data)
    known = [one.verifier for one in WITNESSES]
    cuts = [known[:count] for count in range(len(known) + 1)]
    try:
        policy = Policy.parse(content)
        ours = [policy.quorum_met(cut) for cut in cuts]
    except BadNote:
        with pytest.raises(verify.Failed):
            verify.parse_policy(content)
        return
    if not policy.logs:
        return  # the ledger takes it, and nothing is proven by it
    theirs = verify.parse_policy(content)
    assert [theirs.agrees(verify.Key(key.name, key.kind, key.public) for key in cut) for cut in cuts] == ours


def _values(column: Column) -> st.SearchStrategy[Value]:
    made: st.SearchStrategy[Value]
    if column.type == "timestamptz":
        made = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
    elif column.type == "int8":
        made = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2)
    elif column.type == "float8":
        made = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0])
    elif column.type == "bytea":
        made = st.binary(min_size=32, max_size=32)
    else:
        made = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
        made |= st.text('",\r\n a', max_size=3)
    return made | st.none() if column.nullable else made


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(sorted(STREAMS)))
def test_the_verifier_writes_rows_as_the_builder_does(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    stream = STREAMS[name]
    columns = [column for column in stream.hashed_columns if column.name not in {"seq", stream.chain_column}]
    rows: list[bytes] = []
    before = first = genesis(name, "M é")
    for number in range(data.draw(st.integers(1, 6))):
        values = {column.name: data.draw(_values(column)) for column in columns}
        image = encode_row(stream, values | {stream.chain_column: "M é"}).image(number + 1)
        before = link(before, image)
        rows.append(image + HASH_FIELD_LENGTH + before)
    table = csv_lines(stream, [tuple_fields(stream, row) for row in rows]).encode()
    folder = tmp_path_factory.getbasetemp()
    (folder / "rows").write_bytes(b"".join(rows))
    (folder / "table").write_bytes(table)
    segment = verify.Segment("M é", 1, len(rows), first, before)
    lengths = struct.pack(f">{len(rows)}I", *map(len, rows))
    places = str(folder / "rows"), str(folder / "table")
    found = verify.check_block(verify.Block(name, *places, 0, 0, len(table), lengths, [segment]))
    assert (found.rows, found.wrong_row, found.wrong_line) == (len(rows), None, None)

    at = data.draw(st.integers(0, len(table) - 1))
    (folder / "table").write_bytes(table[:at] + bytes([table[at] ^ 1]) + table[at + 1 :])
    found = verify.check_block(verify.Block(name, *places, 0, 0, len(table), lengths, [segment]))
    assert found.wrong_line is not None
    whole = b"".join(rows)
    at = data.draw(st.integers(0, len(whole) - 1))
    (folder / "rows").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    found = verify.check_block(verify.Block(name, *places, 0, 0, len(table), lengths, [segment]))
    assert found.wrong_row is not None
