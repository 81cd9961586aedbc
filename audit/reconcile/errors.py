"""Why a reconciliation could not be carried out: the request is wrong.  What it finds is in its report."""

from __future__ import annotations

from audit.errors import AuditError


class ReconcileError(AuditError):
    """Root of the package's errors."""


class BadRequest(ReconcileError):
    """A period, site, machine, material or parameter that can't be reconciled; the message says which."""


class BadExport(ReconcileError):
    """A folder that is no export, or one that was altered or is incomplete."""


def first_line(error: Exception) -> str:
    """What an error of a library says, on one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
