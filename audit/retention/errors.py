"""Why nothing was dropped, or why what is asked for can't be answered any more."""

from __future__ import annotations

from audit.errors import AuditError


class RetentionError(AuditError):
    """Root of the package's errors."""


class DropRefused(RetentionError):
    """Nothing was dropped; the message says what is missing for it."""


class BundleUnusable(RetentionError):
    """A bundle does not show that rows were exported: it does not verify, or is of another ledger."""


class RowsDropped(RetentionError):
    """What is asked for needs rows that were dropped; the message names the bundles that have them."""
