"""What an outbox can't do."""

from __future__ import annotations


class OutboxError(Exception):
    """Nothing was kept; the message says why."""


class OutboxFull(OutboxError):
    """As much is waiting as may wait."""


class OutboxUnusable(OutboxError):
    """The file can't be opened, read or written, or is none of ours."""
