"""Why a report could not be rendered, read or written: each is an ``AuditError`` and one line."""

from __future__ import annotations

from audit.errors import AuditError


class ReportingError(AuditError):
    """Root of what ``audit.reporting`` raises."""


class Unrenderable(ReportingError):
    """The model holds what no report may have (a naive time, an infinite number); the path says where."""


class NotAReport(ReportingError):
    """The bytes are no report of this schema; the message names the path, what was expected and what came."""


class FolderRefused(ReportingError):
    """The target folder can't be used as it is: other files are in it, or it can't be written."""
