"""A step before it is sent: as the row that it would be, and why it is not sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from inference.governance.errors import StepRefused
from inference.governance.state import Action, Ignored, ModelState, Step
from inference.otlp import Plain


def version_to_act_on(state: ModelState, action: Action) -> str:
    """The version of a step that names none: of ``rolled_back``, the former champion that it goes to.

    Raises:
        StepRefused: there is none.
    """
    back = state.back_to()
    if action != "rolled_back" or back is None:
        sentence = "there is no former champion fit to serve"
        raise StepRefused(state.model_id, Ignored(state.seq + 1, action, "", "", "former_champion", sentence))
    return back


def step_to_be(
    state: ModelState,
    action: Action,
    version: str,
    actor: str,
    *,
    digest: str,
    attributes: Mapping[str, Plain],
    now: int,
) -> Step:
    """The row as it would come next, to ask the law before it is sent; ``now`` is nanoseconds since 1970."""
    moment = datetime.fromtimestamp(now / 1e9, UTC)
    return Step(state.seq + 1, moment, moment, action, version, actor, digest, attributes, b"")


def ignored_as(step: Step, rule: str, sentence: str) -> Ignored:
    """The step as one that breaks a rule."""
    return Ignored(step.seq, step.action, step.version, step.actor, rule, sentence)
