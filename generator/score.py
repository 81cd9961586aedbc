"""How good the answers were, against what is true of each deposit.  Safe for threads.

A wrong answer is the model's, not a fault that was played: it is counted here and is no line of the manifest.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generator.errors import SpecError
from generator.questions import Question

Covers = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Model to class to the materials that the class stands for, besides one of its own name."""


class Score:
    """Counts answers, right ones and unsure ones by model and version, and problems by their reason."""

    def __init__(self, answers: Path | None = None) -> None:
        """``answers``: write a JSON line for each answer there.

        Raises:
            SpecError: the file can't be written.
        """
        self._lock = threading.Lock()
        self._answered: Counter[tuple[str, str, str]] = Counter()
        self._right: Counter[tuple[str, str, str]] = Counter()
        self._unsure: Counter[tuple[str, str, str]] = Counter()
        self._confused: Counter[tuple[str, str, str]] = Counter()
        self._problems: Counter[str] = Counter()
        self._sentences: dict[str, str] = {}
        self.asked = 0
        try:
            self._file = None if answers is None else answers.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise SpecError(
                f"answers {answers}: {error.strerror}; choose a place that can be written"
            ) from error

    @property
    def answered(self) -> int:
        """Questions that have an answer."""
        return sum(self._answered.values())

    def answer(self, question: Question, answer: Mapping[str, Any], covers: Covers) -> None:
        """Count an answer of the service."""
        model, said = str(answer["model"]), str(answer["prediction"])
        right = question.material in {said, *covers.get(model, {}).get(said, ())}
        key = (model, str(answer["model_version"]), question.input)
        line = {
            "transaction_id": question.transaction_id,
            "machine": question.machine,
            "input": question.input,
            "material": question.material,
            "prediction": said,
            "right": right,
            "confidence": answer["confidence_score"],
            "review": answer["review"],
            "prediction_id": answer["prediction_id"],
            "model": model,
            "model_version": key[1],
        }
        with self._lock:
            self.asked += 1
            self._answered[key] += 1
            self._right[key] += right
            self._unsure[key] += bool(answer["review"])
            if not right:
                self._confused[model, question.material, said] += 1
            if self._file is not None:
                self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def problem(self, reason: str, sentence: str, count: int = 1) -> None:
        """Count questions that have none, with the service's reason."""
        with self._lock:
            self.asked += count
            self._problems[reason] += count
            self._sentences.setdefault(reason, sentence)

    def close(self) -> None:
        """Close the file of answers."""
        if self._file is not None:
            self._file.close()

    def to_json(self) -> dict[str, Any]:
        """For the report and the manifest's last line."""
        with self._lock:
            return {
                "asked": self.asked,
                "answered": self.answered,
                "right": sum(self._right.values()),
                "low_confidence": sum(self._unsure.values()),
                "models": [
                    {
                        "model": model,
                        "version": version,
                        "input": given,
                        "answered": count,
                        "right": self._right[model, version, given],
                        "accuracy": round(self._right[model, version, given] / count, 4),
                        "low_confidence": self._unsure[model, version, given],
                    }
                    for (model, version, given), count in sorted(self._answered.items())
                ],
                "confused": [
                    {"model": model, "material": material, "prediction": said, "count": count}
                    for (model, material, said), count in sorted(
                        self._confused.items(), key=lambda pair: (-pair[1], pair[0])
                    )[:10]
                ],
                "problems": {
                    reason: {"count": count, "message": self._sentences[reason]}
                    for reason, count in sorted(self._problems.items())
                },
            }
