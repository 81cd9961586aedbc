"""Cosignatures: what a witness signed, and when; nothing else passes for one."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.cosignatures import LATEST_UNIX_S, Cosignature, cosign, cosignatures
from ledger.errors import BadNote, BadSignature
from ledger.notes import ED25519, Note, Signature, SigningKey, VerifierKey, parse_note
from tests.logs import LOG, MOMENT, WITNESSES, MemoryLog

WITNESS, OTHER = WITNESSES[:2]
LOG_OF_SEVEN = MemoryLog.of(7)
KEYS = [witness.verifier for witness in WITNESSES]


def test_a_cosignature_has_the_bytes_that_the_specification_says() -> None:
    text = LOG_OF_SEVEN.checkpoint(7).text
    message = b"cosignature/v1\ntime 1679315147\n" + text.encode()
    expected = Ed25519PrivateKey.from_private_bytes(WITNESS.seed).sign(message)
    blob = WITNESS.verifier.key_id + (1_679_315_147).to_bytes(8) + expected
    assert len(blob) == 76
    line = f"\u2014 {WITNESS.name} {base64.b64encode(blob).decode()}\n"
    assert str(cosign(text, WITNESS, 1_679_315_147)) == line


def test_known_witnesses_count_and_others_are_left_alone() -> None:
    note = parse_note(str(LOG_OF_SEVEN.note(7, [WITNESS, OTHER])).encode())
    assert cosignatures(note, KEYS) == (
        Cosignature(WITNESS.verifier, MOMENT),
        Cosignature(OTHER.verifier, MOMENT),
    )
    assert cosignatures(note, [OTHER.verifier, LOG.verifier]) == (Cosignature(OTHER.verifier, MOMENT),)
    assert cosignatures(note, []) == ()


def test_a_witness_that_cosigned_twice_counts_once_at_its_earliest_time() -> None:
    note = LOG_OF_SEVEN.note(7)
    times = (MOMENT + 5, MOMENT, MOMENT + 9)
    lines = tuple(cosign(note.text, WITNESS, moment) for moment in times)
    found = cosignatures(Note(note.text, note.signatures + lines), KEYS)
    assert found == (Cosignature(WITNESS.verifier, MOMENT),)


def test_extension_lines_are_part_of_what_is_cosigned() -> None:
    note = LOG_OF_SEVEN.note(7, [WITNESS], extension="one more line\n")
    assert cosignatures(note, KEYS) == (Cosignature(WITNESS.verifier, MOMENT),)
    with pytest.raises(BadSignature):
        cosignatures(Note(LOG_OF_SEVEN.checkpoint(7).text, note.signatures), KEYS)


def altered(value: bytes) -> list[bytes]:
    later = (int.from_bytes(value[:8]) + 1).to_bytes(8) + value[8:]
    return [later, value[:-1], value + b"\0", value[8:], bytes(72), b"\xff" * 8 + value[8:]]


@pytest.mark.parametrize("which", range(6))
def test_a_wrong_cosignature_by_a_known_witness_spoils_the_note(which: int) -> None:
    note = LOG_OF_SEVEN.note(7, [WITNESS])
    right = note.signatures[-1]
    wrong = Signature(right.name, right.key_id, altered(right.value)[which])
    for lines in ((wrong,), (right, wrong), (wrong, right)):
        spoiled = parse_note(str(Note(note.text, lines)).encode())
        with pytest.raises(BadSignature, match=r"witness-a\.example\+[0-9a-f]{8} is wrong"):
            cosignatures(spoiled, KEYS)
        assert cosignatures(spoiled, [OTHER.verifier]) == ()


def test_a_time_over_the_bound_is_wrong_though_it_was_signed() -> None:
    text = LOG_OF_SEVEN.checkpoint(7).text
    last = cosign(text, WITNESS, LATEST_UNIX_S)
    assert cosignatures(Note(text, (last,)), KEYS) == (Cosignature(WITNESS.verifier, LATEST_UNIX_S),)
    moment = LATEST_UNIX_S + 1
    signed = WITNESS.sign(f"cosignature/v1\ntime {moment}\n{text}".encode())
    late = Signature(WITNESS.name, WITNESS.verifier.key_id, moment.to_bytes(8) + signed)
    with pytest.raises(BadSignature, match=r"over 2\^63 - 1"):
        cosignatures(Note(text, (late,)), KEYS)
    for impossible in (moment, -1):
        with pytest.raises(BadNote, match=r"from 0 to 2\^63 - 1"):
            cosign(text, WITNESS, impossible)


def test_only_a_cosigning_key_cosigns_and_only_a_checkpoint() -> None:
    text = LOG_OF_SEVEN.checkpoint(7).text
    with pytest.raises(BadNote, match="of type 1"):
        cosign(text, SigningKey("witness.example", ED25519, bytes(32)), MOMENT)
    with pytest.raises(BadNote, match="three lines"):
        cosign("anything\n", WITNESS, MOMENT)


def test_the_signature_of_the_specification_s_example_has_its_key_and_time() -> None:
    line = (
        "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b"
        "2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    (signature,) = parse_note(f"{text}\n{line}".encode()).signatures
    assert int.from_bytes(signature.value[:8]) == MOMENT
    stranger = VerifierKey("witness.example.com/w1", 4, bytes(32))
    assert cosignatures(Note(text, (signature,)), [stranger]) == ()
