"""Signing keys: where they come from, that no message shows them, and what is stated about them."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoints import Checkpoint
from ledger.errors import BadNote, BadSignature
from ledger.keys import (
    KeyRevocation,
    KeyRotation,
    check_revocation,
    check_rotation,
    sign_revocation,
    sign_rotation,
)
from ledger.notes import COSIGNATURE, ED25519, Note, SigningKey, sign_note
from service.errors import KeyUnusable
from service.keys import sources
from service.keys.files import new_signing_key, store_signing_key
from service.keys.sources import load_signing_key

KEY = SigningKey("plant.example/tally", ED25519, bytes(range(32)))
NEXT = SigningKey("plant.example/tally", ED25519, bytes(range(1, 33)))
SECRET = KEY.to_text().rpartition("+")[2]
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ROTATION = str(sign_rotation(KEY, NEXT, NOON, "yearly")).encode()


def refused(spec: str, *words: str) -> None:
    """No key, and a message with these words and nothing of the key."""
    with pytest.raises(KeyUnusable) as raised:
        load_signing_key(spec)
    message = str(raised.value)
    assert SECRET not in message
    assert SECRET[:12] not in message
    for word in words:
        assert word in message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A key's file as ``tally keys generate`` writes it."""
    file = tmp_path / "log.key"
    store_signing_key(file, KEY)
    return file


def test_a_key_comes_from_its_file_a_variable_or_a_command(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_KEY", KEY.to_text())
    for spec in (str(path), "env:LOG_KEY", f"command:cat '{path}'"):
        assert load_signing_key(spec) == KEY


def test_a_stored_key_is_its_user_s_alone_and_is_never_written_over(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyUnusable, match="never written over"):
        store_signing_key(path, NEXT)
    assert load_signing_key(str(path)) == KEY
    with pytest.raises(KeyUnusable, match="can't be written"):
        store_signing_key(path.parent / "nowhere" / "log.key", KEY)


def test_two_new_keys_are_two() -> None:
    one, two = (new_signing_key("plant.example/tally", ED25519) for _ in range(2))
    assert one.seed != two.seed
    with pytest.raises(BadNote, match="no space"):
        new_signing_key("two words", ED25519)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_closed_to_others_is_read(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert load_signing_key(str(path)) == KEY


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o700, 0o4600])
def test_a_file_open_to_others_is_refused_and_the_message_says_what_to_do(path: Path, mode: int) -> None:
    path.chmod(mode)
    refused(str(path), f"{mode:04o}", f"chmod 600 {path}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_of_somebody_else_is_refused(path: Path) -> None:
    os.chown(path, 12345, -1)
    refused(str(path), "12345", "chown")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, path: Path) -> None:
    refused(str(tmp_path), "no regular file")
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(str(tmp_path / "pipe"), "no regular file")
    refused("/dev/null", "no regular file")
    refused(str(tmp_path / "none"), "can't be read", "env:NAME")
    refused("", "no source")
    refused("a\0b", "can't be read")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert load_signing_key(str(link)) == KEY


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "PRIVATE+KEY"),
        (str(KEY.verifier), "PRIVATE+KEY"),
        (KEY.to_text()[:-1], "base64"),
        (KEY.to_text().replace("+" + KEY.verifier.key_id.hex(), "+00000000"), "identifier"),
        (f"{KEY.to_text()}\n{KEY.to_text()}", "base64"),
        (KEY.to_text() * 60, "4096"),
        ("\udcff" + KEY.to_text(), "UTF-8"),
        (f"key: {SECRET}", "PRIVATE+KEY"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(
    content: str, word: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    refused(str(path), str(path), word)
    refused(f"command:cat {path}", word)
    monkeypatch.setenv("LOG_KEY", content)
    refused("env:LOG_KEY", "LOG_KEY")


def test_a_key_given_as_its_own_source_is_not_repeated() -> None:
    for before in ("", "env:", "command:", "command:echo "):
        refused(before + KEY.to_text(), "source")


def test_a_variable_that_is_not_there_or_no_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOG_KEY", raising=False)
    refused("env:LOG_KEY", "LOG_KEY is not set")
    refused("env:", "name of a variable")
    refused("env:LOG-KEY", "name of a variable")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ("expects a program",)),
        ("cat 'half", ("quotes",)),
        ("/nowhere/vault read log", ("/nowhere/vault", "can't be started")),
        ("false", ("false ended with 1",)),
        ("sh -c 'kill -9 $$'", ("ended with -9",)),
        ("true", ("PRIVATE+KEY",)),
        ("yes", ("4096",)),
        ("sh -c 'cat; echo nothing on standard input'", ("PRIVATE+KEY",)),
    ],
)
def test_a_command_that_gives_no_key_is_refused(command: str, words: tuple[str, ...]) -> None:
    refused(f"command:{command}", *words)


def test_a_command_s_arguments_and_errors_are_not_shown() -> None:
    refused(f"command:sh -c 'echo {SECRET} >&2; exit 3' token", "sh ended with 3")


@pytest.mark.parametrize("command", ["sleep 60", "sh -c 'sleep 60 & wait'", "sh -c 'exec >&-; sleep 60'"])
def test_a_command_that_hangs_is_ended_in_time(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "COMMAND_S", 0.3)
    started = time.monotonic()
    refused(f"command:{command}", "within 0.3 s")
    assert time.monotonic() - started < 5


