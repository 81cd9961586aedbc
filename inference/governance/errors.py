"""What can go wrong with a step in a model's life."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from inference.errors import Conflict
from inference.governance.state import Ignored


class StepRefused(Conflict):
    """The rules do not admit this step now.

    ``reason`` is the name of the rule, ``promotion_refused`` where compliance rules decide; ``details`` has
    the verdict of each of those.
    """

    def __init__(self, ignored: Ignored, *, overtaken: bool = False) -> None:
        """``overtaken``: the step is in the ledger, but somebody else's step came before it."""
        early = "recorded, but without effect, since another step came first: " if overtaken else ""
        reason = "promotion_refused" if ignored.rules else ignored.rule
        super().__init__(f"{ignored.action} of {ignored.version}: {early}{ignored.sentence}", reason=reason)
        self.details: dict[str, Any] = {
            "rule": ignored.rule,
            "rules": [asdict(result) for result in ignored.rules],
        }


class HistoryRewritten(Conflict):
    """The ledger's chain of a model is not the one that was followed before, or does not verify."""

    reason = "history_rewritten"
