"""Folders of models as training leaves them, without an artefact."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from inference.manifest import MANIFEST, Manifest, manifest_bytes
from tests.unit.inference.governance_steps import digest, trained_attributes

MODEL: Final = "waste-photos"


def manifest(version: str, **changes: Any) -> Manifest:
    """Of a version that fulfils its thresholds; ``changes`` are fields."""
    values: dict[str, Any] = {
        "model_id": MODEL,
        "version": version,
        "task": "classification",
        "title": "Waste on photos",
        "artefact_digest": digest(version),
        "card_digest": digest("card"),
        "input": {"kind": "photo", "width": 224, "height": 224},
        "output": "logits",
        "classes": ("glass", "metal"),
        "spec_digest": digest("spec"),
        "data_digest": digest("data"),
        "metrics": {"accuracy": 0.95, "ece": 0.02},
        "group_metrics": trained_attributes()["model.group_metrics"],
        "promotion": trained_attributes()["model.promotion"],
        "trained_at": datetime(2026, 3, 1, tzinfo=UTC),
        "trained_by": "trainer",
        "seconds": 12.5,
    }
    return Manifest.model_validate(values | changes)


def make_folder(shelf: Path, version: str, **changes: Any) -> Path:
    """A folder ``<shelf>/<model>/<version>`` with the manifest."""
    made = manifest(version, **changes)
    path = shelf / made.model_id / version
    path.mkdir(parents=True)
    (path / MANIFEST).write_bytes(manifest_bytes(made))
    return path
