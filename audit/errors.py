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


class TimestampError(AuditError):
    """A timestamp token does not prove that the note existed then, or is none; the message says why."""


class TimestampUnavailable(TimestampError):
    """The timestamping authority gave no token; asking it again later may help."""


class LogDamaged(AuditError):
    """The published log is not what it should be, or can't be written; the message names the file."""


class ForkRefused(AuditError):
    """Signing would make a second history: the database and the published log contradict each other."""


class NotSealed(AuditError):
    """A row is not in the log yet, or not in the tree that is asked about."""
