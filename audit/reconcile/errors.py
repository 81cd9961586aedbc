"""Why a reconciliation could not be carried out: the request is wrong.  What it finds is in its report."""

from __future__ import annotations

from audit.errors import AuditError


class ReconcileError(AuditError):
    """Root of the package's errors."""


class BadRequest(ReconcileError):
    """A period, site, machine, material or parameter that can't be reconciled; the message says which."""


class BadExport(ReconcileError):
    """A folder that is no export, or one that was altered or is incomplete."""
