"""Steps of a model's life for tests: those of a good version, and ways to spoil them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from inference.governance.lifecycle import advance, new_state
from inference.governance.state import ModelState, Step

MODEL: Final = "waste"
BEGINNING: Final = datetime(2026, 3, 1, tzinfo=UTC)


def digest(version: str) -> str:
    """Any digest, another for each version."""
    return version.encode().hex().rjust(64, "0")


def trained_attributes() -> dict[str, Any]:
    """Of a version that fulfils its thresholds."""
    return {
        "model.metrics": {"accuracy": 0.95, "ece": 0.02},
        "model.group_metrics": {"day": {"accuracy": 0.96}, "night": {"accuracy": 0.93}},
        "model.data_digest": digest("data"),
        "model.spec_digest": digest("spec"),
        "model.card_digest": digest("card"),
        "model.artefact_digest": digest("artefact"),
        "model.promotion": {
            "minimum": {"accuracy": 0.92},
            "maximum": {"ece": 0.05},
            "group_metric": "accuracy",
            "group_gap": 0.05,
        },
        "model.task": "classification",
        "model.title": "Waste",
    }


def step(action: str, version: str = "v1", actor: str = "operator", /, **attributes: Any) -> Step:
    """A step with the right digest; ``digest=`` gives another; other names are ``model.`` attributes."""
    given = {f"model.{name}": value for name, value in attributes.items() if name != "digest"}
    return Step(
        0, BEGINNING, BEGINNING, action, version, actor, attributes.get("digest", digest(version)), given, b""
    )


def trained(version: str = "v1", actor: str = "trainer", /, **attributes: Any) -> Step:
    """``trained`` with all that a good version has; attributes override, None takes one away."""
    all_attributes = trained_attributes() | {f"model.{name}": value for name, value in attributes.items()}
    given = {name: value for name, value in all_attributes.items() if value is not None}
    return replace(step("trained", version, actor), attributes=given)


def evaluated(version: str = "v1", /, metrics: Mapping[str, float] | None = None) -> Step:
    """``evaluated``, with the metrics of a good version or others."""
    good = trained_attributes()
    given = {
        "model.metrics": good["model.metrics"] if metrics is None else metrics,
        "model.group_metrics": good["model.group_metrics"],
    }
    return replace(step("evaluated", version, "trainer"), attributes=given)


def approved(version: str = "v1", actor: str = "approver") -> Step:
    """``approved`` with a note."""
    return step("approved", version, actor, note="seen its confusion matrix")


def ready(version: str = "v1") -> list[Step]:
    """Everything before the promotion of a good version."""
    return [trained(version), evaluated(version), approved(version)]


def champion(version: str = "v1") -> list[Step]:
    """A good version's life up to its promotion."""
    return [*ready(version), step("promoted", version)]


def fold(*steps: Step | Iterable[Step], start: ModelState | None = None) -> ModelState:
    """The state after these steps, numbered as rows of one chain."""
    state = start or new_state(MODEL)
    for each in steps:
        for one in [each] if isinstance(each, Step) else each:
            moment = BEGINNING + timedelta(minutes=state.seq)
            state = advance(state, replace(one, seq=state.seq + 1, event_time=moment, received_at=moment))
    return state


def broken_rules(state: ModelState) -> list[str]:
    """The rules that the ignored rows broke, in their order."""
    return [ignored.rule for ignored in state.ignored]
