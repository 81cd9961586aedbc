"""The keys that a witness works with: its own, and those of the logs that it cosigns."""

from __future__ import annotations

from pathlib import Path

from ledger.errors import BadNote
from ledger.notes import COSIGNATURE, ED25519, SigningKey, VerifierKey
from ledger.policies import MOST_BYTES, Policy
from service.keys.sources import load_signing_key
from witness.errors import BadConfiguration
from witness.settings import WitnessSettings


def signing_key(source: str) -> SigningKey:
    """The witness's own key.

    Raises:
        service.errors.KeyUnusable: there is none at that source.
        BadConfiguration: it is a log's key.
    """
    key = load_signing_key(source)
    if key.kind != COSIGNATURE:
        raise BadConfiguration(
            f"{key.name}'s key is a log's (type {key.kind}): a witness cosigns with type {COSIGNATURE}; "
            "`tally keys generate --witness` makes one"
        )
    return key


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


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadConfiguration(f"the policy {path} can't be read: {error.strerror}") from error
