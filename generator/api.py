"""What other programs call: each function runs to its end and returns a report (``good``, ``to_json()``).

    from generator import api
    spec = api.FleetSpec(seed=7, duration_s=3600, at_least=1)
    report = api.backfill(spec, api.Target(grpc_port=4317), Path("manifest.jsonl"), progress=print)

``plan`` sends nothing; ``stream`` goes through the stock SDK exporters in real time or faster; ``backfill``
sends encoded requests at full speed; ``replay`` sends a CSV column; ``load`` measures.
"""

from __future__ import annotations

from generator.errors import DeliveryError, GeneratorError, SpecError
from generator.fleet_run import backfill, plan, stream
from generator.load import LoadReport, LoadSpec, load
from generator.manifest import read as read_manifest
from generator.predict import PredictSpec
from generator.progress import Progress, ProgressCallback, on_terminal
from generator.replay import ReplayReport, ReplaySpec, replay
from generator.report import RunReport
from generator.settings import Target, target_from_environment
from generator.simulate import Batch, Simulation
from generator.spec import FaultKind, FaultRates, FleetSpec, PlannedFault, plan_from_json, spec_from_json

__all__ = [
    "Batch",
    "DeliveryError",
    "FaultKind",
    "FaultRates",
    "FleetSpec",
    "GeneratorError",
    "LoadReport",
    "LoadSpec",
    "PlannedFault",
    "PredictSpec",
    "Progress",
    "ProgressCallback",
    "ReplayReport",
    "ReplaySpec",
    "RunReport",
    "Simulation",
    "SpecError",
    "Target",
    "backfill",
    "load",
    "on_terminal",
    "plan",
    "plan_from_json",
    "read_manifest",
    "replay",
    "spec_from_json",
    "stream",
    "target_from_environment",
]
