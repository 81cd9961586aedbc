"""The model card of a version, from its folder: only what the ledger's digests vouch for is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.errors import Conflict, ModelUnusable, NotFound
from inference.governance.state import Version
from inference.manifest import CARD, read_manifest, sha256_hex
from inference.serving.shelf import find_all


def read_card(shelves: Sequence[Path], model_id: str, version: str, known: Version | None) -> bytes:
    """The card; ``known`` is what the ledger has of the version.

    Raises:
        NotFound: the ledger has no such version, or no shelf has its card.
        Conflict: the cards that are there are not what the ledger means (``card_differs``).
    """
    missing = NotFound(f"this service has no card of {model_id}/{version}", reason="no_such_card")
    if known is None:
        raise missing
    try:
        folders = find_all(shelves, model_id, version, known.digest)
    except ModelUnusable as error:
        raise missing from error
    problems = []
    for folder in folders:
        try:
            card = (folder / CARD).read_bytes()
        except OSError:
            continue
        if (problem := _problem(folder, card, known)) is None:
            return card
        problems.append(problem)
    if problems:
        raise Conflict(f"the card of {model_id}/{version} is not shown: {problems[0]}", reason="card_differs")
    raise missing


def _problem(folder: Path, card: bytes, known: Version) -> str | None:
    """Why a card is not the one that the ledger means."""
    try:
        manifest, digest = read_manifest(folder)
        card.decode()
    except (ModelUnusable, UnicodeDecodeError):
        return "its folder is damaged"
    if digest != known.digest:
        return "its folder has another model digest than the ledger"
    if sha256_hex(card) != manifest.card_digest:
        return "its text is not the one that the manifest names"
    if manifest.card_digest != known.card_digest:
        return "the ledger names another card than the manifest"
    return None
