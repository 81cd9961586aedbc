"""The log's signing key of an embedded stack: one of your own, or one that is made at first use."""

from __future__ import annotations

import secrets
from pathlib import Path

from ledger.notes import ED25519
from service.keys.files import new_signing_key, store_signing_key
from service.keys.sources import load_signing_key
from tally.errors import TallyError
from tally.settings import Settings


def log_key_source(settings: Settings) -> str:
    """Where the sealer gets its key: TALLY_SEALER_KEY, else the stack's own file, made if there is none.

    Raises:
        TallyError: the file's key is of another log than TALLY_LOG_NAME says.
        service.errors.KeyUnusable: the file is no key, or is open to others.
        ledger.errors.BadNote: TALLY_LOG_NAME can't be a log's name.
    """
    return settings.sealer_key or str(ensure_log_key(settings))


def ensure_log_key(settings: Settings) -> Path:
    """The stack's own key file, mode 0600; a new one is of the log TALLY_LOG_NAME.

    The file appears whole or not at all, and the first of two callers at once makes it.  A crash leaves at
    most a file beside it that nobody reads.
    """
    path = settings.log_key_path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        store_signing_key(temporary, new_signing_key(settings.log_name, ED25519))
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass  # another process was first: its key is the one
        finally:
            temporary.unlink()
    named = load_signing_key(str(path)).name
    if "log_name" in settings.model_fields_set and named != settings.log_name:
        raise TallyError(
            f"TALLY_LOG_NAME is {settings.log_name}, the key in {path} is of {named}: a log keeps its name, "
            "so leave the variable out"
        )
    return path
