"""MLflow, where it is installed: each version is a run of an experiment with the model's name.

For people who compare runs; the registry of record is the ledger.  Runs lie in a local folder, no server is
asked.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Final

from inference.training.run import Trained

_PARAMETERS: Final = 100
"""MLflow admits so many with a request."""


def installed() -> bool:
    """Whether MLflow is here."""
    return importlib.util.find_spec("mlflow") is not None


def track(trained: Trained, store: Path) -> str:
    """Log a version's parameters, metrics and files as a run under ``store``; returns the run's id.

    Raises:
        ImportError: MLflow is not installed.
    """
    # Nobody is told of it, and plain files are what we want: both must be said before MLflow is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow  # noqa: PLC0415 - an extra

    store.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(store.resolve().as_uri())
    mlflow.set_experiment(trained.manifest.model_id)
    evaluated, manifest = trained.evaluated, trained.manifest
    with mlflow.start_run(run_name=manifest.version) as run:
        parameters = {"estimator": evaluated.estimator, **evaluated.parameters}
        mlflow.log_params(dict(list(parameters.items())[:_PARAMETERS]))
        mlflow.log_metrics(evaluated.metrics)
        mlflow.log_metrics({f"cross_validated_{name}": value for name, value in evaluated.searched.items()})
        mlflow.set_tags(
            {
                "model.digest": trained.digest,
                "model.version": manifest.version,
                "data.digest": manifest.data_digest,
                "spec.digest": manifest.spec_digest,
                "model.actor": manifest.trained_by,
            }
        )
        mlflow.log_artifacts(str(trained.folder))
        return str(run.info.run_id)
