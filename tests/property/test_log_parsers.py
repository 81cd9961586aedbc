"""Parsers of what others send: whatever the bytes are, they read exactly that or raise an error of ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosignatures
from ledger.errors import BadNote, BadProof, LedgerError
from ledger.log_proofs import LogProof
from ledger.notes import parse_note
from ledger.policies import Policy, check_note
from tests.logs import LOG, WITNESSES, MemoryLog, policy_text
from witness.errors import Refused
from witness.protocol import check_against, parse_request, signed_checkpoint

LOG_OF_SEVEN = MemoryLog.of(7)
NOTE = str(LOG_OF_SEVEN.note(7, WITNESSES[:2])).encode()
PROOF = str(LogProof(3, LOG_OF_SEVEN.inclusion(3, 7), LOG_OF_SEVEN.note(7, WITNESSES[:2]), b"x")).encode()
POLICY = policy_text("group x 2 a b c\ngroup y any d\ngroup both all x y\nquorum both\n")
REQUEST = b"old 0\n\n" + NOTE
KEYS = {LOG.name: (LOG.verifier,)}


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, or ``content`` with a piece of it replaced."""
    places = st.tuples(st.integers(0, len(content)), st.integers(0, 12), st.binary(max_size=12))
    return st.binary(max_size=200) | places.map(lambda p: content[: p[0]] + p[2] + content[p[0] + p[1] :])


@given(damaged(POLICY))
def test_only_a_policy_is_read(content: bytes) -> None:
    try:
        policy = Policy.parse(content)
    except BadNote:
        return
    assert policy.quorum_met(()) in {True, False}
    policy.quorum_text.encode()


@given(damaged(PROOF))
def test_only_a_proof_is_read_and_it_is_written_as_it_was(content: bytes) -> None:
    try:
        proof = LogProof.parse(content)
    except (BadProof, BadNote):
        return
    assert str(proof).encode() == content


@given(damaged(PROOF))
def test_a_damaged_proof_proves_the_same_or_nothing(content: bytes) -> None:
    try:
        seen = LogProof.parse(content).check(LOG_OF_SEVEN.leaves[3], Policy.parse(POLICY))
    except LedgerError:
        return
    assert seen.checkpoint == LOG_OF_SEVEN.checkpoint(7)


@given(st.integers(0, 7), st.integers(0, len(NOTE) - 1))
def test_no_flipped_bit_of_a_checkpoint_adds_a_witness(bit: int, place: int) -> None:
    content = bytearray(NOTE)
    content[place] ^= 1 << bit
    try:
        note = parse_note(bytes(content))
        seen = check_note(note, Policy.parse(POLICY))
    except LedgerError:
        return
    assert seen.checkpoint == LOG_OF_SEVEN.checkpoint(7)
    assert len(seen.cosigned) == 1
    assert not cosignatures(note, [WITNESSES[2].verifier])


@given(damaged(REQUEST))
def test_a_damaged_request_is_refused_or_is_the_log_s_own(content: bytes) -> None:
    try:
        request = parse_request(content)
        signed = signed_checkpoint(request, KEYS)
        check_against(None, request.old, request.proof, signed.checkpoint)
    except Refused:
        return
    assert signed.note == LOG_OF_SEVEN.note(7)


@given(st.text(max_size=100))
def test_any_text_is_a_checkpoint_or_refused(text: str) -> None:
    try:
        checkpoint = Checkpoint.parse(text)
    except BadNote:
        return
    assert text.startswith(checkpoint.text)


def test_the_undamaged_ones_are_read() -> None:
    assert parse_request(REQUEST).old == 0
    assert LogProof.parse(PROOF).check(LOG_OF_SEVEN.leaves[3], Policy.parse(POLICY)).checkpoint.size == 7
    with pytest.raises(Refused):
        parse_request(NOTE)
