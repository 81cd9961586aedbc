"""The witness as a process on a socket: its answers on the wire, its death, and two of them on one state."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ledger.notes import parse_note
from ledger.policies import Policy, check_note
from tally.errors import ServiceFailed
from tally.ports import free_port
from tally.testing import ServiceProcess
from tests.logs import LOG, ORIGIN, WITNESSES, MemoryLog, policy_text
from tests.witnesses import WITNESS, body, cosigned, growth
from witness.app import MOST_BODY_BYTES

LOG_OF_FORTY = MemoryLog.of(40)
FORKED = MemoryLog.of(40, b"forked")


class WitnessProcess(ServiceProcess):
    """``python -m witness``."""

    _READY = "/health"

    def add(self, content: bytes) -> httpx.Response:
        return httpx.post(f"{self.http_url}/add-checkpoint", content=content)


Start = Callable[..., WitnessProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts witnesses that share one state."""
    key_file = tmp_path / "witness.key"
    key_file.write_text(WITNESS.to_text())
    key_file.chmod(0o600)
    policy = tmp_path / "policy"
    policy.write_bytes(policy_text())
    started: list[WitnessProcess] = []

    def start_one(**environment: str) -> WitnessProcess:
        port = free_port()
        settings = {
            "KEY": str(key_file),
            "POLICY": str(policy),
            "STATE_DIR": str(tmp_path / "state"),
            "PORT": str(port),
        } | environment
        witness = WitnessProcess(
            "witness",
            port,
            tmp_path / f"witness-{len(started)}.log",
            {f"TALLY_WITNESS_{name}": value for name, value in settings.items() if value},
        )
        started.append(witness)
        return witness.start()

    yield start_one
    for witness in started:
        witness.stop()


def test_a_witness_on_the_wire_answers_as_the_protocol_says(start: Start) -> None:
    witness = start()
    answer = witness.add(growth(LOG_OF_FORTY, 0, 7))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert len(cosigned(LOG_OF_FORTY.note(7), answer.text)) == 1

    conflict = witness.add(growth(LOG_OF_FORTY, 0, 20))
    assert (conflict.status_code, conflict.text) == (409, "7\n")
    assert conflict.headers["content-type"] == "text/x.tlog.size"

    assert witness.add(growth(MemoryLog([b"x"], WITNESSES[1]), 0, 0)).status_code == 404
    assert witness.add(growth(FORKED, 7, 7)).status_code == 422
    assert witness.add(growth(FORKED, 7, 20)).status_code == 422
    assert witness.add(body(8, (), LOG_OF_FORTY.note(7))).status_code == 400
    assert witness.add(b"\0\xff").status_code == 400
    note = LOG_OF_FORTY.note(20)
    thousand = f"{note.text}\n{str(note.signatures[0]) * 1000}"
    answer = witness.add(body(7, LOG_OF_FORTY.consistency(7, 20), thousand))
    assert (answer.status_code, answer.text) == (400, "a note with 1000 signatures: expected at most 100\n")

    latest = httpx.get(f"{witness.http_url}/latest", params={"origin": ORIGIN})
    assert latest.status_code == 200
    assert latest.headers["content-type"] == "text/plain; charset=utf-8"
    seen = check_note(parse_note(latest.content), Policy.parse(policy_text("quorum a\n")))
    assert (seen.checkpoint, seen.quorum) == (LOG_OF_FORTY.checkpoint(7), True)
    assert httpx.get(f"{witness.http_url}/latest", params={"origin": "other"}).status_code == 404
    assert httpx.get(f"{witness.http_url}/latest").status_code == 400

    for method in ("GET", "PUT", "DELETE", "HEAD", "PATCH"):
        assert httpx.request(method, f"{witness.http_url}/add-checkpoint").status_code == 405
    assert httpx.post(f"{witness.http_url}/elsewhere").status_code == 404
    metrics = httpx.get(f"{witness.http_url}/metrics").text
    assert 'tally_witness_requests_total{outcome="cosigned"} 1.0' in metrics
    assert f'tally_witness_forks_total{{origin="{ORIGIN}"}} 1.0' in metrics
    assert '"event": "fork"' in witness.log
    assert "Traceback" not in witness.log
    assert WITNESS.to_text()[-40:] not in witness.log


def test_a_body_that_is_too_long_is_refused_with_an_answer(start: Start) -> None:
    witness = start()
    for length in (MOST_BODY_BYTES + 1, 2_000_000):
        assert witness.add(b"x" * length).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000

    unannounced = httpx.post(f"{witness.http_url}/add-checkpoint", content=pieces())
    assert unannounced.status_code == 413
    assert witness.add(b"x" * MOST_BODY_BYTES).status_code == 400
    # Far more than it takes in: it may close the connection, and lives on.
    with socket.create_connection(("127.0.0.1", witness.http_port)) as client:
        client.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold")
    assert witness.add(growth(LOG_OF_FORTY, 0, 7)).status_code == 200
    assert "Traceback" not in witness.log


def test_a_killed_witness_goes_on_from_what_it_cosigned(start: Start) -> None:
    witness = start()
    old = 0
    for size in (8, 21):
        assert witness.add(growth(LOG_OF_FORTY, old, size)).status_code == 200
        witness.kill9()
        witness.start()
        assert witness.add(growth(FORKED, old, 22)).text == f"{size}\n"
        assert witness.add(growth(FORKED, size, 22)).status_code == 422
        old = size
    assert witness.stop() == 0


def test_two_witnesses_on_one_state_never_cosign_two_histories(start: Start) -> None:
    witnesses = [start(), start()]
    answers: dict[int, set[bytes]] = {}

    def grow(number: int) -> None:
        """Push a history through one of the two, fast, going on from what one is told."""
        log, url = (LOG_OF_FORTY, FORKED)[number % 2], witnesses[number // 2].http_url
        old = 0
        with httpx.Client() as client:
            for size in range(1, 41):
                answer = client.post(f"{url}/add-checkpoint", content=growth(log, min(old, size), size))
                if answer.status_code == 409:
                    old = int(answer.text)
                    if old <= size:
                        answer = client.post(f"{url}/add-checkpoint", content=growth(log, old, size))
                if answer.status_code == 200:
                    assert len(cosigned(log.note(size), answer.text)) == 1
                    answers.setdefault(size, set()).add(log.checkpoint(size).root)
                    old = size

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(grow, range(4)))
    assert answers
    assert all(len(roots) == 1 for roots in answers.values())
    roots = [{log.checkpoint(size).root for size in answers} for log in (LOG_OF_FORTY, FORKED)]
    assert set.union(*answers.values()) in roots
    assert "Traceback" not in witnesses[0].log + witnesses[1].log


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"KEY": WITNESS.to_text()}, "a key itself was given as its source"),
        ({"KEY": "/nowhere/witness.key"}, "can't be read"),
        ({"KEY": ""}, "TALLY_WITNESS_KEY: "),
        ({"LOGS": str(LOG.verifier)}, "TALLY_WITNESS_LOGS: must be a JSON list"),
        ({"HOST": "192.0.2.1"}, "can't listen on"),
    ],
)
def test_a_witness_that_cannot_start_says_why_in_one_line(
    start: Start, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ServiceFailed, match="exit status 2") as failed:
        start(**environment)
    assert message in str(failed.value)
    assert "Traceback" not in str(failed.value)
    assert WITNESS.to_text()[-40:] not in str(failed.value)
