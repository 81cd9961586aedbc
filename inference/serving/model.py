"""A model version that is loaded: its session and how its numbers become an answer."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inference.errors import ModelUnusable
from inference.manifest import ARTEFACT, Manifest, PhotoInput, read_manifest
from inference.readings import ReadingsEncoder

_TINY: Final = 1e-12
_TOP: Final = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one item.

    ``label`` is the class, or a regression's value as text; ``confidence`` the calibrated probability of the
    class, None for a regression; ``top`` the likeliest classes with theirs.
    """

    label: str
    value: float | None
    confidence: float | None
    top: dict[str, float]
    unsure: bool


class LoadedModel:
    """A model version in memory.  Its methods may be called from any thread, several at a time."""

    def __init__(
        self,
        folder: Path,
        digest: str | None = None,
        *,
        model_id: str | None = None,
        version: str | None = None,
    ) -> None:
        """Load the model of ``folder``; ``digest`` is the model digest that the ledger has.

        ``model_id`` and ``version`` are those that the ledger asks for; None: whatever the manifest names.

        Raises:
            ModelUnusable: files are missing or damaged, or are not those that the ledger knows.
        """
        self.folder = folder
        self.manifest, self.digest = read_manifest(folder)
        if digest is not None and digest != self.digest:
            raise ModelUnusable(
                f"{self.name}: the ledger has model digest {digest}, the folder is {self.digest}"
            )
        named = self.manifest.model_id, self.manifest.version
        asked = model_id or named[0], version or named[1]
        if asked != named:
            raise ModelUnusable(
                f"{self.name}: {'/'.join(asked)} is asked for, the manifest is of {'/'.join(named)}"
            )
        try:
            artefact = (folder / ARTEFACT).read_bytes()
        except OSError as error:
            raise ModelUnusable(f"{self.name}: {ARTEFACT} can't be read: {error.strerror}") from error
        if hashlib.sha256(artefact).hexdigest() != self.manifest.artefact_digest:
            raise ModelUnusable(f"{self.name}: {ARTEFACT} is not the artefact that its manifest names")
        self._session = _session(self.name, artefact)
        self._width = len(self.manifest.classes) or 1
        self.encoder = (
            None
            if isinstance(self.manifest.input, PhotoInput)
            else ReadingsEncoder(self.manifest.input.features)
        )
        self._check_shape()

    @property
    def name(self) -> str:
        """Model and version."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def probabilities(self, inputs: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities [n, classes], or values [n, 1], of a batch of inputs.

        Raises:
            ModelUnusable: the artefact does not run, or gives something else.
        """
        feed = "photos" if isinstance(self.manifest.input, PhotoInput) else "readings"
        try:
            raw = np.asarray(self._session.run([self.manifest.output], {feed: inputs})[0], dtype=np.float64)
        except Exception as error:  # onnxruntime's errors have no common root but Exception
            sentence = f"{self.name} does not run: {str(error)[:200]}"
            raise ModelUnusable(sentence, reason="model_failed") from error
        if raw.shape != (len(inputs), self._width):
            raise ModelUnusable(
                f"{self.name}: {len(inputs)} inputs gave numbers of shape {raw.shape}", reason="model_failed"
            )
        if self.manifest.output == "value":
            return raw
        logits = np.log(np.maximum(raw, _TINY)) if self.manifest.output == "probabilities" else raw
        logits = logits / self.manifest.temperature
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
        return result

    def answer(self, inputs: NDArray[np.uint8] | NDArray[np.float32]) -> list[Answer]:
        """An answer for each row of ``inputs``.

        Raises:
            ModelUnusable: the model gave no finite number.
        """
        rows = self.probabilities(inputs)
        if not np.isfinite(rows).all():
            raise ModelUnusable(f"{self.name} gave a number that is not finite", reason="model_failed")
        return [answer_of(self.manifest, row) for row in rows.tolist()]

    def _check_shape(self) -> None:
        """Run it on zeros: what does not fit its manifest fails here, and the first request is no slower."""
        for count in (1, 2):
            self.probabilities(self._zeros(count))

    def _zeros(self, count: int) -> NDArray[np.uint8] | NDArray[np.float32]:
        asked = self.manifest.input
        if isinstance(asked, PhotoInput):
            return np.zeros((count, asked.height, asked.width, 3), np.uint8)
        assert self.encoder is not None
        return np.zeros((count, len(self.encoder.columns)), np.float32)


def answer_of(manifest: Manifest, row: list[float]) -> Answer:
    """The answer behind a row of probabilities, or the value of a regression."""
    if manifest.task == "regression":
        return Answer(f"{row[0]:.6g}", row[0], None, {}, unsure=False)
    order = sorted(range(len(row)), key=lambda index: -row[index])
    chosen = order[0] if manifest.cut is None else int(row[1] >= manifest.cut)
    top = {manifest.classes[index]: round(row[index], 6) for index in order[:_TOP]}
    confidence = min(1.0, max(0.0, row[chosen]))
    return Answer(
        manifest.classes[chosen],
        None,
        confidence,
        top,
        unsure=not math.isfinite(confidence) or confidence < manifest.review_below,
    )


def _session(name: str, artefact: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread a run: several requests at a time use several cores, and none waits for a pool.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common root but Exception
        raise ModelUnusable(f"{name}: {ARTEFACT} can't be loaded: {str(error)[:200]}") from error
