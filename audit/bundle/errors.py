"""Why no bundle could be made."""

from __future__ import annotations

from audit.errors import AuditError


class BundleError(AuditError):
    """Root of the package's errors."""


class BundleRefused(BundleError):
    """What is asked for can't be bundled, or not to that place; the message says why."""


class LedgerBroken(BundleError):
    """The ledger is not what was sealed; the message names the row.  `tally verify` says more."""
