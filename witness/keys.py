"""The keys that a witness works with: its own, and those of the logs that it cosigns."""

from __future__ import annotations

import stat
from pathlib import Path

from ledger.errors import BadNote
from ledger.notes import COSIGNATURE, ED25519, SigningKey, VerifierKey
from ledger.policies import MOST_BYTES, Policy
from witness.errors import BadConfiguration
from witness.settings import WitnessSettings


def signing_key(settings: WitnessSettings) -> SigningKey:
    """The witness's own key.

    Raises:
        BadConfiguration: there is none, or more than one, or it is unusable.
    """
    if settings.key is not None and settings.key_file is None:
        return _parsed(settings.key.get_secret_value(), "TALLY_WITNESS_KEY")
    if settings.key_file is not None and settings.key is None:
        return key_in_file(settings.key_file)
    raise BadConfiguration("expected a key: either TALLY_WITNESS_KEY_FILE or TALLY_WITNESS_KEY")


def key_in_file(path: Path) -> SigningKey:
    """The witness's key in a file that is its owner's alone.

    Raises:
        BadConfiguration: it can't be read, others may read it, or it has no such key.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise BadConfiguration(f"the key file {path} is no regular file")
        if mode & 0o077:
            raise BadConfiguration(f"others may read the key file {path}: run chmod 600 {path}")
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or "no file") if isinstance(error, OSError) else "no text"
        raise BadConfiguration(f"the key file {path} can't be read: {reason}") from None
    return _parsed(text, f"the key file {path}")


def trusted_logs(settings: WitnessSettings) -> tuple[VerifierKey, ...]:
    """The keys of the logs, each once.

    Raises:
        BadConfiguration: there are none, or one is unusable.
    """
    try:
        keys = [VerifierKey.parse(text) for text in settings.logs]
        if settings.policy is not None:
            keys += [log.key for log in Policy.parse(_content(settings.policy)).logs]
    except BadNote as error:
        raise BadConfiguration(f"logs: {error}") from error
    for key in keys:
        if key.kind != ED25519:
            raise BadConfiguration(f"logs: key {key.name} is of type {key.kind}, expected {ED25519}")
    if not keys:
        raise BadConfiguration("expected a log: name its verifier key, or a policy file that has one")
    return tuple(dict.fromkeys(keys))


def _parsed(text: str, what: str) -> SigningKey:
    try:
        key = SigningKey.parse(text.strip())
    except BadNote as error:
        raise BadConfiguration(f"{what}: {error}") from None
    if key.kind != COSIGNATURE:
        raise BadConfiguration(
            f"{what}: key {key.name} is of type {key.kind}; a witness needs one of type {COSIGNATURE}"
        )
    return key


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadConfiguration(f"the policy {path} can't be read: {error.strerror}") from error
