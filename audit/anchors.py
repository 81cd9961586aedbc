"""What a ledger is held against: signed heads that were kept elsewhere, and who vouches for them.

A file that is given is a checkpoint or a policy.  A policy stands for what it can be asked for: the head that
its quorum cosigned, in the published log, and the last head that each of its witnesses cosigned, at its URL.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from audit.bounded_http import Unanswered, bounded_exchange
from audit.errors import AuditError
from audit.sealing.log_files import CHECKPOINT, WITNESSED, LogFiles
from audit.sealing.parts import read_policy
from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosignatures
from ledger.errors import BadNote
from ledger.notes import MOST_BYTES, Note, VerifierKey, parse_note
from ledger.policies import Policy, Witness, check_note

_ANSWER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that the ledger has to meet.

    ``source``: where it is from; ``vouched``: who signed it and when, in words; ``wanting``: what it lacks of
    what the policy asks for, None if nothing: such a head proves less, and is said to.  ``witness``: who gave
    it when asked, None for a file.
    """

    source: str
    checkpoint: Checkpoint
    note: Note
    vouched: str
    wanting: str | None = None
    witness: VerifierKey | None = None


@dataclass(frozen=True, slots=True)
class Anchors:
    """All heads, smallest first; what could not be asked; and the policy, if one was given."""

    anchors: tuple[Anchor, ...]
    unasked: tuple[str, ...]
    policy: Policy | None = None

    def fresh(self, holding: Collection[VerifierKey]) -> bool:
        """Whether those witnesses whose own last head holds are enough, of those that can be asked.

        What the operator's folder has may be old: what was done after it, only the witnesses can tell.
        """
        if self.policy is None or not any(witness.url for witness in self.policy.witnesses):
            return True
        return self.policy.quorum_met(holding)


def collect(files: Sequence[Path], log: LogFiles | None) -> Anchors:
    """The heads that these files stand for.

    Raises:
        AuditError: a file is neither, or a signature that counts is wrong; two policies; nothing to hold
        against.
    """
    policies: dict[Path, Policy] = {}
    notes: dict[Path, Note] = {}
    for path in files:
        content = _content(path)
        if "\n\n\u2014 ".encode() in content:
            notes[path] = _note(path, content)
        else:
            policies[path] = read_policy(path)
    if len(policies) > 1:
        raise AuditError(f"{' and '.join(map(str, policies))} are policies: expected one at most")
    policy = next(iter(policies.values()), None)
    found = [_anchor(str(path), note, policy) for path, note in notes.items()]
    unasked: list[str] = []
    if policy is not None:
        found += _published(policy, log)
        for witness in policy.witnesses:
            if witness.url:
                found += _cosigned(witness, policy, unasked)
    if not found:
        raise AuditError(
            "there is no head to hold the ledger against: no published log, and no witness that answers; "
            "give --log DIR or a checkpoint that you kept"
        )
    return Anchors(tuple(sorted(found, key=lambda one: one.checkpoint.size)), tuple(unasked), policy)


def _published(policy: Policy, log: LogFiles | None) -> list[Anchor]:
    """The head with its quorum; and the newest one, if that is another."""
    if log is None:
        return []
    found: dict[str, Anchor] = {}
    for name in (WITNESSED, CHECKPOINT):
        note = log.note(name)
        if note is not None and note.text not in found:
            found[note.text] = _anchor(str(log.folder / name), note, policy)
    return list(found.values())


def _cosigned(witness: Witness, policy: Policy, unasked: list[str]) -> list[Anchor]:
    """The last head that a witness cosigned, of each log of the policy."""
    found = []
    url = f"{str(witness.url).rstrip('/')}/latest"
    for origin in sorted({log.key.name for log in policy.logs}):
        try:
            status, content = bounded_exchange(
                "GET", url, params={"origin": origin}, timeout_s=_ANSWER_S, most_bytes=MOST_BYTES
            )
        except Unanswered as error:
            unasked.append(f"{witness.name} can't be asked: {error}")
            continue
        if status == HTTPStatus.NOT_FOUND:
            unasked.append(f"{witness.name} has cosigned no head of {origin}")
            continue
        try:
            note = parse_note(content)
            if not cosignatures(note, [witness.key]):
                raise BadNote("no cosignature by its key in the policy")  # noqa: TRY301
            anchor = _anchor(f"{witness.name}, asked at {url}", note, policy)
            found.append(replace(anchor, witness=witness.key))
        except (BadNote, AuditError) as error:
            said = f"{witness.name} answered {status} with what does not count: {error}"
            unasked.append(said)
    return found


def _anchor(source: str, note: Note, policy: Policy | None) -> Anchor:
    try:
        if policy is None:
            said = "its signatures were not checked: no policy was given"
            return Anchor(source, Checkpoint.parse(note.text), note, said)
        seen = check_note(note, policy)
    except BadNote as error:
        raise AuditError(f"{source}: {error}") from error
    names = {witness.key: witness.name for witness in policy.witnesses}
    by = ", ".join(f"{names[one.key]} at {_moment(one.unix_s)}" for one in seen.cosigned)
    vouched = f"signed by {seen.log.name}" + (f", cosigned by {by}" if by else "")
    wanting = None if seen.quorum else f"not witnessed: the policy asks for {policy.quorum_text}"
    return Anchor(source, seen.checkpoint, note, vouched, wanting)


def _moment(unix_s: int) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"second {unix_s}"


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise AuditError(f"{path} can't be read: {error.strerror}") from error


def _note(path: Path, content: bytes) -> Note:
    try:
        return parse_note(content)
    except BadNote as error:
        raise AuditError(f"{path}: {error}") from error
