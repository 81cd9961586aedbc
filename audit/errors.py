"""Why an audit could not be carried out.  What an audit finds is no error: it is in its report."""

from __future__ import annotations


class AuditError(Exception):
    """Root of every error that ``audit`` raises: the check could not run."""


def unforeseen(error: Exception) -> AuditError:
    """What to raise for an error that nobody foresaw: one line, never a traceback."""
    said = (str(error).strip() or "no message").splitlines()[0]
    return AuditError(
        f"the check stopped at what it did not foresee ({type(error).__name__}: {said}); nothing is verified"
    )


class NothingSelected(AuditError):
    """The machine, stream or period asked for is not in the ledger; the message says which."""


class WorkerLost(AuditError):
    """A process of the audit ended before its work was done; the message says how."""
