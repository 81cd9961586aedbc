"""What each step in a model's life does, and what a row that breaks a rule does: nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.governance.lifecycle import objection
from inference.governance.state import Assignment, Step
from tests.unit.inference.governance_steps import (
    approved,
    broken_rules,
    champion,
    digest,
    evaluated,
    fold,
    ready,
    step,
    trained,
)


def serving(*steps: object) -> str | None:
    return fold(*steps).champion_version  # type: ignore[arg-type]


def test_a_version_that_was_trained_evaluated_approved_and_promoted_is_served() -> None:
    state = fold(champion())
    assert state.champion is not None
    assert (state.champion.version, state.champion.digest) == ("v1", digest("v1"))
    assert state.champion.trainer == "trainer"
    assert not state.ignored


@pytest.mark.parametrize(
    ("before", "rule"),
    [
        ([trained(), evaluated()], "approval_present"),
        ([trained(), approved()], "evaluated"),
        ([trained(), approved(), evaluated()], "approval_present"),
        ([*ready(), step("refused", "v1", "other")], "approval_present"),
        ([*ready(), step("retired")], "not_retired"),
        ([trained(), evaluated(metrics={"accuracy": 0.91, "ece": 0.02}), approved()], "minimum_metrics"),
        ([trained(), evaluated(metrics={"ece": 0.02}), approved()], "minimum_metrics"),
        ([trained(), evaluated(metrics={"accuracy": 0.95, "ece": 0.06}), approved()], "maximum_metrics"),
        ([trained(promotion={}), evaluated(), approved()], "minimum_metrics"),
        ([trained(card_digest=None), evaluated(), approved()], "card_complete"),
        ([trained(data_digest="soon"), evaluated(), approved()], "data_digest_present"),
        (
            [trained(promotion={"minimum": {"accuracy": 0.9}, "group_metric": "accuracy", "group_gap": 0.01}),
             evaluated(), approved()],
            "group_gap",
        ),
        (
            [trained(promotion={"minimum": {"accuracy": 0.9}, "group_metric": "recall", "group_gap": 0.5}),
             evaluated(), approved()],
            "group_gap",
        ),
    ],
)  # fmt: skip
def test_a_promotion_that_breaks_a_compliance_rule_changes_nothing_and_names_it(
    before: list[Step], rule: str
) -> None:
    state = fold(before, step("promoted"))
    assert state.champion is None
    refused = state.ignored[-1]
    assert refused.rule == rule
    assert [result.rule for result in refused.rules if not result.passed] == [rule]
    assert len(refused.rules) == 9
    assert all(result.sentence.endswith(".") for result in refused.rules)


@pytest.mark.parametrize(
    ("forged", "rule"),
    [
        (step("promoted", "v1", digest=digest("v2")), "digest_agrees"),
        (step("promoted", "v1", digest=None), "digest_agrees"),
        (step("promoted", "v9"), "version_trained"),
        (step("promoted", "v1", previous_version="v0"), "champion_unchanged"),
        (step("rolled_back", "v1"), "former_champion"),
        (step("crowned", "v1"), "action_known"),
    ],
)
def test_a_forged_row_changes_nothing(forged: Step, rule: str) -> None:
    state = fold(ready(), forged)
    assert state.champion is None
    assert broken_rules(state) == [rule]


def test_the_trainer_can_not_approve() -> None:
    state = fold(trained(), evaluated(), approved(actor="trainer"), step("promoted"))
    assert state.champion is None
    assert broken_rules(state) == ["approver_is_not_trainer", "approval_present"]


def test_a_version_can_not_be_trained_again_by_somebody_else_to_be_approved_by_its_trainer() -> None:
    state = fold(trained(), evaluated(), trained("v1", "other"), approved(actor="trainer"), step("promoted"))
    assert state.champion is None
    assert broken_rules(state) == ["version_new", "approver_is_not_trainer", "approval_present"]


def test_an_approval_needs_a_note_and_the_digest_that_was_trained() -> None:
    state = fold(trained(), evaluated(), step("approved", "v1", "approver", note="  "))
    assert broken_rules(state) == ["note_present"]
    state = fold(trained(), evaluated(), step("approved", "v1", "approver", note="ok", digest=digest("x")))
    assert broken_rules(state) == ["digest_agrees"]


def test_a_refusal_is_lifted_by_a_later_approval() -> None:
    refused = [*ready(), step("refused", "v1", "other", note="too many cans")]
    assert serving(refused, step("promoted")) is None
    assert serving(refused, approved(), step("promoted")) == "v1"


def test_a_refusal_counts_whatever_digest_it_names() -> None:
    assert serving(ready(), step("refused", "v1", "other", digest=None), step("promoted")) is None


@pytest.mark.parametrize("metrics", [{}, {"accuracy": "high"}, {"accuracy": True}, ["accuracy"]])
def test_an_evaluation_without_numbers_changes_nothing(metrics: object) -> None:
    state = fold(trained(), step("evaluated", "v1", metrics=metrics))
    assert state.versions["v1"].evaluated_seq is None
    assert broken_rules(state)[0] in {"metrics_present", "metrics_readable"}


def test_thresholds_that_can_not_be_read_make_no_version() -> None:
    assert broken_rules(fold(trained(promotion={"minimum": 3}))) == ["thresholds_readable"]


def test_a_rollback_goes_back_along_the_former_champions() -> None:
    state = fold(champion("v1"), champion("v2"), champion("v3"))
    assert (state.champion_version, state.former, state.back_to()) == ("v3", ("v1", "v2"), "v2")
    state = fold(step("rolled_back", "v2"), start=state)
    assert (state.champion_version, state.former, state.back_to()) == ("v2", ("v1",), "v1")
    state = fold(step("rolled_back", "v1"), start=state)
    assert (state.champion_version, state.former, state.back_to()) == ("v1", (), None)


def test_a_rollback_may_name_a_former_champion_further_back() -> None:
    state = fold(champion("v1"), champion("v2"), champion("v3"), step("rolled_back", "v1"))
    assert (state.champion_version, state.former) == ("v1", ())


@pytest.mark.parametrize("spoiled", [step("retired", "v1"), step("refused", "v1", "other")])
def test_no_rollback_to_a_version_that_was_retired_or_refused_since(spoiled: Step) -> None:
    state = fold(champion("v1"), champion("v2"), spoiled)
    assert state.back_to() is None
    state = fold(step("rolled_back", "v1"), start=state)
    assert state.champion_version == "v2"
    assert broken_rules(state) == ["fit_to_serve_again"]


def test_a_rollback_passes_over_what_is_no_longer_fit() -> None:
    state = fold(champion("v1"), champion("v2"), champion("v3"), step("retired", "v2"))
    assert state.back_to() == "v1"


def test_what_was_rolled_back_from_serves_again_only_by_a_promotion() -> None:
    state = fold(champion("v1"), champion("v2"), step("rolled_back", "v1"))
    assert broken_rules(fold(step("rolled_back", "v2"), start=state)) == ["former_champion"]
    assert serving(champion("v1"), champion("v2"), step("rolled_back", "v1"), step("promoted", "v2")) == "v2"


def test_of_two_promotions_decided_at_once_the_first_counts() -> None:
    at_once = [step("promoted", name, previous_version="v1") for name in ("v2", "v3")]
    state = fold(champion("v1"), ready("v2"), ready("v3"), at_once)
    assert state.champion_version == "v2"
    assert broken_rules(state) == ["champion_unchanged"]


def test_a_champion_is_neither_promoted_again_nor_retired() -> None:
    state = fold(champion(), step("promoted"), step("retired"))
    assert state.champion_version == "v1"
    assert broken_rules(state) == ["not_champion_yet", "not_champion"]


def test_a_later_evaluation_or_refusal_does_not_take_the_champion_away() -> None:
    """Only a rollback or another promotion changes what is served."""
    worse = evaluated(metrics={"accuracy": 0.1})
    assert serving(champion(), worse, step("refused", "v1", "other", note="it drifts")) == "v1"


def test_a_pure_shadow_needs_no_approval_and_a_share_does() -> None:
    state = fold(champion("v1"), trained("v2"), evaluated("v2"), step("shadowed", "v2", share=0))
    assert state.challenger == Assignment("v2", digest("v2"), 0.0)
    state = fold(step("shadowed", "v2", share=0.1), start=state)
    assert state.challenger == Assignment("v2", digest("v2"), 0.0)
    assert broken_rules(state) == ["approval_present"]
    state = fold(approved("v2"), step("shadowed", "v2", share=0.1), start=state)
    assert state.challenger == Assignment("v2", digest("v2"), 0.1)


@pytest.mark.parametrize("share", [-0.1, 1.1, "half", True])
def test_a_share_is_between_0_and_1(share: object) -> None:
    state = fold(champion("v1"), ready("v2"), step("shadowed", "v2", share=share))
    assert state.challenger is None
    assert broken_rules(state) == ["share_between_0_and_1"]


@pytest.mark.parametrize(
    "end", [step("retired", "v2"), step("refused", "v2", "other"), step("promoted", "v2")]
)
def test_a_challenger_ends_when_it_is_retired_refused_or_promoted(end: Step) -> None:
    state = fold(champion("v1"), ready("v2"), step("shadowed", "v2", share=0.5), end)
    assert state.challenger is None
    assert not state.ignored


def test_the_champion_can_not_challenge_itself() -> None:
    assert broken_rules(fold(champion(), step("shadowed", "v1", share=0.5))) == ["not_champion"]


def test_an_objection_is_what_the_fold_would_say() -> None:
    state = fold(ready())
    assert objection(state, step("promoted")) is None
    found = objection(state, step("promoted", digest=None))
    assert found is not None
    assert found.rule == "digest_agrees"
    assert state.champion is None


def test_a_digest_is_of_one_version() -> None:
    twin = replace(trained("v2"), digest=digest("v1"))
    state = fold(champion("v1"), twin)
    assert broken_rules(state) == ["digest_new"]
    assert list(state.versions) == ["v1"]
    assert not broken_rules(fold(champion("v1"), trained("v2")))
