"""What a run tells its caller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.clock import rfc3339
from generator.delivery import Delivery
from generator.manifest import Facts
from generator.spec import FleetSpec


@dataclass(frozen=True, slots=True)
class RunReport:
    """The end of a fleet's run: what was emitted, what was taken, and where the manifest is."""

    mode: str
    spec: FleetSpec
    facts: Facts
    delivery: Delivery | None
    elapsed_s: float
    manifest: Path | None
    problem: str = ""
    lag_s: float = 0.0
    predictions: dict[str, Any] | None = None
    """What a prediction service answered, and how well; None where predictions are made up."""

    @property
    def good(self) -> bool:
        """Everything was emitted, and everything was taken."""
        return not self.problem and (self.delivery is None or self.delivery.clean)

    def to_json(self) -> dict[str, Any]:
        """The summary that ``--json`` prints."""
        facts = self.facts
        rows = sum(facts.rows_by_stream.values())
        return {
            "mode": self.mode,
            "good": self.good,
            "problem": self.problem,
            "seed": self.spec.seed,
            "run": self.spec.run,
            "from": rfc3339(self.spec.start_ns),
            "to": rfc3339(self.spec.end_ns),
            "machines": self.spec.machines,
            "rows": rows,
            "rows_by_stream": facts.rows_by_stream,
            "requests": facts.requests,
            "request_bytes": facts.request_bytes,
            "digest": f"sha256:{facts.digest}",
            "deposits": facts.deposits,
            "faults": facts.faults_by_kind,
            "unplaced": facts.unplaced,
            "truth_mg": facts.truth_mg,
            "reported_mg": facts.reported_mg,
            "delivery": None if self.delivery is None else self.delivery.to_json(),
            "retries": 0 if self.delivery is None else self.delivery.retries,
            "lag_s": round(self.lag_s, 3),
            "elapsed_s": round(self.elapsed_s, 3),
            "rows_per_s": round(rows / self.elapsed_s) if self.elapsed_s else None,
            "manifest": None if self.manifest is None else str(self.manifest),
            **({} if self.predictions is None else {"predictions": self.predictions}),
        }
