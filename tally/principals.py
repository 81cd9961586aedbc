"""The principals of an embedded stack: a token each in a file, and the service's list of their digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from tally.files import secret, write_atomically

PRINCIPALS: Final[dict[str, tuple[str, ...]]] = {
    "machines": ("predict",),
    "reviewer": ("review",),
    "approver": ("govern",),
    "operator": ("govern", "predict", "review"),
}
"""Name to roles.  Who trains a model is none of them, so that nobody approves what is theirs."""


def ensure_principals(secrets_dir: Path) -> Path:
    """The list for TALLY_INFERENCE_PRINCIPALS; tokens are made at first use, mode 0600.

    A crash between two tokens leaves some made; the next call makes the others and the list.
    """
    listed = [
        {
            "name": name,
            "roles": roles,
            "token_sha256": hashlib.sha256(token(secrets_dir, name).encode()).hexdigest(),
        }
        for name, roles in PRINCIPALS.items()
    ]
    path = secrets_dir / "principals.json"
    write_atomically(path, json.dumps(listed, indent=2) + "\n", mode=0o600)
    return path


def token(secrets_dir: Path, name: str) -> str:
    """The token of a principal, from the file ``principals/NAME.token``."""
    return secret(secrets_dir / "principals" / f"{name}.token")
