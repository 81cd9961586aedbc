"""Proofs in a file: they prove their leaf at its place, to whoever has the policy, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.errors import BadNote, BadProof
from ledger.log_proofs import MOST_BYTES, MOST_HASHES, LogProof
from ledger.merkle import leaf_hash
from ledger.notes import SigningKey
from ledger.policies import Policy
from tests.logs import WITNESSES, MemoryLog, policy_text

LOG_OF_SEVEN = MemoryLog.of(7)
POLICY = Policy.parse(policy_text())


def proof_of(index: int, size: int = 7, witnesses: tuple[SigningKey, ...] = WITNESSES[:2]) -> LogProof:
    return LogProof(
        index, LOG_OF_SEVEN.inclusion(index, size), LOG_OF_SEVEN.note(size, witnesses, "an extension\n")
    )


def test_every_leaf_of_every_size_is_proven_from_the_file_alone() -> None:
    for size in range(1, 8):
        for index in range(size):
            proof = LogProof.parse(str(proof_of(index, size)).encode())
            seen = proof.check(LOG_OF_SEVEN.leaves[index], POLICY)
            assert (seen.checkpoint.size, seen.quorum) == (size, True)
    assert not proof_of(3, witnesses=()).check(LOG_OF_SEVEN.leaves[3], POLICY).quorum


def test_a_proof_proves_no_other_leaf_and_no_other_place() -> None:
    proof = proof_of(3)
    for tampered in (
        replace(proof, index=4),
        replace(proof, index=7),
        replace(proof, index=2**63 - 1),
        replace(proof, hashes=proof.hashes[:-1]),
        replace(proof, hashes=(*proof.hashes, bytes(32))),
        replace(proof, hashes=proof.hashes[::-1]),
        replace(proof, note=LOG_OF_SEVEN.note(6)),
    ):
        with pytest.raises(BadProof):
            LogProof.parse(str(tampered).encode()).check(LOG_OF_SEVEN.leaves[3], POLICY)
    with pytest.raises(BadProof, match="leaf 3 does not lead to the root"):
        proof.check(leaf_hash(b"another row"), POLICY)


def test_a_proof_from_an_unknown_log_proves_nothing() -> None:
    with pytest.raises(BadNote, match="no log of the policy"):
        proof_of(3).check(LOG_OF_SEVEN.leaves[3], Policy.parse(b"quorum none\n"))


@pytest.mark.parametrize("extra", [None, b"", b"\0any bytes\xff"])
def test_a_proof_comes_back_with_its_checkpoint_to_the_byte(extra: bytes | None) -> None:
    proof = replace(proof_of(3), extra=extra)
    lines = str(proof).split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert (lines[1][:6] == "extra ") is (extra is not None)
    assert LogProof.parse(str(proof).encode()) == proof
    assert str(proof).endswith("\n\n" + str(proof.note))


GOOD = str(proof_of(3))
HASH = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tlog-proof@v1", "tlog-proof@v2", "first line is c2sp.org/tlog-proof@v1"),
        ("c2sp", "\u2014c2sp", "ASCII"),
        ("index 3", "index 03", "without leading zeros"),
        ("index 3", "index -3", "without leading zeros"),
        ("index 3", "index 9223372036854775808", "without leading zeros"),
        ("index 3", "index 3 ", "without leading zeros"),
        ("index 3\n", "", "a line `index N`"),
        ("index 3", "extra !\nindex 3", "no base64"),
        ("index 3", "extra AB==\nindex 3", "no canonical base64"),
        ("index 3", "extra AA==\nextra AA==\nindex 3", "a line `index N`"),
        ("index 3\n", f"index 3\n{HASH * 2}\n", "no base64"),
        ("index 3\n", "index 3\nAAAA\n", "32 bytes"),
        ("index 3\n", f"index 3\n{(HASH + chr(10)) * MOST_HASHES}", "66 hashes: expected at most 63"),
        ("c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v1\r\n", "first line"),
    ],
)
def test_what_is_no_proof_is_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(BadProof) as refused:
        LogProof.parse(GOOD.replace(old, new, 1).encode())
    assert message in str(refused.value)


def test_a_proof_without_a_note_or_too_long_is_refused() -> None:
    with pytest.raises(BadProof, match="empty line before its checkpoint"):
        LogProof.parse(b"c2sp.org/tlog-proof@v1\nindex 0\n")
    with pytest.raises(BadNote, match="empty line"):
        LogProof.parse(b"c2sp.org/tlog-proof@v1\nindex 0\n\nlog.example\n1\n")
    with pytest.raises(BadProof, match="expected at most"):
        LogProof.parse(bytes(MOST_BYTES + 1))
