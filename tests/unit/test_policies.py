"""Policies: whom a verifier believes, read from a file that says exactly one thing."""

from __future__ import annotations

import time

import pytest

from ledger.errors import BadNote, BadSignature
from ledger.notes import COSIGNATURE, ED25519, Note, Signature, SigningKey, sign_note
from ledger.policies import MOST_BYTES, Group, LogKey, Policy, Witness, check_note
from tests.logs import LOG, WITNESSES, MemoryLog, policy_text

A, B, C, D = (witness.verifier for witness in WITNESSES)
OTHER_LOG = SigningKey("other.example/log", ED25519, bytes(32))
NESTED = "group x 2 a b c\ngroup y any d\ngroup both all x y\nquorum both\n"


def test_a_policy_names_logs_witnesses_and_a_quorum() -> None:
    text = (
        "# whom we believe\n\n"
        f" \tlog\t{LOG.verifier}  https://log.example/ \n"
        f"witness first {A}\nwitness second {B} https://witness.example/\n"
        "group both all first second\n  # enough\nquorum both\n"
    )
    policy = Policy.parse(text.encode())
    assert policy.logs == (LogKey(LOG.verifier, "https://log.example/"),)
    assert policy.witnesses == (
        Witness("first", A, None),
        Witness("second", B, "https://witness.example/"),
    )
    assert policy.groups == (Group("both", 2, ("first", "second")),)
    assert policy.quorum_text == "2 of first, second"
    assert Policy.parse(text.rstrip().encode()) == policy


@pytest.mark.parametrize(
    ("quorum", "text", "enough", "too_few"),
    [
        ("quorum none\n", "none", [set(), {A}], []),
        ("quorum a\n", "a", [{A}, {A, B}], [set(), {B, C, D}]),
        ("group q 2 a b c\nquorum q\n", "2 of a, b, c", [{A, C}, {A, B, C}], [{A}, {A, D}]),
        ("group q any a b\nquorum q\n", "1 of a, b", [{A}, {B}], [set(), {C}]),
        ("group q all a b\nquorum q\n", "2 of a, b", [{A, B}], [{A}, {B, C}]),
        (NESTED, "2 of (2 of a, b, c), (1 of d)", [{A, B, D}], [{A, B, C}, {A, D}, {D}]),
    ],
)
def test_a_quorum_is_met_by_enough_and_not_by_fewer(
    quorum: str, text: str, enough: list[set[object]], too_few: list[set[object]]
) -> None:
    policy = Policy.parse(policy_text(quorum))
    assert policy.quorum_text == text
    for keys in enough:
        assert policy.quorum_met(keys)  # type: ignore[arg-type]
    for keys in too_few:
        assert not policy.quorum_met(keys)  # type: ignore[arg-type]


def test_names_are_octets_and_are_shown_so_that_they_can_be_printed() -> None:
    kelvin, latin = "\u212a".encode(), b"K"
    text = b"witness %s %s\nwitness %s %s\nwitness \xff\x80 %s\nwitness a\\b %s\n"
    text += b"group q 2 K \xff\x80\nquorum q\n"
    keys = [str(key).encode() for key in (A, B, C, D)]
    policy = Policy.parse(text % (kelvin, keys[0], latin, keys[1], keys[2], keys[3]))
    assert [witness.name for witness in policy.witnesses] == ["\u212a", "K", "\\xff\\x80", "a\\x5cb"]
    assert policy.quorum_text == "2 of K, \\xff\\x80"
    assert policy.quorum_met({B, C})
    assert not policy.quorum_met({A, C})


