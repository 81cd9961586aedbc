"""What can go wrong in the command and the embedded stack, by what a person should do about it."""

from __future__ import annotations


class TallyError(Exception):
    """Root of this package's errors.  The message is one line: what was expected, what came, what to do."""


class MissingPrograms(TallyError):
    """A program that has to be installed by an administrator is not there."""


class PortTaken(TallyError):
    """Another process listens on a port that a service was told to use."""


class AlreadyRunning(TallyError):
    """The same stack or database was started before and still runs."""


class NotRunning(TallyError):
    """The stack or database that was asked for does not run."""


class ServiceFailed(TallyError):
    """A process ended, or did not become healthy in time."""
