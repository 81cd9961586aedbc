"""Whether a version's rows say of it what its folder says.

Anybody who can write events can write a ``trained`` row with the digest of a real model and figures that it
never had.  Who approves or promotes would believe them, so a service that has the folder compares first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.errors import ModelUnusable
from inference.governance.state import Step
from inference.manifest import Manifest, Promotion, read_manifest
from inference.serving.shelf import find


def differences(shelves: Sequence[Path], model_id: str, trained: Step) -> list[str]:
    """What the ``trained`` row has otherwise than the manifest of its digest; none if no shelf has that."""
    try:
        folder = find(shelves, model_id, trained.version, trained.digest)
        manifest, digest = read_manifest(folder)
    except ModelUnusable:
        return []
    return differing(manifest, trained) if digest == trained.digest else []


def differing(manifest: Manifest, trained: Step) -> list[str]:
    """The names of what a manifest and a ``trained`` row that the law admitted say differently."""
    row: Mapping[str, Any] = trained.attributes
    same = {
        "version": manifest.version == trained.version,
        "trainer": manifest.trained_by == trained.actor,
        "metrics": manifest.metrics == (row.get("model.metrics") or {}),
        "group metrics": manifest.group_metrics == (row.get("model.group_metrics") or {}),
        "promotion bounds": manifest.promotion == Promotion.model_validate(row.get("model.promotion") or {}),
        "card digest": manifest.card_digest == row.get("model.card_digest"),
        "data digest": manifest.data_digest == row.get("model.data_digest"),
        "artefact digest": manifest.artefact_digest == row.get("model.artefact_digest"),
        "specification digest": manifest.spec_digest == row.get("model.spec_digest"),
        "task": manifest.task == row.get("model.task"),
    }
    return [name for name, agrees in same.items() if not agrees]
