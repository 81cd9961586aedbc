"""What can go wrong between a mass and a disclosed figure."""

from __future__ import annotations

from audit.errors import AuditError


class EsgError(AuditError):
    """Root of every error that ``audit.esg`` raises."""


class NotAQuantity(EsgError, TypeError):
    """A float, a bare number or a quantity of another kind, where exactly one kind is right."""


class OutOfRange(EsgError):
    """A quantity of the right kind whose value can't be: the message names the bound and the value."""


class FactorFileError(EsgError):
    """A factor file is not what it must be; the message names file, line, field, bound and value."""


class FactorSetConflict(EsgError):
    """A set would take the place of another one, wholly or for a part of its validity."""


class UnknownFactorSet(EsgError):
    """No set has this name and version, or none is valid in the period; the message lists what there is."""


class NoFactor(EsgError):
    """A material has no factor that may be used; the message says what is missing or what must be allowed."""


class NotAvoided(EsgError):
    """Baseline and treatment do not make an avoided emission; the message says why."""


class NotRestatable(EsgError):
    """The earlier report is no report, or one of another period or scope; the message says what differs."""