KEY = str(LOG.verifier)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this has none"),
        (policy_text(""), "one line `quorum NAME`"),
        (policy_text("quorum a\nquorum a\n"), "line 7: a second quorum"),
        (policy_text("quorum z\n"), "line 6: z is no witness or group of a line before"),
        (policy_text("quorum\n"), "line 6: expected `log KEY"),
        (policy_text("quorum a b\n"), "line 6: expected `log KEY"),
        (policy_text("quorums a\n"), "not 'quorums' with 1 more"),
        (policy_text("quorum q\ngroup q any a\n"), "line 6: q is no witness"),
        (policy_text("group q any q\nquorum q\n"), "line 6: q is no witness"),
        (policy_text("group q any none\nquorum q\n"), "none is no witness"),
        (policy_text("group q any a a\nquorum q\n"), "a is a member already"),
        (policy_text("group p any a\ngroup q any a\nquorum q\n"), "line 7: a is a member already"),
        (policy_text("group a any b\nquorum a\n"), "the name a is taken"),
        (policy_text("group none any b\nquorum none\n"), "the name none is taken"),
        (policy_text("group q any\nquorum q\n"), "line 6: expected `log KEY"),
        (policy_text("group q 0 a\nquorum q\n"), "a number from 1 to 1"),
        (policy_text("group q 2 a\nquorum q\n"), "a number from 1 to 1"),
        (policy_text("group q 01 a\nquorum q\n"), "a number from 1 to 1"),
        (policy_text("group q +1 a\nquorum q\n"), "a number from 1 to 1"),
        (policy_text("group q \u0661 a\nquorum q\n"), "a number from 1 to 1"),
        (policy_text("group q All a\nquorum q\n"), "a number from 1 to 1"),
        (policy_text(f"group q {'9' * 5000} a\nquorum q\n"), "a number from 1 to 1"),
        (policy_text(f"witness a {WITNESSES[0].verifier}\nquorum a\n"), "the name a is taken"),
        (policy_text(f"witness e {A}\nquorum e\n"), "was listed before"),
        (policy_text(logs=(LOG, LOG)), "line 2: key log.example/tally was listed before"),
        (
            policy_text(logs=(LOG, SigningKey("other.example", ED25519, LOG.seed))),
            "other.example was listed before, perhaps by another name",
        ),
        (f"log {A}\nquorum none\n".encode(), "line 1: key witness-a.example is of type 4, expected 1"),
        (f"witness a {KEY}\nquorum none\n".encode(), "is of type 1, expected 4"),
        (b"log nonsense\nquorum none\n", "line 1: key nonsense: expected an Ed25519 key"),
        (b"log \xff\nquorum none\n", "line 1: a key is UTF-8"),
        (f"log {KEY} a b\nquorum none\n".encode(), "expected `log KEY"),
        (f"log {KEY}\r\nquorum none\r\n".encode(), "line 1: control character 0x0d"),
        (f"log {KEY}\x0bu\nquorum none\n".encode(), "control character 0x0b"),
        (b"# \x7f\nquorum none\n", "control character 0x7f"),
        (b"#" * (MOST_BYTES + 1), "expected at most 100000"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_line(content: bytes, message: str) -> None:
    with pytest.raises(BadNote) as refused:
        Policy.parse(content)
    assert message in str(refused.value)


def test_a_key_may_be_a_log_s_and_a_witness_s() -> None:
    both = SigningKey(LOG.name, COSIGNATURE, LOG.seed)
    text = f"log {LOG.verifier}\nwitness a {both.verifier}\nquorum a\n"
    assert Policy.parse(text.encode()).quorum_met({both.verifier})


def test_hundreds_of_witnesses_and_groups_are_read() -> None:
    keys = [SigningKey(f"w{n}.example", COSIGNATURE, n.to_bytes(32)).verifier for n in range(300)]
    lines = [f"witness w{n} {key}\n" for n, key in enumerate(keys)]
    lines += [f"group g{n} any w{n} {f'g{n - 1}' if n else ''}\n" for n in range(300)]
    policy = Policy.parse(("".join(lines) + "quorum g299\n").encode())
    assert policy.quorum_met({keys[0]})
    assert not policy.quorum_met(set())


def test_groups_within_groups_are_no_way_to_exhaust_a_verifier() -> None:
    begin = time.monotonic()
    lines = ["group 0 1 a\n", *(f"group {n} 1 {n - 1}\n" for n in range(1, 5_000))]
    content = policy_text("".join(lines) + "quorum 4999\n")
    assert len(content) < MOST_BYTES
    policy = Policy.parse(content)
    assert policy.quorum_met({A})
    assert policy.quorum_text.startswith("1 of (1 of (1 of")
    assert time.monotonic() - begin < 5


def test_a_checkpoint_of_a_known_log_is_seen_with_its_witnesses() -> None:
    log, policy = MemoryLog.of(7), Policy.parse(policy_text())
    seen = check_note(log.note(7, WITNESSES[:2]), policy)
    assert (seen.checkpoint, seen.log, seen.quorum) == (log.checkpoint(7), LOG.verifier, True)
    assert [one.key for one in seen.cosigned] == [A, B]
    assert not check_note(log.note(7, WITNESSES[:1]), policy).quorum
    assert not check_note(log.note(7, [WITNESSES[0], WITNESSES[3]]), policy).quorum
    assert not check_note(log.note(7), policy).quorum


def test_a_checkpoint_of_an_unknown_or_unsigned_log_is_refused() -> None:
    log, policy = MemoryLog.of(7), Policy.parse(policy_text())
    stranger = Policy.parse(policy_text(logs=(OTHER_LOG,)))
    with pytest.raises(BadNote, match=r"is no log of the policy, which has: other\.example/log"):
        check_note(log.note(7, WITNESSES), stranger)
    with pytest.raises(BadNote, match="which has: none"):
        check_note(log.note(7), Policy.parse(b"quorum none\n"))
    unsigned = Note(log.note(7).text, log.note(7, WITNESSES).signatures[1:])
    with pytest.raises(BadNote, match="has no signature by its key"):
        check_note(unsigned, policy)
    renewed = SigningKey(LOG.name, ED25519, bytes(32))
    with pytest.raises(BadNote, match="has no signature by its key"):
        check_note(sign_note(log.note(7).text, renewed), policy)


def test_a_log_s_signature_counts_for_its_own_origin_alone() -> None:
    log, policy = MemoryLog.of(7), Policy.parse(policy_text(logs=(LOG, OTHER_LOG)))
    assert check_note(log.note(7), policy).log == LOG.verifier
    with pytest.raises(BadNote, match="has no signature by its key"):
        check_note(sign_note(log.note(7).text, OTHER_LOG), policy)


def test_a_wrong_signature_by_log_or_witness_spoils_the_checkpoint() -> None:
    log, policy = MemoryLog.of(7), Policy.parse(policy_text())
    note = log.note(7, WITNESSES[:3])
    for place, right in enumerate(note.signatures):
        wrong = Signature(right.name, right.key_id, right.value[:-1] + bytes([right.value[-1] ^ 1]))
        lines = (*note.signatures[:place], wrong, *note.signatures[place + 1 :])
        with pytest.raises(BadSignature):
            check_note(Note(note.text, lines), policy)
    with pytest.raises(BadSignature):
        check_note(Note(MemoryLog.of(7, b"x").note(7).text, note.signatures), policy)
