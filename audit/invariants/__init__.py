"""The rules, a small module each with its SQL beside it.  Adding one is adding such a pair."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from audit.invariants.rule import Rule


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, in the order of the report."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        rule = getattr(importlib.import_module(f"{__name__}.{module.name}"), "RULE", None)
        if rule is not None:
            found.append(rule)
    return tuple(sorted(found, key=lambda rule: (rule.order, rule.name)))
