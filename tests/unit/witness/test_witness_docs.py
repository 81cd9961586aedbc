"""The tables of the witness's page say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from witness.errors import Outcome
from witness.metrics import WitnessMetrics
from witness.protocol import STATUS
from witness.settings import WitnessSettings

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "witness.md"


def rows(header: str) -> list[list[str]]:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(header + "\n")
    table = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_setting_is_documented_with_its_default() -> None:
    expected = []
    for name, field in WitnessSettings.model_fields.items():
        default = "required" if field.is_required() else str(field.default).replace("None", "none")
        expected.append([f"`TALLY_WITNESS_{name.upper()}`", default, field.description])
    assert rows("| variable | default | what it is |") == expected


def test_every_answer_is_documented_with_its_status() -> None:
    documented = {row[1].strip("`"): int(row[0]) for row in rows("| status | outcome | when |")}
    assert documented == {outcome.value: status for outcome, status in STATUS.items()}
    assert set(STATUS) == set(Outcome)


def test_every_metric_is_documented_with_its_help() -> None:
    documented = {row[0].strip("`"): row[1] for row in rows("| metric | what it is |")}
    families = WitnessMetrics().registry.collect()
    assert documented == {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation
        for family in families
    }
    assert all(re.fullmatch(r"tally_witness_\w+", name) for name in documented)
