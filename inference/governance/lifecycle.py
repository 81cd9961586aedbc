"""The law of a model's life: the rows of its chain, folded in their order, say what is served.

    trained      a version comes to be, once: its digest, trainer, thresholds and first figures
    evaluated    figures are replaced; an approval given before no longer counts
    approved     by somebody other than the trainer, with a note
    refused      takes back every approval before it, and ends a challenger's part
    promoted     champion, if every compliance rule passes; the champion before is remembered
    shadowed     challenger: with a share of the answers only if it could be promoted too
    rolled_back  an earlier champion serves again, unless retired or refused since
    retired      for good; not while it is champion
    retraining   noted

A row that breaks a rule, however it came into the ledger, changes nothing but the list of those ignored.
Pure: no clock, no database, no order but that of the chain.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from pydantic import ValidationError

from inference.governance.rules import compliance
from inference.governance.state import (
    STREAM,
    Assignment,
    Ignored,
    Judgement,
    ModelState,
    RuleResult,
    Step,
    Version,
)
from inference.manifest import Promotion
from ledger.chain import genesis

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class _Ineffective(Exception):
    """The row changes nothing."""

    def __init__(self, rule: str, sentence: str, rules: tuple[RuleResult, ...] = ()) -> None:
        super().__init__(sentence)
        self.rule = rule
        self.rules = rules


def new_state(model_id: str) -> ModelState:
    """A model without any row."""
    return ModelState(model_id, 0, genesis(STREAM, model_id))


def advance(state: ModelState, step: Step) -> ModelState:
    """The state after one more row."""
    try:
        after = _EFFECTS.get(step.action, _unknown)(state, step)
    except _Ineffective as why:
        ignored = Ignored(step.seq, step.action, step.version, step.actor, why.rule, str(why), why.rules)
        after = replace(state, ignored=(*state.ignored, ignored))
    return replace(after, seq=step.seq, row_hash=step.row_hash)


def objection(state: ModelState, step: Step) -> Ignored | None:
    """Why a row would change nothing if it came next; None: it would take effect."""
    after = advance(state, step)
    return after.ignored[-1] if len(after.ignored) > len(state.ignored) else None


def _trained(state: ModelState, step: Step) -> ModelState:
    if step.version in state.versions:
        raise _Ineffective(
            "version_new", f"{step.version} has been trained before; a version is never replaced"
        )
    if step.digest is None or _DIGEST.fullmatch(step.digest) is None:
        raise _Ineffective("digest_present", "a trained version must name the digest of its manifest")
    if (
        twin := next((v.version for v in state.versions.values() if v.digest == step.digest), None)
    ) is not None:
        raise _Ineffective("digest_new", f"{twin} has that digest; a manifest is of one version")
    given = step.attributes
    try:
        promotion = Promotion.model_validate(given.get("model.promotion") or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _Ineffective("thresholds_readable", f"model.promotion: {place}: {first['msg']}") from error
    version = Version(
        version=step.version,
        digest=step.digest,
        trainer=step.actor,
        trained_seq=step.seq,
        trained_at=step.event_time,
        title=_text(given, "model.title") or "",
        task=_text(given, "model.task") or "",
        artefact_digest=_text(given, "model.artefact_digest"),
        card_digest=_text(given, "model.card_digest"),
        data_digest=_text(given, "model.data_digest"),
        spec_digest=_text(given, "model.spec_digest"),
        promotion=promotion,
        metrics=_numbers(given.get("model.metrics") or {}, "model.metrics"),
        group_metrics=_groups(given),
    )
    return _with(state, version)


def _evaluated(state: ModelState, step: Step) -> ModelState:
    version = _same_digest(state, step)
    metrics = _numbers(step.attributes.get("model.metrics"), "model.metrics")
    if not metrics:
        raise _Ineffective("metrics_present", "an evaluation must have metrics")
    groups = _groups(step.attributes)
    return _with(state, replace(version, metrics=metrics, group_metrics=groups, evaluated_seq=step.seq))


def _approved(state: ModelState, step: Step) -> ModelState:
    version = _not_retired(_same_digest(state, step))
    if step.actor == version.trainer:
        raise _Ineffective(
            "approver_is_not_trainer", f"{step.actor} trained {step.version}: another must approve"
        )
    if not (note := _note(step)):
        raise _Ineffective("note_present", "an approval needs a note")
    judgement = Judgement(step.seq, step.actor, note, step.event_time)
    return _with(state, replace(version, approvals=(*version.approvals, judgement)))


def _refused(state: ModelState, step: Step) -> ModelState:
    """The cautious side: a refusal counts without a note and whatever digest it names."""
    version = _known(state, step)
    judgement = Judgement(step.seq, step.actor, _note(step), step.event_time)
    return _end_challenge(
        _with(state, replace(version, refusals=(*version.refusals, judgement))), step.version
    )


def _promoted(state: ModelState, step: Step) -> ModelState:
    version = _known(state, step)
    _after_the_champion_it_saw(state, step)
    if state.champion_version == step.version:
        raise _Ineffective("not_champion_yet", f"{step.version} is champion already")
    _comply(version, step)
    return _crown(state, step, replace(version, promoted_seq=step.seq), _pushed(state, step.version))


def _shadowed(state: ModelState, step: Step) -> ModelState:
    version = _not_retired(_same_digest(state, step))
    share = step.attributes.get("model.share", 0)
    if not _is_number(share) or not 0 <= share <= 1:
        raise _Ineffective("share_between_0_and_1", f"model.share must be between 0 and 1, not {share!r:.40}")
    if state.champion_version == step.version:
        raise _Ineffective("not_champion", f"{step.version} is champion; it can't challenge itself")
    if version.refusal is not None:
        raise _Ineffective("not_refused", f"{step.version} was refused by {version.refusal.actor}")
    if share > 0:
        _comply(version, step)
    return replace(state, challenger=Assignment(version.version, version.digest, float(share)))


def _rolled_back(state: ModelState, step: Step) -> ModelState:
    version = _same_digest(state, step)
    _after_the_champion_it_saw(state, step)
    if step.version not in state.former:
        raise _Ineffective("former_champion", f"{step.version} is no former champion to go back to")
    if not state.fit_again(step.version):
        raise _Ineffective("fit_to_serve_again", f"{step.version} was retired or refused after its promotion")
    former = state.former[: state.former.index(step.version)]
    return _crown(state, step, version, former)


def _retired(state: ModelState, step: Step) -> ModelState:
    version = _not_retired(_known(state, step))
    if state.champion_version == step.version:
        raise _Ineffective("not_champion", f"{step.version} is champion; promote another or roll back first")
    return _end_challenge(_with(state, replace(version, retired_seq=step.seq)), step.version)


def _retraining(state: ModelState, step: Step) -> ModelState:
    return replace(state, retraining_at=step.event_time)


def _unknown(_state: ModelState, step: Step) -> ModelState:
    raise _Ineffective("action_known", f"no action is called {step.action[:40]!r}")


_EFFECTS: Final[Mapping[str, Callable[[ModelState, Step], ModelState]]] = {
    "trained": _trained,
    "evaluated": _evaluated,
    "approved": _approved,
    "refused": _refused,
    "promoted": _promoted,
    "shadowed": _shadowed,
    "rolled_back": _rolled_back,
    "retired": _retired,
    "retraining": _retraining,
}


def _known(state: ModelState, step: Step) -> Version:
    try:
        return state.versions[step.version]
    except KeyError:
        raise _Ineffective("version_trained", f"no version {step.version[:64]!r} has been trained") from None


def _same_digest(state: ModelState, step: Step) -> Version:
    version = _known(state, step)
    if version.digest != step.digest:
        raise _Ineffective(
            "digest_agrees",
            f"{step.version} has digest {version.digest}, the step names {step.digest or 'none'}",
        )
    return version


def _not_retired(version: Version) -> Version:
    if version.retired_seq is not None:
        raise _Ineffective("not_retired", f"{version.version} was retired in row {version.retired_seq}")
    return version


def _comply(version: Version, step: Step) -> None:
    rules = compliance(version, step.digest)
    failed = [result.rule for result in rules if not result.passed]
    if failed:
        raise _Ineffective(failed[0], f"it does not pass {', '.join(failed)}", rules)


def _after_the_champion_it_saw(state: ModelState, step: Step) -> None:
    """Of two promotions decided at the same time, the second was decided on a champion that is gone."""
    seen = _text(step.attributes, "model.previous_version")
    if seen is not None and seen != (state.champion_version or ""):
        raise _Ineffective(
            "champion_unchanged",
            f"it was to follow {seen or 'no champion'}, but {state.champion_version} serves now",
        )


def _crown(state: ModelState, step: Step, version: Version, former: tuple[str, ...]) -> ModelState:
    after = replace(_with(state, version), champion_version=step.version, former=former)
    return _end_challenge(after, step.version)


def _pushed(state: ModelState, version: str) -> tuple[str, ...]:
    """Former champions once ``version`` serves: each once, the latest last."""
    gone = state.champion_version
    kept = tuple(name for name in state.former if name not in {version, gone})
    return kept if gone is None else (*kept, gone)


def _end_challenge(state: ModelState, version: str) -> ModelState:
    ends = state.challenger is not None and state.challenger.version == version
    return replace(state, challenger=None) if ends else state


def _with(state: ModelState, version: Version) -> ModelState:
    return replace(state, versions={**state.versions, version.version: version})


def _text(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    return value if isinstance(value, str) else None


def _note(step: Step) -> str:
    return (_text(step.attributes, "model.note") or "").strip()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(value: object, name: str) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(_is_number(number) for number in value.values()):
        raise _Ineffective("metrics_readable", f"{name} must be a map of numbers")
    return {str(key): float(cast("float", number)) for key, number in value.items()}


def _groups(attributes: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    groups = attributes.get("model.group_metrics") or {}
    if not isinstance(groups, Mapping):
        raise _Ineffective("metrics_readable", "model.group_metrics must be a map of maps")
    return {
        str(group): _numbers(numbers, f"model.group_metrics.{group}") for group, numbers in groups.items()
    }
