"""The file beside a service: the rows of the governance stream, for a start without the database.

Rows are kept as the ledger's bytes, so that damage shows like in the ledger.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

_FORMAT: Final = 1

log = structlog.get_logger("inference.governance")


def keep_rows(path: Path, chains: Mapping[str, Sequence[bytes]]) -> None:
    """Replace the file; a crash leaves the one before, whose rows are a beginning of the same chains."""
    encoded = {
        model_id: [base64.b64encode(row).decode() for row in rows] for model_id, rows in chains.items()
    }
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"format": _FORMAT, "chains": encoded}))
        temporary.replace(path)
    except OSError as error:
        log.warning("the last known state of the models can't be kept", file=path.name, error=str(error))


def kept_rows(path: Path) -> dict[str, list[bytes]]:
    """The rows of each model; a file that can't be read is as good as none, since the ledger has them all."""
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            return {}
        return {
            str(model_id): [base64.b64decode(row) for row in rows]
            for model_id, rows in content["chains"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("the last known state of the models can't be read", file=path.name, error=str(error))
        return {}
