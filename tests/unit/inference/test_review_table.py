"""What ``tally reviews next`` shows of an item."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tally.cli import main
from tally.service_client import ServiceClient

ITEM: Final[dict[str, Any]] = {
    "prediction_id": "pred-0b0f8e0e-6a54-4b0e-9a55-0d6d6f2f2a53",
    "machine_id": "a-machine-with-quite-a-long-name-0001",
    "transaction_id": "a-machine-with-quite-a-long-name-0001-000000042",
    "predicted": "plastic",
    "confidence": 0.5,
    "reason": "audit_sample",
    "lease_token": "7e0f6a52-4f4e-4f8e-9f6e-0a5f1f0c2f11",
    "leased_until": "2026-03-01T17:42:10.123456Z",
}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """Prints an item as the service might lend it."""

    def show(**changes: object) -> list[str]:
        def post(_self: ServiceClient, _path: str, _body: object) -> dict[str, Any]:
            return {"items": [ITEM | changes]}

        monkeypatch.setenv("TALLY_VAR_DIR", str(tmp_path))
        monkeypatch.setenv("TALLY_TOKEN", "mine")
        monkeypatch.setattr(ServiceClient, "post", post)
        assert main(("reviews", "next")) == 0
        return capsys.readouterr().out.splitlines()

    return show


@pytest.mark.parametrize(
    ("confidence", "text"),
    [(0.29, "0.29"), (0.57, "0.57"), (0.999, "0.99"), (0.99999999999, "0.99"), (1.0, "1.00"), (1e-9, "0.00")],
)
def test_confidence_is_not_rounded_up(shown: Any, confidence: float, text: str) -> None:
    assert shown(confidence=confidence)[1].split()[4] == text


def test_long_names_are_neither_cut_nor_broken(shown: Any) -> None:
    _, row, _, line = shown()
    assert row.split()[:3] == [ITEM["prediction_id"], ITEM["machine_id"], ITEM["transaction_id"]]
    assert row.split()[6:] == [ITEM["lease_token"], "2026-03-01T17:42:10"]
    assert line == f"tally reviews decide {ITEM['prediction_id']} confirmed --token {ITEM['lease_token']}"


def test_a_name_with_spaces_is_quoted_for_the_shell(shown: Any) -> None:
    assert " decide 'a [b] c' confirmed " in shown(prediction_id="a [b] c")[-1]
