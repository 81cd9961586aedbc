"""Proofs for a file of their own: C2SP tlog-proof@v1.

A leaf's index, the hashes from it to a root, and the checkpoint with that root: whoever has the leaf, and a
policy that names the log and its witnesses, needs nothing else and nobody's help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from ledger.encoded import base64_of, decimal, decoded, decoded_hash
from ledger.errors import BadNote, BadProof
from ledger.merkle import check_inclusion
from ledger.notes import Note, parse_note
from ledger.policies import Policy, Seen, check_note

MOST_HASHES: Final = 63
"""No tree of less than 2**63 leaves is higher."""
MOST_BYTES: Final = 1_000_000
"""Our choice, as for a note; without extra data a proof takes a few kilobytes."""
_FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class LogProof:
    """A proof that a leaf is in a log.

    ``hashes`` (32 bytes each) go from leaf to root.  ``extra`` is proven by nothing: it is for whom made it.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None

    def __str__(self) -> str:
        lines = [_FIRST_LINE]
        if self.extra is not None:
            lines.append(f"extra {base64_of(self.extra)}")
        lines += [f"index {self.index}", *map(base64_of, self.hashes), "", str(self.note)]
        return "\n".join(lines)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The inverse of ``str``; the checkpoint is kept as it is, to the byte.

        Raises:
            BadProof: the lines before the checkpoint are not a proof's.
            BadNote: the checkpoint is no note.
        """
        if len(content) > MOST_BYTES:
            raise BadProof(f"a proof of {len(content)} bytes: expected at most {MOST_BYTES}")
        head, separator, note = content.partition(b"\n\n")
        if not separator:
            raise BadProof("a proof has an empty line before its checkpoint")
        try:
            index, hashes, extra = _head(head.decode("ascii").split("\n"))
        except BadNote as error:
            raise BadProof(str(error)) from error
        except UnicodeDecodeError as error:
            raise BadProof("a proof's lines before its checkpoint are ASCII") from error
        return cls(index, hashes, parse_note(note), extra)

    def check(self, leaf: bytes, policy: Policy) -> Seen:
        """Raise unless the leaf with hash ``leaf`` (``merkle.leaf_hash`` of its entry) is proven to be there.

        Whether witnesses cosigned is in what is returned: its ``quorum`` may be false.

        Raises:
            BadProof: the hashes do not lead from this leaf to the checkpoint's root.
            BadNote: the policy does not know the checkpoint's log, or a signature is missing or wrong.
        """
        seen = check_note(self.note, policy)
        check_inclusion(self.index, seen.checkpoint.size, leaf, self.hashes, seen.checkpoint.root)
        return seen


def _head(lines: list[str]) -> tuple[int, tuple[bytes, ...], bytes | None]:
    if lines[0] != _FIRST_LINE:
        raise BadNote(f"a proof's first line is {_FIRST_LINE}, not {lines[0][:64]!r}")
    rest = lines[1:]
    extra = None
    if rest and rest[0].startswith("extra "):
        extra = decoded(rest.pop(0).removeprefix("extra "), "a proof's extra data")
    if not rest or not rest[0].startswith("index "):
        raise BadNote("a proof has a line `index N` before its hashes")
    index = decimal(rest[0].removeprefix("index "), "a proof's index")
    if len(rest) - 1 > MOST_HASHES:
        raise BadNote(f"a proof of {len(rest) - 1} hashes: expected at most {MOST_HASHES}")
    return index, tuple(decoded_hash(line, "a hash of the proof") for line in rest[1:]), extra
