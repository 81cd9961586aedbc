"""Why a sample could not be planned, drawn or evaluated."""

from __future__ import annotations

from audit.errors import AuditError


class SamplingError(AuditError):
    """Root of this package's errors."""


class BadPlan(SamplingError):
    """Confidence, tolerable and expected do not make a plan; the message says which to change."""


class BadPopulation(SamplingError):
    """The items can't be sampled: none, one of them twice, in the wrong order, or not nameable."""


class SheetError(SamplingError):
    """A sheet can't be written or evaluated."""


class SheetUnreadable(SheetError):
    """It is no sheet of ours, or a spreadsheet program has saved it in a form that we do not read."""


class SheetAltered(SheetError):
    """Its parameters, seed or rows are not those that were drawn."""


class SheetIncomplete(SheetError):
    """An item has no finding yet, or one that contradicts itself; the message names its row."""
