"""A simulated fleet of recycling machines that speaks OTLP, and a manifest of every fault that it plays.

What a fleet emits is a pure function of its :class:`~generator.spec.FleetSpec`: same spec, same bytes.
``generator.api`` is what other programs call; ``python -m generator --help`` is the command line.
"""

from __future__ import annotations

from typing import Final

GENERATOR_VERSION: Final = "1.1.0"
"""Part of every manifest.  Raise it when the bytes that a spec gives change."""
