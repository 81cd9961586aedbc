"""The tables of the documentation say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from audit.sealing.metrics import SealerMetrics
from audit.sealing.settings import SealerSettings
from collector.event_mapping import EVENTS
from collector.metrics import CollectorMetrics
from collector.settings import CollectorSettings
from inference.metrics import InferenceMetrics
from inference.monitoring.metrics import HealthMetrics
from inference.monitoring.monitor import Monitor
from inference.photos.reasons import REASONS
from inference.serving.desk import Desk
from inference.settings import InferenceSettings
from inference.spec import MEASURED, Spec, read_spec
from outbox.forwarder import Forwarder
from outbox.sender import RawSender
from outbox.spool import Spool

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


def test_every_setting_of_the_inference_service_is_documented_with_its_default() -> None:
    shown = {
        "None": "none",
        "()": "[]",
        "frozenset()": "[]",
        "PydanticUndefined": "one a processor",
    }
    expected = []
    for name, field in InferenceSettings.model_fields.items():
        default = "required" if field.is_required() else str(field.default)
        expected.append([f"`TALLY_INFERENCE_{name.upper()}`", shown.get(default, default), field.description])
    assert cells("docs/operations.md", "| variable of inference | default | what it is |") == expected


def families(registry: CollectorRegistry) -> list[list[str]]:
    """Rows of a table of metrics."""
    return [
        [f"`{family.name}{'_total' * (family.type == 'counter')}`", family.type, family.documentation]
        for family in registry.collect()
    ]


def test_every_metric_of_the_collector_is_documented() -> None:
    documented = cells("docs/operations.md", "| metric | type | what it tells |")
    assert documented == families(CollectorMetrics().registry)


def test_every_metric_of_the_inference_service_is_documented(tmp_path: Path) -> None:
    metrics = InferenceMetrics(Desk(()))
    spool = Spool(tmp_path / "outbox.sqlite")
    Forwarder(spool, cast("RawSender", None), metrics.registry)
    metrics.registry.register(HealthMetrics(cast("Monitor", SimpleNamespace(latest=()))))
    documented = cells("docs/operations.md", "| metric of inference | type | what it tells |")
    assert documented == families(metrics.registry)
    spool.close()


def test_every_setting_of_the_sealer_is_documented_with_its_default() -> None:
    expected = []
    for name, field in SealerSettings.model_fields.items():
        default = "required" if field.is_required() else str(field.default)
        expected.append(
            [f"`TALLY_SEALER_{name.upper()}`", {"None": "none"}.get(default, default), field.description]
        )
    assert cells("docs/operations.md", "| variable of the sealer | default | what it is |") == expected


def test_every_metric_of_the_sealer_is_documented() -> None:
    documented = cells("docs/operations.md", "| metric of the sealer | type | what it tells |")
    assert documented == families(SealerMetrics().registry)


def test_every_reason_why_a_photo_is_refused_is_documented() -> None:
    documented = cells("docs/models.md", "| reason | what it means |")
    assert documented == [[f"`{reason}`", sentence] for reason, sentence in REASONS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]*)#?[^)]*\)", page.read_text()):
        assert not target or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_specification_of_the_guide_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/models.md").read_text(), re.DOTALL)
    path = tmp_path / "guide.yaml"
    path.write_text(block)
    assert read_spec(path)[0].id == "tool-failure"


def test_the_guide_names_every_field_of_a_specification_and_every_metric() -> None:
    text = (ROOT / "docs/models.md").read_text()
    plain = {
        "id",
        "title",
        "task",
        "intended_use",
        "limits",
        "data",
        "search",
        "candidates",
        "photo",
        "notice",
    }
    missing = [name for name in set(Spec.model_fields) - plain if f"| `{name}`" not in text]
    assert not missing
    assert all(name in text for names in MEASURED.values() for name in names)
