"""Taking up the models that come with the package, where the operator asked for it.

A model that has no champion in the ledger is registered, approved and promoted, each a row of its chain that
says who did it and why.  It is for demonstrations and first steps; in earnest somebody approves by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from inference.errors import Conflict, InferenceError, ModelUnusable, NotFound, Unavailable
from inference.governance.registry import Registry
from inference.manifest import read_manifest
from inference.serving.shelf import every

ACTOR: Final = "tally-release"
_NOTE: Final = "comes with Tally; taken up because TALLY_INFERENCE_ADOPT is set"
_AGAIN_S: Final = 0.5

log = structlog.get_logger("inference.adoption")


async def adopt(registry: Registry, shelves: Sequence[Path]) -> None:
    """Take up every model of the shelves that has no champion yet; of several versions, the one trained last.

    The collector or the database may not be there yet: it is tried until they are.
    """
    newest: dict[str, tuple[datetime, Path]] = {}
    for folder in every(shelves):
        try:
            manifest, _ = await asyncio.to_thread(read_manifest, folder)
        except ModelUnusable as error:
            log.warning("a packaged model is not taken up", model=folder.parent.name, reason=str(error))
            continue
        known = newest.get(manifest.model_id)
        if known is None or known[0] < manifest.trained_at:
            newest[manifest.model_id] = manifest.trained_at, folder
    for model_id, (_, folder) in newest.items():
        while True:
            try:
                await _adopt(registry, model_id, folder)
            except Unavailable as error:
                log.info("a packaged model waits for the ledger", model=model_id, reason=str(error))
                await asyncio.sleep(_AGAIN_S)
                continue
            except InferenceError as error:
                log.warning("a packaged model is not taken up", model=model_id, reason=str(error))
            break


async def _adopt(registry: Registry, model_id: str, folder: Path) -> None:
    await registry.register(folder)
    try:
        state = await registry.state(model_id)
    except NotFound as error:
        raise Unavailable(str(error)) from error
    if state.champion is not None or state.former:
        return  # somebody has decided already
    version = folder.name
    if not state.versions[version].approvals:
        await registry.act(model_id, version, "approved", ACTOR, _NOTE)
    try:
        await registry.act(model_id, version, "promoted", ACTOR, _NOTE)
    except Conflict as error:
        log.warning("a packaged model does not pass the rules", model=model_id, reason=str(error))
        return
    log.info("a packaged model was taken up", model=model_id, version=version)
