"""Whatever rows a chain holds, forged ones too: what is served was approved, by another than its trainer."""

from __future__ import annotations

from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.governance.lifecycle import advance, new_state
from inference.governance.state import ModelState, Step
from tests.unit.inference.governance_steps import (
    MODEL,
    approved,
    champion,
    digest,
    evaluated,
    fold,
    ready,
    step,
    trained,
)

VERSIONS = st.sampled_from(["v1", "v2", "v3"])
ACTORS = st.sampled_from(["trainer", "approver", "mallory"])
ACTIONS = st.sampled_from(
    [
        *("trained", "evaluated", "approved", "refused", "promoted", "shadowed", "rolled_back", "retired"),
        *("retraining", "crowned"),
    ]
)
JUNK = st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=3), st.lists(st.none(), max_size=1))
FORGED_ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        [
            f"model.{name}"
            for name in ("metrics", "group_metrics", "promotion", "note", "share", "card_digest")
        ]
        + ["model.previous_version", "model.data_digest"]
    ),
    st.one_of(
        JUNK,
        st.dictionaries(st.sampled_from(["accuracy", "ece", "minimum", "group_gap", "x"]), JUNK, max_size=3),
        st.floats(0, 1),
    ),
    max_size=5,
)


@st.composite
def honest(draw: st.DrawFn) -> list[Step]:
    version = draw(VERSIONS)
    whole = [
        *champion(version),
        step("shadowed", version, share=draw(st.sampled_from([0, 0.2, 1]))),
        step("rolled_back", version),
        step("retired", version),
        step("refused", version, "other"),
        evaluated(version, {"accuracy": 0.5}),
        approved(version, draw(ACTORS)),
        trained(version, draw(ACTORS)),
    ]
    many = st.lists(st.sampled_from(whole), min_size=1, max_size=3)
    return draw(st.one_of(st.just(ready(version)), st.just(champion(version)), many))


@st.composite
def forged(draw: st.DrawFn) -> list[Step]:
    version = draw(VERSIONS)
    named = draw(st.sampled_from([digest(version), digest(version), digest("v1"), None, "x"]))
    made = step(draw(ACTIONS), version, draw(ACTORS), digest=named)
    attributes = draw(FORGED_ATTRIBUTES)
    return [Step(**{field: getattr(made, field) for field in Step.__slots__} | {"attributes": attributes})]


SEQUENCES = st.lists(st.one_of(honest(), forged()), max_size=14).map(lambda parts: list(chain(*parts)))


def approved_before(rows: list[Step], version: str) -> bool:
    """By an account of its own, without the fold's state: a fitting approval after the training."""
    trainings = [i for i, row in enumerate(rows) if (row.action, row.version) == ("trained", version)]
    return any(
        row.action == "approved"
        and row.version == version
        and row.digest == digest(version)
        and str(row.attributes.get("model.note") or "").strip()
        and any(rows[t].actor != row.actor and rows[t].digest == digest(version) for t in trainings if t < i)
        for i, row in enumerate(rows)
    )


def served(state: ModelState) -> set[str]:
    names = set() if state.champion is None else {state.champion.version}
    if state.challenger is not None and state.challenger.share > 0:
        names.add(state.challenger.version)
    return names


@given(SEQUENCES)
@settings(max_examples=400, deadline=None)
def test_what_is_served_was_approved_by_another_than_its_trainer(rows: list[Step]) -> None:
    state = fold(rows)
    assert state.seq == len(rows)
    for version in served(state):
        found = state.versions[version]
        assert approved_before(rows, version)
        assert any(approval.actor != found.trainer for approval in found.approvals)
        assert found.digest == digest(version)
        assert found.evaluated_seq is not None
    if state.champion is not None:
        assert state.champion.retired_seq is None
        assert state.champion_version not in state.former
    assert len(set(state.former)) == len(state.former)
    assert all(state.versions[name].promoted_seq is not None for name in state.former)


@given(SEQUENCES)
@settings(max_examples=100, deadline=None)
def test_an_ignored_row_leaves_everything_else_as_it_was(rows: list[Step]) -> None:
    state = fold(rows[:-1])
    after = fold(rows[-1:], start=state)
    if len(after.ignored) > len(state.ignored):
        assert (after.versions, after.champion_version, after.former, after.challenger) == (
            (state.versions, state.champion_version, state.former, state.challenger)
        )


@given(SEQUENCES)
@settings(max_examples=50, deadline=None)
def test_a_chain_read_in_parts_gives_the_state_of_the_whole(rows: list[Step]) -> None:
    middle = len(rows) // 2
    assert fold(rows[middle:], start=fold(rows[:middle])) == fold(rows)
    assert fold([]) == new_state(MODEL)
    assert advance(new_state(MODEL), step("crowned")).champion is None
