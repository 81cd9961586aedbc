"""The sealing loop never ends unseen: what fails is counted, said once, shown, and tried again."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import cast

import pytest

from audit.errors import LogDamaged
from audit.sealing.log_files import LogFiles
from audit.sealing.metrics import SealerMetrics
from audit.sealing.rounds import Done, Rounds
from audit.sealing.sealer import Round
from audit.sealing.service import _rounds
from audit.sealing.witnesses import Answer
from ledger.policies import Policy
from service.readiness import Readiness
from tests.sealing import WITNESSES, policy_text

WITNESS = Policy.parse(policy_text(WITNESSES[0], quorum=1).encode()).witnesses[0]
NOTHING = Round(None, None, 0, (), more=False)


class Script:
    """Rounds that go as told, one after the other; the last one tells the loop to stop."""

    def __init__(self, *outcomes: Done | Exception) -> None:
        self.outcomes = list(outcomes)
        self.stop = threading.Event()
        self.shown: list[str | None] = []
        self.readiness = Readiness()
        self.metrics = SealerMetrics()

    def run(self, _stop: object) -> Done:
        self.shown.append(self.readiness.reason)
        outcome = self.outcomes.pop(0)
        if not self.outcomes:
            self.stop.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def play(self) -> list[str | None]:
        """What readiness showed before each round, and after the last."""
        asyncio.run(_rounds(cast("Rounds", self), 0.001, self.readiness, self.metrics, self.stop))
        return [*self.shown, self.readiness.reason]


def answered(reason: str | None) -> Done:
    answer = Answer(WITNESS, reason=reason, trouble=f"w1 is {reason}")
    return Done(NOTHING, None, quorum=False, answers=(answer,))


def test_an_error_that_nobody_foresaw_is_shown_counted_said_once_and_tried_again(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(*[AssertionError("a surprise")] * 3, answered(None), LogDamaged("x"), answered(None))
    unforeseen = "not foreseen: AssertionError: a surprise"
    assert script.play() == ["starting", *[unforeseen] * 3, None, "x", None]
    count = script.metrics.registry.get_sample_value
    assert count("tally_sealer_failures_total", {"reason": "AssertionError"}) == 3
    captured = capsys.readouterr()
    said = captured.out + captured.err + caplog.text
    assert said.count("round_failed") == 2, "the surprise, and the damage"
    assert "Traceback" in said, "what nobody foresaw is told with its place"


def test_a_witness_that_knows_another_history_makes_the_sealer_unready_and_one_that_is_away_does_not() -> (
    None
):
    script = Script(*map(answered, ("unreachable", "contradicted", "ahead", "invalid")))
    assert script.play() == ["starting", None, "w1 is contradicted", "w1 is ahead", None]


def test_a_folder_that_may_not_be_looked_into_is_a_damaged_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(LogDamaged, match="Permission denied"):
        LogFiles(tmp_path).note()
