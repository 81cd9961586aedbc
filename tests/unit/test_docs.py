"""The tables of the documentation say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collector.event_mapping import EVENTS
from collector.metrics import CollectorMetrics
from collector.settings import CollectorSettings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def cells(page: str, header: str) -> list[list[str]]:
    """The rows of the table with that header line."""
    lines = (ROOT / page).read_text().split(header + "\n", 1)[1].splitlines()[1:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_every_mapped_attribute_is_documented() -> None:
    documented = cells("docs/otlp.md", "| event | attribute | column |")
    assert documented == [
        [
            f"`{name}`",
            f"`{field.attribute}`{' (required)' if field.required else ''}",
            f"`{mapping.stream}.{field.column}`",
        ]
        for name, mapping in EVENTS.items()
        for field in mapping.fields
    ]


def test_every_reason_for_refusal_is_documented() -> None:
    documented = {
        reason
        for row in cells("docs/otlp.md", "| reason | the record |")
        for reason in re.findall(r"`(\w+)`", row[0])
    }
    raised = {
        reason
        for path in (ROOT / "collector").glob("*.py")
        for reason in re.findall(r'Refused\(\s*"(\w+)"', path.read_text())
    } | {"nul_character", "not_finite"}
    assert documented == raised


def test_every_setting_of_the_collector_is_documented_with_its_default() -> None:
    documented = cells("docs/operations.md", "| variable | default | what it is |")
    expected = []
    for name, field in CollectorSettings.model_fields.items():
        default = "required" if field.is_required() else str(field.default)
        shown = {"None": "none", "1 day, 0:00:00": "24:00:00"}.get(default, default)
        expected.append([f"`TALLY_COLLECTOR_{name.upper()}`", shown, field.description])
    assert documented == expected


def test_every_metric_of_the_collector_is_documented() -> None:
    metrics = CollectorMetrics()
    documented = cells("docs/operations.md", "| metric | type | what it tells |")
    expected = [
        [f"`{family.name}{'_total' * (family.type == 'counter')}`", family.type, family.documentation]
        for family in metrics.registry.collect()
    ]
    assert documented == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]*)#?[^)]*\)", page.read_text()):
        assert not target or (page.parent / target).exists(), f"{page.name} links to {target}"
