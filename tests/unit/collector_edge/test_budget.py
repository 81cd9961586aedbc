from __future__ import annotations

import pytest

from collector.budget import Budget
from collector.errors import TryLater


def test_what_does_not_fit_is_refused_with_a_delay_and_holds_nothing() -> None:
    budget = Budget(100, retry_after_s=2.5)
    with budget.hold() as first, budget.hold() as second:
        first.grow(60)
        with pytest.raises(TryLater, match="60 of 100 bytes") as refused:
            second.grow(41)
        assert refused.value.retry_after_s == 2.5
        assert budget.held_bytes == 60
        second.grow(40)
        assert budget.held_bytes == 100
    assert budget.held_bytes == 0


def test_everything_is_given_back_however_it_ends() -> None:
    budget = Budget(100)

    def fail() -> None:
        with budget.hold() as holding:
            holding.grow(30)
            holding.shrink(10)
            assert budget.held_bytes == 20
            raise TryLater("elsewhere", 1.0)

    with pytest.raises(TryLater, match="elsewhere"):
        fail()
    assert budget.held_bytes == 0
