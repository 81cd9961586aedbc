"""What can go wrong with a step in a model's life."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from inference.errors import Conflict
from inference.governance.state import Ignored


class StepRefused(Conflict):
    """The rules do not admit this step now.

    ``reason`` is the name of the rule, ``promotion_refused`` where compliance rules decide; ``details`` has
    the verdict of each of those.
    """

    def __init__(self, model_id: str, ignored: Ignored, *, overtaken: bool = False) -> None:
        """``overtaken``: the step is in the ledger, but somebody else's step came before it."""
        early = "recorded, but without effect, since another step came first: " if overtaken else ""
        reason = "promotion_refused" if ignored.rules else ignored.rule
        super().__init__(f"can't {_what(model_id, ignored)}: {early}{ignored.sentence}", reason=reason)
        self.details: dict[str, Any] = {
            "rule": ignored.rule,
            "rules": [asdict(result) for result in ignored.rules],
        }


class HistoryRewritten(Conflict):
    """The ledger's chain of a model is not the one that was followed before, or does not verify."""

    reason = "history_rewritten"


_VERBS: Final = {
    "trained": "register",
    "evaluated": "evaluate",
    "approved": "approve",
    "refused": "refuse",
    "promoted": "promote",
    "shadowed": "shadow",
    "retired": "retire",
    "retraining": "retrain",
}


def _what(model_id: str, ignored: Ignored) -> str:
    """The step in words."""
    if ignored.action == "rolled_back":
        return f"roll back {model_id}" + (f" to {ignored.version}" if ignored.version else "")
    return f"{_VERBS.get(ignored.action, ignored.action)} {ignored.version}"
