"""The attributes of ``model.lifecycle`` events that a model folder's manifest gives."""

from __future__ import annotations

from inference.manifest import Manifest
from inference.otlp import Plain


def registration(manifest: Manifest, digest: str) -> tuple[dict[str, Plain], dict[str, Plain]]:
    """The ``trained`` and the ``evaluated`` event of a version whose model digest is ``digest``."""
    promotion = manifest.promotion
    whose: dict[str, Plain] = {
        "model.id": manifest.model_id,
        "model.version": manifest.version,
        "model.actor": manifest.trained_by,
        "model.digest": digest,
        "model.data_digest": manifest.data_digest,
    }
    figures: dict[str, Plain] = {
        "model.metrics": dict(manifest.metrics),
        "model.group_metrics": {group: dict(found) for group, found in manifest.group_metrics.items()},
    }
    bounds: dict[str, Plain] = {
        "minimum": dict(promotion.minimum),
        "maximum": dict(promotion.maximum),
        "group_metric": promotion.group_metric,
        "group_gap": promotion.group_gap,
    }
    trained: dict[str, Plain] = {
        "model.action": "trained",
        "model.title": manifest.title,
        "model.task": manifest.task,
        "model.spec_digest": manifest.spec_digest,
        "model.artefact_digest": manifest.artefact_digest,
        "model.card_digest": manifest.card_digest,
        "model.promotion": {name: bound for name, bound in bounds.items() if bound is not None},
    }
    return whose | trained | figures, whose | {"model.action": "evaluated"} | figures
