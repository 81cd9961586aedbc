"""Why an audit could not be carried out.  What an audit finds is no error: it is in its report."""

from __future__ import annotations


class AuditError(Exception):
    """Root of every error that ``audit`` raises: the check could not run."""


class NothingSelected(AuditError):
    """The machine, stream or period asked for is not in the ledger; the message says which."""


class WorkerLost(AuditError):
    """A process of the audit ended before its work was done; the message says how."""
