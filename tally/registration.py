"""Putting a model folder on record without the inference service: straight to the collector."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.governance.registry import Registry
from inference.manifest import read_manifest
from outbox.sender import RawSender
from store.governance import GovernanceStore
from store.sessions import Sessions
from tally.settings import read_settings
from tally.stack import plan


async def register_folder(folder: Path, collector: str | None) -> dict[str, Any]:
    """Register; ``position`` of the ``evaluated`` row, None if the ledger had the version.

    Raises:
        InferenceError: the folder is none of a model, or the step is refused or can't be recorded.
    """
    settings = read_settings()
    manifest, digest = read_manifest(folder)
    address = collector or f"{settings.collector_host}:{settings.collector_grpc_port}"
    sessions = Sessions(plan.database_urls(settings)["TALLY_INFERENCE_DATABASE_URL"])
    try:
        with tempfile.TemporaryDirectory() as scratch:
            async with RawSender(address) as sender:
                registry = Registry(GovernanceStore(sessions), sender, Path(scratch) / "models.json")
                receipt = await registry.register(folder)
    finally:
        await sessions.close()
    return {
        "model": manifest.model_id,
        "version": manifest.version,
        "digest": digest,
        "position": None if receipt is None else asdict(receipt.position),
    }
