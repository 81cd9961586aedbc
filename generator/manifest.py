"""The manifest: what a run emitted, every fault that was played, and what is true.

JSON Lines, one object a line, schema in docs/generator.md: ``header``, ``fault`` ..., ``lot`` ...,
``machine`` ..., ``summary``, and last ``delivery``, the only line that is not a pure function of the spec
(it says what the collector took).  Masses are integer milligrams.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from generator import GENERATOR_VERSION
from generator.errors import SpecError
from generator.spec import FaultKind, FleetSpec

SCHEMA: Final = "tally-manifest/1"


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault: what, where, when, which rows, and what it does to the reported masses.

    ``begin`` and ``end`` are true times (RFC 3339).  ``effect_mg`` is reported minus true mass by material.
    """

    kind: FaultKind
    machine: str
    site: str
    begin: str
    end: str
    rows: list[dict[str, Any]]
    parameters: dict[str, Any]
    effect_mg: dict[str, int]
    key: int = 0
    """Device_seq of the transaction, to order faults of one moment."""

    def to_json(self, number: int) -> dict[str, Any]:
        """The manifest's line."""
        return {
            "record": "fault",
            "id": f"fault-{number:06d}",
            "kind": self.kind.value,
            "machine": self.machine,
            "site": self.site,
            "from": self.begin,
            "to": self.end,
            "parameters": self.parameters,
            "effect_mg": self.effect_mg,
            "rows": self.rows,
        }


@dataclass(slots=True)
class Facts:
    """What a simulation knows at its end; all lists are in an order that depends on the spec alone."""

    faults: list[FaultRecord] = field(default_factory=list)
    lots: list[dict[str, Any]] = field(default_factory=list)
    machines: list[dict[str, Any]] = field(default_factory=list)
    truth_mg: dict[str, int] = field(default_factory=dict)
    reported_mg: dict[str, int] = field(default_factory=dict)
    deposits: int = 0
    unplaced: dict[str, int] = field(default_factory=dict)
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    requests: int = 0
    request_bytes: int = 0
    digest: str = ""

    @property
    def faults_by_kind(self) -> dict[str, int]:
        """How many of each kind, zero included."""
        counts = dict.fromkeys((kind.value for kind in FaultKind), 0)
        for fault in self.faults:
            counts[fault.kind.value] += 1
        return counts

    @property
    def rows_by_stream(self) -> dict[str, int]:
        """Rows emitted per stream."""
        return {stream: sum(of.values()) for stream, of in self.rows.items()}


def lines(spec: FleetSpec, facts: Facts, delivery: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The manifest's objects, in order."""
    yield {
        "record": "header",
        "schema": SCHEMA,
        "generator_version": GENERATOR_VERSION,
        "seed": spec.seed,
        "run": spec.run,
        "spec": spec.to_json(),
    }
    ordered = sorted(
        facts.faults, key=lambda fault: (fault.begin, fault.machine, fault.kind.value, fault.key)
    )
    for number, fault in enumerate(ordered, start=1):
        yield fault.to_json(number)
    for lot in facts.lots:
        yield {"record": "lot", **lot}
    for machine in facts.machines:
        yield {"record": "machine", **machine}
    yield {
        "record": "summary",
        "requests": facts.requests,
        "request_bytes": facts.request_bytes,
        "digest": f"sha256:{facts.digest}",
        "rows": facts.rows,
        "deposits": facts.deposits,
        "truth_mg": facts.truth_mg,
        "reported_mg": facts.reported_mg,
        "faults": facts.faults_by_kind,
        "unplaced": facts.unplaced,
    }
    yield {"record": "delivery", **delivery}


def write(path: Path, spec: FleetSpec, facts: Facts, delivery: Mapping[str, Any]) -> None:
    """Write the manifest atomically: a reader sees the old file or the whole new one.

    A crash before the rename leaves a temporary file beside the target, which the next run overwrites.

    Raises:
        SpecError: the file cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            for line in lines(spec, facts, delivery):
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise SpecError(f"manifest {path}: {error.strerror}; choose a place that can be written") from error


def check_writable(path: Path) -> None:
    """Fail before a long run, not after it.

    Raises:
        SpecError: the manifest could not be written there.
    """
    if path.is_dir():
        raise SpecError(f"manifest {path}: is a directory; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise SpecError(f"manifest {path}: {error.strerror}; choose a place that can be written") from error


def read(path: Path) -> list[dict[str, Any]]:
    """All lines of a manifest.

    Raises:
        SpecError: it cannot be read, or is not a manifest of this schema.
    """
    try:
        content = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise SpecError(f"manifest {path}: {error}") from error
    if not content or content[0].get("schema") != SCHEMA:
        raise SpecError(f"manifest {path}: expected schema {SCHEMA}")
    return content
