"""Seals a test's ledger as the sealer does, with a key that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from audit.sealing.log_files import LogFiles
from audit.sealing.sealer import Round, Sealer
from ledger.notes import COSIGNATURE, ED25519, SigningKey
from store.seals import SealStore
from tally.testing import Database

ORIGIN: Final = "log.example/tally"
KEY: Final = SigningKey(ORIGIN, ED25519, bytes(range(32)))
WITNESSES: Final = tuple(SigningKey(f"witness-{n}.example", COSIGNATURE, bytes([n] * 32)) for n in (1, 2, 3))


def seal_now(database: Database, folder: Path, key: SigningKey = KEY) -> Round:
    """Seal everything that is committed into the log in ``folder``."""
    with SealStore(database.sealer_url) as store:
        assert store.lock(), "no other sealer is at work"
        sealer = Sealer(store, LogFiles(folder), key)
        sealer.recover()
        return sealer.seal()


def policy_text(*witnesses: SigningKey, quorum: int = 0, key: SigningKey = KEY, url: str = "") -> str:
    """A policy that names the log, these witnesses, and how many of them must agree."""
    lines = [f"log {key.verifier}"]
    lines += [f"witness w{n} {one.verifier} {url}".rstrip() for n, one in enumerate(witnesses, start=1)]
    if not quorum:
        return "\n".join([*lines, "quorum none", ""])
    names = " ".join(f"w{n}" for n in range(1, len(witnesses) + 1))
    return "\n".join([*lines, f"group all-of-them {quorum} {names}", "quorum all-of-them", ""])
