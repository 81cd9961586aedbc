"""``tally models`` and ``tally reviews`` against the real routes, collector and database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import httpx
import psycopg
import pytest

from inference.access import Principals
from inference.app import create_app
from inference.governance.registry import Registry
from inference.manifest import CARD, MANIFEST, manifest_bytes, sha256_hex
from inference.metrics import InferenceMetrics
from inference.reviews.queue import ReviewQueue
from inference.routes.models import model_routes
from inference.routes.reviews import review_routes
from inference.serving.desk import Desk
from outbox.sender import RawSender
from service.http_server import serving
from store.governance import GovernanceStore
from store.reviews import ReviewStore
from store.sessions import Sessions
from tally.cli import main
from tally.ports import free_port
from tally.principals import ensure_principals, token
from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector
from tests.integration.model_folders import MODEL, make_folder, manifest
from tests.integration.review_rows import Outbox, prediction, write

Tally = Callable[..., Any]
CARD_TEXT: Final = "# Waste on photos\n\nFor deposits.\n"


class Service:
    """The routes of models and reviews, served from a thread."""

    def __init__(self, database: Database, collector: str, directory: Path) -> None:
        self.port = free_port()
        self.outbox = Outbox()
        self.shelf = directory / "models"
        self._principals = Principals.read(ensure_principals(directory / "secrets"))
        self._database, self._collector, self._directory = database, collector, directory
        self._started, self._loop = threading.Event(), asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            sessions = Sessions(self._database.inference_url)
            stack.push_async_callback(sessions.close)
            sender = await stack.enter_async_context(RawSender(self._collector))
            registry = Registry(GovernanceStore(sessions), sender, self._directory / "known.json")
            queue = ReviewQueue(ReviewStore(sessions), self.outbox.put)
            await registry.refresh()
            await queue.project()
            app = create_app(
                (model_routes(registry, [self.shelf]), review_routes(queue)),
                self._principals,
                InferenceMetrics(Desk([self.shelf])),
                "0",
            )
            await stack.enter_async_context(serving(app, "127.0.0.1", self.port, "the test"))
            self._started.set()
            await self._stop.wait()


@pytest.fixture
def service(
    database: Database, collector: StartCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    running = collector(database)
    monkeypatch.setenv("TALLY_VAR_DIR", str(tmp_path))
    monkeypatch.setenv("TALLY_DATABASE_URL", database.admin_url)
    monkeypatch.setenv("TALLY_INFERENCE_DATABASE_URL", database.inference_url)
    monkeypatch.setenv("TALLY_COLLECTOR_GRPC_PORT", str(running.grpc_port))
    monkeypatch.delenv("TALLY_TOKEN", raising=False)
    write(database, "predictions", *(prediction(f"p-{number}", 0.5) for number in range(3)))
    with Service(database, running.grpc_endpoint, tmp_path) as made:
        monkeypatch.setenv("TALLY_INFERENCE_URL", f"http://127.0.0.1:{made.port}")
        yield made


@pytest.fixture
def tally(capsys: pytest.CaptureFixture[str]) -> Tally:
    """Runs a command line: with --json its value, else what it prints."""

    def run(*words: str, code: int = 0) -> Any:
        status = main(words)
        told = capsys.readouterr()
        assert status == code, told.err
        if code == 2:
            assert told.err.count("\n") == 1
            return told.err
        return json.loads(told.out) if "--json" in words else told.out + told.err

    return run


def test_the_commands_take_a_model_through_its_life(
    service: Service, tally: Tally, database: Database
) -> None:
    card = sha256_hex(CARD_TEXT.encode())
    folders = [
        make_folder(service.shelf, version, **({"card_digest": card} if version == "v1" else {}))
        for version in ("v1", "v2")
    ]
    (folders[0] / CARD).write_text(CARD_TEXT)
    for folder in folders:
        assert "is on record\n" in tally("models", "register", str(folder))
    assert tally("models", "register", str(folders[0]), "--json")["position"] is None
    refusal = tally("models", "promote", MODEL, "v1", code=1)
    assert "can't promote v1: it does not pass approval_present" in refusal
    nowhere = tally("models", "rollback", MODEL, code=2)
    assert f"can't roll back {MODEL}: there is no former champion fit to serve" in nowhere
    assert "✗ approval_present: none; expected: an approval by somebody other than trainer" in refusal
    assert "✓ minimum_metrics: accuracy 0.95" in refusal
    for version in ("v1", "v2"):
        tally("models", "approve", MODEL, version, "--note", "figures seen")
        tally("models", "promote", MODEL, version)
    taken = tally("models", "rollback", MODEL, "--note", "too many cans", "--json")
    assert taken["position"]["seq"] == 9
    assert taken["state"]["champion"] == "v1"
    assert "challenger v2 (25%)" in tally("models", "shadow", MODEL, "v2", "--share", "0.25")
    told = tally("models", "history", MODEL)
    assert "note" in told.splitlines()[0]
    assert "shadowed (25 %)" in told
    assert "rolled back to v1" in told
    tally("models", "refuse", MODEL, "v2", "--note", "it drifts")
    tally("models", "retire", MODEL, "v2")
    told = tally("models", "show", MODEL)
    assert "v2  retired" in told
    assert "refused by approver in row 11: it drifts" in told
    assert "v1" in tally("models", "list")
    assert tally("models", "card", MODEL, "v1").startswith(CARD_TEXT)
    history = tally("models", "history", MODEL, "--json")
    assert [step["action"] for step in history["steps"]] == [
        *("trained", "evaluated") * 2,
        *("approved", "promoted") * 2,
        *("rolled_back", "shadowed", "refused", "retired"),
    ]
    assert [step["actor"] for step in history["steps"][4:6]] == ["approver", "operator"]
    assert history["verify"] in tally("models", "history", MODEL)
    words = history["verify"].split()[1:]
    assert tally(*words, "--url", database.audit_url, "--json")["ok"] is True
    assert check_ledger(database.audit_url).ok


def post(service: Service, name: str, path: str, **body: Any) -> tuple[int, Any]:
    """Status and answer; without any body if none is named."""
    secret = token(service.shelf.parent / "secrets", name)
    content = json.dumps(body) if body else None
    headers = {"Authorization": f"Bearer {secret}"} | ({"Content-Type": "application/json"} if body else {})
    url = f"http://127.0.0.1:{service.port}/models/{MODEL}/{path}"
    answer = httpx.post(url, content=content, headers=headers, trust_env=False)
    return answer.status_code, answer.json()


def test_a_promotion_may_say_over_whom_and_needs_no_body(service: Service, tally: Tally) -> None:
    for version in ("v1", "v2"):
        tally("models", "register", str(make_folder(service.shelf, version)))
        for note in ("", "  \n", "a\x00b"):
            for path in ("approve", "refuse"):
                assert post(service, "approver", f"versions/{version}/{path}", note=note)[0] == 422
        assert post(service, "approver", f"versions/{version}/approve")[0] == 422
        assert post(service, "approver", f"versions/{version}/approve", note="seen\nall")[0] == 200
    status, answer = post(service, "operator", "versions/v1/promote", expected_champion="v2")
    assert (status, answer["error"]["reason"]) == (409, "champion_unchanged")
    assert answer["error"]["message"] == "can't promote v1: v2 is expected to serve, but no version does"
    assert post(service, "operator", "versions/v1/promote")[0] == 200
    assert post(service, "operator", "versions/v2/promote", expected_champion="v1")[0] == 200
    status, answer = post(service, "operator", "rollback", expected_champion="v1")
    assert (status, answer["error"]["reason"]) == (409, "champion_unchanged")
    assert (
        answer["error"]["message"] == f"can't roll back {MODEL} to v1: v1 is expected to serve, but v2 does"
    )
    assert post(service, "operator", "rollback", expected_champion="v2")[1]["state"]["champion"] == "v1"
    assert post(service, "operator", "versions/v2/retire")[0] == 200


@pytest.mark.parametrize("damaged", [None, CARD, MANIFEST])
def test_a_card_is_shown_only_if_the_ledger_vouches_for_it(
    service: Service, tally: Tally, damaged: str | None
) -> None:
    folder = make_folder(service.shelf, "v1", card_digest=sha256_hex(CARD_TEXT.encode()))
    (folder / CARD).write_text(CARD_TEXT)
    tally("models", "register", str(folder))
    if damaged is None:
        assert tally("models", "card", MODEL, "v1").startswith(CARD_TEXT)
        return
    (folder / CARD).write_text("# Accuracy 1.0, see nothing here")
    if damaged == MANIFEST:
        forged = manifest("v1", card_digest=sha256_hex((folder / CARD).read_bytes()))
        (folder / MANIFEST).write_bytes(manifest_bytes(forged))
    headers = {"Authorization": f"Bearer {token(service.shelf.parent / 'secrets', 'approver')}"}
    url = f"http://127.0.0.1:{service.port}/models/{MODEL}/versions/v1/card"
    answer = httpx.get(url, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (409, "card_differs")


def test_who_has_not_the_role_is_told_so(service: Service, tally: Tally) -> None:
    make_folder(service.shelf, "v1")
    tally("models", "register", str(service.shelf / MODEL / "v1"))
    refused = tally("models", "approve", MODEL, "v1", "--note", "mine", "--as", "machines", code=2)
    assert "machines has not the role govern" in refused
    assert "no token of mallory: there are approver, machines" in tally(
        "models", "list", "--as", "mallory", code=2
    )
    assert tally("models", "list", "--as", "machines", "--json")["models"][0]["champion"] is None


def test_what_is_not_there_is_one_line(service: Service, tally: Tally) -> None:
    assert "the ledger has no model none" in tally("models", "show", "none", code=2)
    assert "no card of none/v1" in tally("models", "card", "none", "v1", code=2)
    assert "manifest.json can't be read" in tally("models", "register", str(service.shelf), code=2)
    nobody = f"http://127.0.0.1:{free_port()}"
    assert "does not answer" in tally("models", "list", "--url", nobody, code=2)


def test_a_reviewer_takes_and_decides_items(service: Service, tally: Tally) -> None:
    assert "waiting  low_confidence  3" in tally("reviews", "list")
    [item] = tally("reviews", "next", "--json")["items"]
    assert (item["prediction_id"], item["predicted"], item["leased_by"]) == ("p-0", "glass", "reviewer")
    words = ("reviews", "decide", "p-0", "corrected", "--token", item["lease_token"])
    assert "corrected needs the material" in tally(*words, code=2)
    assert "✓ p-0 corrected, metal by reviewer" in tally(*words, "--material", "metal")
    assert "decided: corrected by reviewer" in tally(*words, "--material", "pet", code=2)
    assert len(service.outbox.kept) == 1
    assert "p-1" in tally("reviews", "next", "--count", "9")
    assert tally("reviews", "next") == "nothing waits\n"
    assert "machines has not the role review" in tally("reviews", "list", "--as", "machines", code=2)


def test_the_lines_that_next_prints_can_be_pasted(service: Service, tally: Tally) -> None:
    table, lines = tally("reviews", "next", "--count", "2").strip().split("\n\n")
    heading, first, _ = table.splitlines()
    assert heading.split()[:6] == ["prediction", "machine", "transaction", "predicted", "sure", "reason"]
    assert heading.split()[6:] == ["token", "until"]
    name, machine, deposit, predicted, sure, reason, lease, until = first.split()
    assert (name, machine, deposit, predicted) == ("p-0", "rvm-1", "t-p-0", "glass")
    assert (sure, reason, len(until)) == ("0.50", "low_confidence", 19)
    pasted = [line.split() for line in lines.splitlines()]
    assert pasted[0] == f"tally reviews decide p-0 confirmed --token {lease} --as reviewer".split()
    wrong = str(uuid.uuid4())
    told = tally("reviews", "decide", "p-0", "confirmed", "--token", wrong, code=2)
    assert "that is not the token of its present lease" in told
    assert "present lease" in tally("reviews", "release", "p-0", "--token", wrong, code=2)
    assert "p-0 confirmed, glass by reviewer" in tally(*pasted[0][1:])
    other = pasted[1][pasted[1].index("--token") + 1]
    assert "p-1 waits again" in tally("reviews", "release", "p-1", "--token", other)
    assert tally("reviews", "release", "p-1", code=2).startswith("tally: p-1 is waiting")
    asked_by_url = tally("reviews", "next", "--url", f"http://127.0.0.1:{service.port}", "--as", "operator")
    assert f"--url http://127.0.0.1:{service.port} --as operator\n" in asked_by_url


@pytest.mark.usefixtures("service")
def test_the_list_says_when_nothing_waits_and_parts_its_tables(tally: Tally, database: Database) -> None:
    counts, items = tally("reviews", "list").split("\n\n")
    assert counts.startswith("state")
    assert items.splitlines()[0].split()[-1] == "state"
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE review_queue SET confidence = 0.999")
    assert " 0.99 " in tally("reviews", "list")
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("TRUNCATE review_queue")
    assert tally("reviews", "list") == "nothing waits\n"


BAD: Final[tuple[tuple[str, object, tuple[int, str]], ...]] = (
    ("models/waste-photos/versions/v1/promote", {"note": "a\x00b"}, (422, "invalid_request")),
    ("models/waste-photos/versions/v1/promote", {"remark": ""}, (422, "invalid_request")),
    ("models/Waste%20Photos/versions/v1/promote", {}, (422, "invalid_request")),
    ("models/waste-photos/versions/v1/promote", {}, (404, "no_such_model")),
    ("models/waste-photos/versions/v1/shadow", {"share": 1.5}, (422, "invalid_request")),
    ("models/waste-photos/rollback", {"to": "v 1"}, (422, "invalid_request")),
    ("reviews/lease", {"count": 0}, (422, "invalid_request")),
    ("reviews/p-0/decision", {"lease_token": "x", "decision": "confirmed"}, (422, "invalid_request")),
    ("reviews/p-9/release", {}, (404, "no_such_review")),
    ("reviews/p-0/release", {}, (409, "not_your_lease")),
    ("reviews/a/b%20c/release", {}, (404, "no_such_review")),
)


def test_a_bad_request_has_a_reason(service: Service, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {token(tmp_path / 'secrets', 'operator')}"}
    with httpx.Client(headers=headers, trust_env=False) as client:
        for path, body, expected in BAD:
            answer = client.post(f"http://127.0.0.1:{service.port}/{path}", json=body)
            assert (answer.status_code, answer.json()["error"]["reason"]) == expected, path


def test_without_a_token_nothing_is_told(service: Service) -> None:
    for path in ("models", "models/waste-photos", "models/waste-photos/history", "reviews"):
        answer = httpx.get(f"http://127.0.0.1:{service.port}/{path}", trust_env=False)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (401, "not_authenticated")
