"""What is asked of a prediction service: for each deposit a photo, or what the machine's sensors say of it.

A question is a pure function of the spec and the photos' names; what is true of the deposit goes along for
the score and is never sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from generator.clock import rfc3339
from generator.events import Deposit
from generator.fleet import Machine
from generator.materials import MATERIAL_IDS
from generator.photos import PhotoFolder
from generator.randomness import Purpose, generator

Input = Literal["photo", "readings"]
_DG_PER_G: Final = 10


@dataclass(frozen=True, slots=True)
class Question:
    """One item of ``/predict/batch``.  ``asked_ns`` is the true time of asking; ``material`` is the truth."""

    asked_ns: int
    device_seq: int
    material: str
    input: Input
    item: dict[str, Any]

    @property
    def transaction_id(self) -> str:
        """The deposit that it is about."""
        return str(self.item["transaction_id"])

    @property
    def machine(self) -> str:
        """Whose deposit it is."""
        return str(self.item["sensor_id"])


@dataclass(frozen=True, slots=True)
class Questioner:
    """Puts the questions of a run.  With photos every second pair of machines has a camera, else none has."""

    seed: int
    photos: PhotoFolder | None = None

    def has_camera(self, machine: Machine) -> bool:
        """In pairs, because the protocols alternate: both kinds of machines use both."""
        return self.photos is not None and (machine.number - 1) // 2 % 2 == 0

    def question(self, machine: Machine, deposit: Deposit, asked_ns: int) -> Question:
        """The question about a deposit, with the time that the machine's clock claims for it."""
        rng = generator(self.seed, machine.number, Purpose.QUESTIONS, deposit.device_seq)
        material = MATERIAL_IDS[deposit.material]
        item: dict[str, Any] = {
            "sensor_id": machine.id,
            "transaction_id": deposit.transaction_id,
            "site_id": machine.site.id,
            "observed_at": rfc3339(deposit.predicted_ns),
        }
        given: Input = "readings"
        if self.photos is not None and self.has_camera(machine):
            given = "photo"
            item["image_url"] = self.photos.choose(deposit.material, float(rng.random()))
        else:
            # Needs pandas, which takes its time to load: only runs that ask wait for it.
            from generator.readings import readings  # noqa: PLC0415

            item["readings"] = readings(material, deposit.mass_dg / _DG_PER_G, rng)
        return Question(asked_ns, deposit.device_seq, material, given, item)


def body(questions: Sequence[Question]) -> bytes:
    """The request that asks them all."""
    return json.dumps({"items": [question.item for question in questions]}, separators=(",", ":")).encode()
