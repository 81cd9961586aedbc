"""What can go wrong in the generator, by what a caller would do about it."""

from __future__ import annotations


class GeneratorError(Exception):
    """Root of the generator's errors; the message is one line for the user."""


class SpecError(GeneratorError):
    """What was asked for is not possible: an argument, a plan file or a CSV file is wrong.  Exit code 2."""


class DeliveryError(GeneratorError):
    """The collector could not be reached or kept refusing: nothing more is sent.  Exit code 2."""
