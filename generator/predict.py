"""Asks a prediction service, as the machines of a fleet would: a few deposits at a time, until it answers.

A service that is not there, is busy, or does not know the machine yet is asked again with a pause; asking
again is harmless, because it knows a repeated transaction.  What it refuses for good is counted with its
reason.  A function here may be called from any thread.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests

from generator.delivery import Delivery
from generator.errors import DeliveryError, SpecError
from generator.photos import AS_FILE, photo_folder
from generator.questions import Question, Questioner, body
from generator.score import Score

TOKEN: Final = "TALLY_TOKEN"  # noqa: S105 - the name of a variable
STREAM: Final = "predictions"
MOST_AT_ONCE: Final = 100
"""Items of a request: a good part of what the service lets be under way."""
_TIMEOUT_S: Final = 60.0
_PAUSE_S: Final = (0.25, 4.0)
_AGAIN: Final = frozenset(
    {"busy", "outbox", "no_champion", "sensors_unavailable", "unavailable", "unknown_sensor"}
)
"""Reasons that may be gone in a moment; a machine is known as soon as its first row is stored."""


@dataclass(frozen=True, slots=True)
class PredictSpec:
    """Who is asked, and with what.

    ``url`` is the service's address; without ``token`` it is read from ``token_file`` or the environment.
    ``photos`` is a folder of photos by class (see ``generator.photos``); ``answers`` is where a line for each
    answer goes.  ``in_flight`` bounds the requests under way.
    """

    url: str
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    photos: Path | None = None
    photos_as: str = AS_FILE
    answers: Path | None = None
    in_flight: int = 4
    give_up_after_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise SpecError(f"predict: expected an address like http://127.0.0.1:8080, got {self.url!r}")
        if not 1 <= self.in_flight <= 64:
            raise SpecError(f"predict: expected 1 to 64 requests in flight, got {self.in_flight}")

    def questioner(self, seed: int) -> Questioner:
        """What puts the questions of a run with that seed.

        Raises:
            SpecError: the folder of photos is not what it must be.
        """
        photos = None if self.photos is None else photo_folder(self.photos, self.photos_as)
        return Questioner(seed, photos)


def read_token(file: Path | None) -> str:
    """The token from a file, or from the environment.

    Raises:
        SpecError: there is none.
    """
    try:
        found = os.environ.get(TOKEN, "") if file is None else file.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"predict-token-file {file}: {error.strerror}") from error
    if not found.strip():
        raise SpecError(f"predict: the service wants a token: give --predict-token-file or set {TOKEN}")
    return found.strip()


class Asker:
    """Asks, scores the answers and keeps account of them as of rows: an answer is a row on its way."""

    def __init__(self, spec: PredictSpec, delivery: Delivery) -> None:
        """Reads the token.

        Raises:
            SpecError: there is none, or the file of answers can't be written.
        """
        self._token = spec.token or read_token(spec.token_file)
        self.score = Score(spec.answers)
        self._spec = spec
        self._delivery = delivery
        self._room = threading.BoundedSemaphore(spec.in_flight)
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._covers: dict[str, dict[str, tuple[str, ...]]] = {}
        self._gave_up = threading.Event()

    def check(self) -> None:
        """Fail early, with one line, if nobody answers; learns what each model's classes stand for.

        Raises:
            DeliveryError: no service answers there.
        """
        try:
            answer = self._session().get(f"{self._spec.url.rstrip('/')}/model/info", timeout=5)
            seated = answer.json()["seated"]
        except (OSError, ValueError, KeyError) as error:
            raise DeliveryError(
                f"no prediction service answers at {self._spec.url}; start one with `tally up`"
            ) from error
        for model in seated:
            if model["role"] == "champion" or model["model"] not in self._covers:
                covers = model.get("covers", {})
                self._covers[model["model"]] = {name: tuple(of) for name, of in covers.items()}

    def ask(self, questions: Sequence[Question]) -> None:
        """Ask them all and count what comes; returns when each has an answer or is given up.

        Raises:
            DeliveryError: the service was given up before; nothing more is asked.
        """
        if self._gave_up.is_set():
            raise DeliveryError("the prediction service did not answer; see the report for what is missing")
        for first in range(0, len(questions), MOST_AT_ONCE):
            with self._room:
                self._ask(questions[first : first + MOST_AT_ONCE])

    def _ask(self, questions: Sequence[Question]) -> None:
        self._delivery.record_sent({STREAM: len(questions)})
        begun, pause_s = time.monotonic(), _PAUSE_S[0]
        total, refused, message = len(questions), 0, ""
        while questions:
            results, message = self._attempt(questions)
            again = []
            for question, result in zip(questions, results, strict=True):
                problem = result.get("error")
                if problem is None:
                    self._count(question, result)
                elif problem["reason"] in _AGAIN:
                    again.append(question)
                    message = problem["message"]
                else:
                    refused += 1
                    self.score.problem(problem["reason"], problem["message"])
            questions = again
            if not questions:
                break
            if time.monotonic() - begun > self._spec.give_up_after_s or self._gave_up.is_set():
                self._gave_up.set()
                self.score.problem("given_up", message, len(questions))
                self._delivery.record_failed({STREAM: len(questions)}, f"predictions: {message}")
                total -= len(questions)
                break
            self._delivery.record_retry()
            self._gave_up.wait(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S[1])
        if total:
            self._delivery.record_acknowledged(STREAM, {STREAM: total}, refused)

    def _attempt(self, questions: Sequence[Question]) -> tuple[list[dict[str, Any]], str]:
        """A result for each question; where the service gives none at all, one that says so for each."""
        url = f"{self._spec.url.rstrip('/')}/predict/batch"
        try:
            answer = self._session().post(url, data=body(questions), timeout=_TIMEOUT_S)
            content = answer.json()
            if answer.status_code == requests.codes.ok:
                return list(content["results"]), ""
            problem = content["error"]
            reason, message = str(problem["reason"]), str(problem["message"])
            if answer.status_code >= 500:
                reason = "unavailable"
        except (OSError, ValueError, KeyError) as error:
            reason, message = "unavailable", f"{url}: {type(error).__name__}"
        return [{"error": {"reason": reason, "message": message}}] * len(questions), message

    def _count(self, question: Question, result: dict[str, Any]) -> None:
        if result["model"] not in self._covers:
            self.check()  # a model that was promoted since
        self.score.answer(question, result, self._covers)

    def _session(self) -> requests.Session:
        """One connection for each thread."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            self._sessions.append(session)
            session.trust_env = False  # a proxy of the environment has no business with a local service
            session.headers["Authorization"] = f"Bearer {self._token}"
            session.headers["Content-Type"] = "application/json"
        return session

    def close(self) -> None:
        """Close the connections and the file of answers."""
        for session in self._sessions:
            session.close()
        self.score.close()
