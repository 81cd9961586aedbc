"""Asking a prediction service: patient with a busy one, honest about refusals, right about the score."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest

from generator.delivery import Delivery
from generator.errors import DeliveryError, SpecError
from generator.predict import TOKEN, Asker, PredictSpec, read_token
from generator.questions import Question

Answer = tuple[int, dict[str, Any]]
Script = Callable[[list[dict[str, Any]]], Answer]


class Service:
    """A prediction service that does what a script says, call after call; its last step goes on for ever."""

    def __init__(self) -> None:
        self.script: list[Script] = [knows]
        self.asked: list[list[dict[str, Any]]] = []
        self.tokens: set[str | None] = set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                covers = {"metal": ["aluminium_cans", "steel_cans"]}
                seated = [{"model": "waste", "version": "1", "role": "champion", "covers": covers}]
                self.reply(200, {"seated": seated, "problems": {}})

            def do_POST(self) -> None:
                items = json.loads(self.rfile.read(int(self.headers["content-length"])))["items"]
                service.tokens.add(self.headers["authorization"])
                service.asked.append(items)
                does = service.script.pop(0) if len(service.script) > 1 else service.script[0]
                self.reply(*does(items))

            def reply(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"


def answer(prediction: str, confidence: float = 0.9) -> dict[str, Any]:
    return {
        "prediction": prediction,
        "confidence_score": confidence,
        "prediction_id": "pred-1",
        "model": "waste",
        "model_version": "1",
        "review": confidence < 0.75,
    }


def problem(reason: str) -> dict[str, Any]:
    return {"error": {"reason": reason, "message": f"because of {reason}"}}


def knows(items: list[dict[str, Any]]) -> Answer:
    return 200, {"results": [answer("metal") for _ in items]}


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def question(number: int, material: str = "steel_cans") -> Question:
    item = {"sensor_id": "m-1", "transaction_id": f"t-{number}", "image_url": "file:///a.jpg"}
    return Question(0, number, material, "photo", item)


class MakeAsker(Protocol):
    def __call__(self, **options: Any) -> tuple[Asker, Delivery]: ...


@pytest.fixture
def asker(service: Service) -> Iterator[MakeAsker]:
    """Makes askers of the service, and closes them."""
    with ExitStack() as made:

        def make(**options: Any) -> tuple[Asker, Delivery]:
            delivery = Delivery()
            asked = Asker(PredictSpec(service.url, token="secret", **options), delivery)
            made.callback(asked.close)
            asked.check()
            return asked, delivery

        yield make


def test_an_answer_is_right_if_its_class_covers_the_true_material(
    service: Service, asker: MakeAsker, tmp_path: Path
) -> None:
    said = ["metal", "metal", "glass", "paper"]
    service.script = [lambda _: (200, {"results": [answer(word, 0.7) for word in said]})]
    asked, delivery = asker(answers=tmp_path / "answers.jsonl")
    truths = ["steel_cans", "glass", "glass", "mixed_paper"]
    asked.ask([question(number, truth) for number, truth in enumerate(truths)])
    asked.close()
    score = asked.score.to_json()
    assert (score["asked"], score["answered"], score["right"], score["low_confidence"]) == (4, 4, 2, 4)
    assert {"model": "waste", "material": "glass", "prediction": "metal", "count": 1} in score["confused"]
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["right"] for line in lines] == [True, False, True, False]
    assert delivery.clean
    assert delivery.acknowledged["predictions"] == 4
    assert service.tokens == {"Bearer secret"}


def test_a_busy_service_is_asked_again_until_it_answers(service: Service, asker: MakeAsker) -> None:
    busy: Script = lambda _: (503, problem("busy"))  # noqa: E731
    broken: Script = lambda _: (500, {})  # noqa: E731
    service.script = [busy, broken, knows]
    asked, delivery = asker()
    asked.ask([question(1)])
    assert len(service.asked) == 3
    assert asked.score.to_json()["right"] == 1
    assert (delivery.retries, delivery.clean) == (2, True)


def test_only_what_has_no_answer_yet_is_asked_again(service: Service, asker: MakeAsker) -> None:
    service.script = [lambda _: (200, {"results": [answer("metal"), problem("unknown_sensor")]}), knows]
    asked, _ = asker()
    asked.ask([question(1), question(2)])
    asked_for = [[item["transaction_id"] for item in items] for items in service.asked]
    assert asked_for == [["t-1", "t-2"], ["t-2"]]
    assert asked.score.to_json()["answered"] == 2


def test_a_refused_question_is_counted_with_its_reason_and_ends_nothing(
    service: Service, asker: MakeAsker
) -> None:
    service.script = [lambda _: (200, {"results": [problem("photo_not_found"), answer("metal")]}), knows]
    asked, delivery = asker()
    asked.ask([question(1), question(2)])
    asked.ask([question(3)])
    score = asked.score.to_json()
    assert score["problems"] == {"photo_not_found": {"count": 1, "message": "because of photo_not_found"}}
    assert (score["asked"], score["answered"]) == (3, 2)
    assert delivery.to_json()["refused"]["predictions"] == 1
    assert not delivery.clean


def test_a_token_without_the_role_is_a_refusal_of_everything(service: Service, asker: MakeAsker) -> None:
    service.script = [lambda _: (403, problem("not_allowed"))]
    asked, delivery = asker()
    asked.ask([question(1), question(2)])
    assert asked.score.to_json()["problems"]["not_allowed"]["count"] == 2
    assert len(service.asked) == 1
    assert not delivery.clean


def test_a_service_that_stays_away_is_given_up_and_asked_no_more(service: Service, asker: MakeAsker) -> None:
    service.script = [lambda _: (503, problem("busy"))]
    asked, delivery = asker(give_up_after_s=0.1)
    asked.ask([question(1)])
    assert delivery.failed["predictions"] == 1
    with pytest.raises(DeliveryError, match="did not answer"):
        asked.ask([question(2)])


def test_many_questions_go_in_several_requests(service: Service, asker: MakeAsker) -> None:
    asked, delivery = asker()
    asked.ask([question(number) for number in range(230)])
    assert [len(items) for items in service.asked] == [100, 100, 30]
    assert delivery.sent["predictions"] == delivery.acknowledged["predictions"] == 230


def test_nobody_there_is_one_line() -> None:
    nobody = Asker(PredictSpec("http://127.0.0.1:9", token="x"), Delivery())
    with closing(nobody), pytest.raises(DeliveryError, match="no prediction service answers"):
        nobody.check()


def test_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(SpecError, match=TOKEN):
        read_token(None)
    monkeypatch.setenv(TOKEN, " from-environment\n")
    assert read_token(None) == "from-environment"
    (tmp_path / "token").write_text("from-file\n")
    assert read_token(tmp_path / "token") == "from-file"
    with pytest.raises(SpecError, match="No such file"):
        read_token(tmp_path / "none")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match="predict"):
        PredictSpec("127.0.0.1:8080")
