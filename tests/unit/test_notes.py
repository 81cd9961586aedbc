"""Signed notes, keys and checkpoints: what others wrote is read, and nothing that is not exactly right."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoints import Checkpoint
from ledger.errors import BadNote, BadSignature
from ledger.notes import (
    COSIGNATURE,
    ED25519,
    MOST_SIGNATURES,
    Note,
    Signature,
    SigningKey,
    VerifierKey,
    parse_note,
    sign_note,
    verified,
)

# The example of Go's golang.org/x/mod/sumdb/note, which made the format: key, text and signature.
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
GO_NOTE = f"""\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.

\u2014 PeterNeumann {GO_SIGNATURE}
"""
KEY = SigningKey("log.example/tally", ED25519, bytes(range(32)))
OTHER = SigningKey("witness.example", ED25519, bytes(32))
TEXT = "log.example/tally\n3\n" + base64.b64encode(bytes(range(32))).decode() + "\n"


def test_a_note_that_go_signed_is_verified() -> None:
    key = VerifierKey.parse(GO_VERIFIER)
    note = parse_note(GO_NOTE.encode())
    assert verified(note, [key]) == (key,)
    assert str(note) == GO_NOTE
    assert str(key) == GO_VERIFIER


def test_our_signature_by_go_s_key_is_go_s_signature() -> None:
    key = SigningKey.parse(GO_SIGNER)
    assert str(key.verifier) == GO_VERIFIER
    assert str(sign_note(GO_NOTE.partition("\n\n")[0] + "\n", key)) == GO_NOTE
    assert key.to_text() == GO_SIGNER
    assert "AYEK" not in repr(key)


def test_signatures_by_unknown_keys_are_left_alone() -> None:
    note = parse_note(str(sign_note(TEXT, KEY, OTHER)).encode())
    assert verified(note, [KEY.verifier]) == (KEY.verifier,)
    assert verified(note, [OTHER.verifier, KEY.verifier]) == (KEY.verifier, OTHER.verifier)
    assert verified(note, []) == ()
    same_name = SigningKey(KEY.name, ED25519, bytes(32))
    assert verified(note, [same_name.verifier]) == ()


def test_a_wrong_signature_by_a_known_key_spoils_the_note() -> None:
    signed = sign_note(TEXT, KEY)
    (signature,) = signed.signatures
    for value in (bytes(64), signature.value[:-1], signature.value + b"\0"):
        forged = Note(TEXT, (Signature(signature.name, signature.key_id, value), signature))
        with pytest.raises(BadSignature, match=r"log\.example/tally\+[0-9a-f]{8} is wrong"):
            verified(parse_note(str(forged).encode()), [KEY.verifier])
    altered = Note(TEXT.replace("3", "4", 1), signed.signatures)
    with pytest.raises(BadSignature):
        verified(altered, [KEY.verifier])


def test_a_witness_s_key_is_no_log_s() -> None:
    cosigner = SigningKey(KEY.name, COSIGNATURE, KEY.seed)
    assert cosigner.verifier.key_id != KEY.verifier.key_id
    assert VerifierKey.parse(str(cosigner.verifier)) == cosigner.verifier
    assert verified(sign_note(TEXT, KEY), [cosigner.verifier]) == ()


_LINE = str(sign_note(TEXT, KEY).signatures[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has an empty line"),
        (TEXT.encode(), "has an empty line"),
        (f"{TEXT}\n".encode(), "ends with a line break"),
        (f"{TEXT}\n{_LINE[:-1]}".encode(), "ends with a line break"),
        (f"{TEXT}\n{_LINE}\n".encode(), "ends with a line break"),
        (f"{TEXT}\n-{_LINE[1:]}".encode(), "starts with an em dash"),
        (f"{TEXT}\n{_LINE[:-3]}\n".encode(), "base64"),
        (f"{TEXT}\n\u2014 a+b AAAAAAAA\n".encode(), "no plus sign"),
        (f"{TEXT}\n\u2014  AAAAAAAA\n".encode(), "is not empty"),
        (f"{TEXT}\n\u2014 a\u00a0b AAAAAAAA\n".encode(), "no space"),
        (f"{TEXT}\n\u2014 name AAAA\n".encode(), "too short"),
        (f"{TEXT}\n\u2014 name AAAAAAB=\n".encode(), "canonical"),
        (b"\xff\n\n", "UTF-8"),
        (f"a\tb\n\n{_LINE}".encode(), "no control characters"),
        (f"a\rb\n\n{_LINE}".encode(), "no control characters"),
        (f"{TEXT}\n{_LINE * (MOST_SIGNATURES + 1)}".encode(), "101 signatures: expected at most 100"),
        (bytes(1_000_001), "expected at most 1000000"),
    ],
)
def test_what_is_no_note_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(BadNote, match=message):
        parse_note(content)


def test_the_last_empty_line_ends_the_text() -> None:
    assert parse_note(f"{TEXT}\n{_LINE}\n{_LINE}".encode()).text == f"{TEXT}\n{_LINE}"


def test_a_hundred_signatures_are_read() -> None:
    note = parse_note(f"{TEXT}\n{_LINE * MOST_SIGNATURES}".encode())
    assert verified(note, [KEY.verifier]) == (KEY.verifier,)


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_only_a_note_is_read(content: bytes) -> None:
    try:
        note = parse_note(content)
    except BadNote:
        return
    assert str(note).encode() == content


@given(st.integers(0, 7), st.data())
def test_no_flipped_bit_of_a_note_is_overlooked(bit: int, data: st.DataObject) -> None:
    content = bytearray(str(sign_note(TEXT, KEY)).encode())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    try:
        found = verified(parse_note(bytes(content)), [KEY.verifier])
    except BadNote:
        return
    assert found == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not empty"),
        ("name", "base64|33 bytes"),
        ("na me+00000000+AAAA", "no space"),
        (GO_VERIFIER.replace("c74f20a3", "c74f20a4"), "its identifier is c74f20a3"),
        (GO_VERIFIER.replace("+AR", "+BR"), "type 1 or 4"),
        (GO_VERIFIER[:-4], "33 bytes"),
        (GO_VERIFIER[:-1] + "!", "no base64"),
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadNote, match=message):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "text", ["", GO_VERIFIER, GO_SIGNER[:-4], GO_SIGNER.replace("c74f20a3", "00000000"), GO_SIGNER + "!"]
)
def test_what_is_no_signing_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(BadNote) as refused:
        SigningKey.parse(text)
    assert "EKFALVFGyNhPJEMzD1QIDr" not in str(refused.value)


def test_a_checkpoint_comes_back_as_it_was() -> None:
    checkpoint = Checkpoint.parse(TEXT)
    assert checkpoint == Checkpoint("log.example/tally", 3, bytes(range(32)))
    assert checkpoint.text == TEXT


def test_extension_lines_are_signed_but_are_no_part_of_the_head() -> None:
    text = TEXT + "an extension line\nanother\n"
    assert Checkpoint.parse(text) == Checkpoint.parse(TEXT)
    note = sign_note(text, KEY)
    assert verified(note, [KEY.verifier]) == (KEY.verifier,)
    with pytest.raises(BadSignature):
        verified(Note(TEXT, note.signatures), [KEY.verifier])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n3\n", "\n03\n", "without leading zeros"),
        ("\n3\n", "\n-3\n", "without leading zeros"),
        ("\n3\n", "\n\u0663\n", "without leading zeros"),
        ("\n3\n", "\n9223372036854775808\n", "without leading zeros"),
        ("\n3\n", "\n", "three lines"),
        ("\n3\n", "\n3\n\n", "none empty"),
        ("Hh8=\n", "Hh8=\n\nextension\n", "none empty"),
        ("Hh8=\n", "Hh8=\next\tension\n", "no control characters"),
        ("Hh8=\n", "Hh8=", "three lines"),
        ("log.example/tally\n", "\n", "origin"),
        ("log.example/tally\n", "log example\n", "origin"),
        ("AAEC", "AAE", "root"),
        ("AAEC", "!AEC", "no base64"),
        ("AAEC", "AAECAAEC", "32 bytes"),
    ],
)
def test_what_is_no_checkpoint_is_refused(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(BadNote, match=message):
        Checkpoint.parse(TEXT.replace(old, new, 1))
