"""A sealer's parts put together, for the service and for the command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from audit.errors import AuditError
from audit.sealing.log_files import LogFiles
from audit.sealing.metrics import SealerMetrics
from audit.sealing.rounds import Rounds
from audit.sealing.witnesses import Witnesses
from ledger.errors import BadNote
from ledger.notes import ED25519, SigningKey
from ledger.policies import Policy
from service.keys.sources import load_signing_key


def log_key(source: str) -> SigningKey:
    """The log's signing key.

    Raises:
        service.errors.KeyUnusable: there is none at that source.
        AuditError: it is a witness's key.
    """
    key = load_signing_key(source)
    if key.kind != ED25519:
        raise AuditError(
            f"{key.name}'s key is a witness's (type {key.kind}): a log signs with type {ED25519}"
        )
    return key


def read_policy(path: Path) -> Policy:
    """A policy from its file.

    Raises:
        AuditError: it can't be read, or is none.
    """
    try:
        return Policy.parse(path.read_bytes())
    except OSError as error:
        raise AuditError(f"{path} can't be read: {error.strerror}") from error
    except BadNote as error:
        raise AuditError(f"{path}: {error}") from error


@contextlib.contextmanager
def sealing(
    url: str,
    key_source: str,
    log_dir: Path,
    policy_path: Path | None,
    *,
    timestamp_url: str | None = None,
    metrics: SealerMetrics | None = None,
) -> Iterator[Rounds]:
    """Rounds of a sealer, all of it closed in the end.

    Raises:
        service.errors.KeyUnusable: there is no key at its source.
        AuditError: the key is a witness's, or the policy is not usable or does not name this log.
    """
    key = log_key(key_source)
    files = LogFiles(log_dir)
    policy = None if policy_path is None else read_policy(policy_path)
    if policy is not None and key.verifier not in {log.key for log in policy.logs}:
        raise AuditError(f"{policy_path} does not name this log: add the line `log {key.verifier}`")
    with contextlib.ExitStack() as stack:
        witnesses = None
        if policy is not None:
            witnesses = Witnesses(policy, files.read)
            stack.callback(witnesses.close)
        rounds = Rounds(url, files, key, witnesses, timestamp_url=timestamp_url, metrics=metrics)
        stack.callback(rounds.close)
        yield rounds