def test_a_rotation_is_stated_by_both_keys() -> None:
    found = check_rotation(ROTATION, KEY.verifier)
    assert found == KeyRotation(KEY.verifier, NEXT.verifier, NOON, "yearly")
    assert found == check_rotation(ROTATION)
    assert ROTATION.decode().splitlines()[:6] == [
        "tally/key-rotation/v1",
        "plant.example/tally",
        str(KEY.verifier),
        str(NEXT.verifier),
        "2026-11-30T12:00:00Z",
        "yearly",
    ]


def test_a_rotation_that_one_of_them_did_not_sign_is_refused() -> None:
    text = KeyRotation(KEY.verifier, NEXT.verifier, NOON, "yearly").text
    for signer, missing in ((KEY, NEXT), (NEXT, KEY)):
        with pytest.raises(BadNote, match="not signed by") as raised:
            check_rotation(str(sign_note(text, signer)).encode())
        assert str(missing.verifier) in str(raised.value)
    swapped = Note(
        text,
        tuple(
            replace(one, value=other.value)
            for one, other in zip(
                sign_note(text, KEY, NEXT).signatures, sign_note(text, NEXT, KEY).signatures, strict=True
            )
        ),
    )
    with pytest.raises(BadSignature):
        check_rotation(str(swapped).encode())


def test_a_rotation_of_another_key_is_not_believed() -> None:
    stranger = SigningKey(KEY.name, ED25519, bytes(32))
    forged = str(sign_rotation(stranger, NEXT, NOON, "yearly")).encode()
    assert check_rotation(forged).old == stranger.verifier
    with pytest.raises(BadNote, match="another key"):
        check_rotation(forged, KEY.verifier)


def test_a_witness_s_key_rotates_and_its_statement_is_no_cosignature() -> None:
    old, new = (replace(key, kind=COSIGNATURE) for key in (KEY, NEXT))
    note = sign_rotation(old, new, NOON, "yearly")
    assert check_rotation(str(note).encode(), old.verifier).new == new.verifier
    assert {one.key_id for one in note.signatures}.isdisjoint({old.verifier.key_id, new.verifier.key_id})


@pytest.mark.parametrize(
    ("new", "moment", "reason", "word"),
    [
        (KEY, NOON, "yearly", "follow itself"),
        (replace(NEXT, name="other.example"), NOON, "yearly", "name stays"),
        (replace(NEXT, kind=COSIGNATURE), NOON, "yearly", "kind stays"),
        (NEXT, NOON.replace(tzinfo=None), "yearly", "aware"),
        (NEXT, NOON.replace(microsecond=1), "yearly", "whole seconds"),
        (NEXT, NOON, " ", "reason"),
        (NEXT, NOON, "two\nlines", "reason"),
        (NEXT, NOON, "x" * 501, "reason"),
    ],
)
def test_what_is_no_rotation_is_not_signed(new: SigningKey, moment: datetime, reason: str, word: str) -> None:
    with pytest.raises(BadNote, match=word):
        sign_rotation(KEY, new, moment, reason)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("rotation/v1", "rotation/v2", "expected a statement"),
        ("v1\nplant.example/tally\n", "v1\nother.example\n", "is about"),
        ("12:00:00Z", "12:00:00+00:00", "expected a time"),
        ("12:00:00Z", "25:00:00Z", "expected a time"),
        ("yearly\n", "yearly\nand more\n", "6 lines, not 7"),
        ("yearly\n", "", "6 lines, not 5"),
    ],
)
def test_a_signed_text_that_is_no_rotation_is_refused(old: str, new: str, word: str) -> None:
    text = KeyRotation(KEY.verifier, NEXT.verifier, NOON, "yearly").text
    with pytest.raises(BadNote, match=word):
        check_rotation(str(sign_note(text.replace(old, new), KEY, NEXT)).encode())


def test_a_revocation_is_stated_by_its_key_alone() -> None:
    note = sign_revocation(KEY, NOON, "copied")
    assert check_revocation(str(note).encode()) == KeyRevocation(KEY.verifier, NOON, "copied")
    with pytest.raises(BadNote, match="not signed by"):
        check_revocation(str(sign_note(note.text, NEXT)).encode())
    with pytest.raises(BadNote, match="key-rotation"):
        check_rotation(str(note).encode())


def test_a_statement_is_no_checkpoint() -> None:
    with pytest.raises(BadNote):
        Checkpoint.parse(KeyRotation(KEY.verifier, NEXT.verifier, NOON, "yearly").text)
    numbered = replace(KEY, name="3")
    with pytest.raises(BadNote):
        Checkpoint.parse(KeyRevocation(numbered.verifier, NOON, "copied").text)


@given(st.integers(0, 8 * len(ROTATION) - 1))
def test_no_flipped_bit_of_a_rotation_is_overlooked(bit: int) -> None:
    content = bytearray(ROTATION)
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadNote):
        check_rotation(bytes(content), KEY.verifier)


@given(
    st.binary(max_size=400) | st.text(max_size=400).map(lambda text: (text + "\n").encode("utf-8", "replace"))
)
def test_whatever_the_bytes_are_only_a_statement_is_read(content: bytes) -> None:
    for whole in (content, str(Note(content.decode("utf-8", "replace"), ())).encode()):
        for check in (check_rotation, check_revocation):
            with pytest.raises(BadNote):
                check(whole)


@given(st.lists(st.text("+abc \u2028\n09TZ:-", max_size=20), max_size=7))
def test_whatever_the_lines_are_only_a_statement_is_parsed(lines: list[str]) -> None:
    for statement, kind in ((KeyRotation, "rotation"), (KeyRevocation, "revocation")):
        with pytest.raises(BadNote):
            statement.parse("\n".join([f"tally/key-{kind}/v1", *lines]) + "\n")
