"""``tally keys``, as typed: keys appear closed to others, and statements about them go on record."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ledger.keys import check_revocation, check_rotation
from ledger.notes import COSIGNATURE, ED25519, SigningKey, VerifierKey
from ledger.policies import Policy
from service.keys.sources import load_signing_key
from tally import audit_events
from tally.cli import main
from tally.errors import TallyError

ORIGIN = "plant.example/tally"
LOG = str(SigningKey(ORIGIN, ED25519, bytes(32)).verifier)
NORTH, SOUTH = (
    str(SigningKey(f"{name}.example/witness", COSIGNATURE, bytes([number]) * 32).verifier)
    for number, name in enumerate(("north", "south"), 1)
)


class Keys:
    """``keys(...)`` gives exit code, standard output and standard error; ``events`` what went on record."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self.events: list[tuple[str, dict[str, str | int]]] = []
        self.down = False
        monkeypatch.setattr(audit_events, "record", self._record)

    def __call__(self, *words: object) -> tuple[int, str, str]:
        self._capsys.readouterr()
        status = main(["keys", *map(str, words)])
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def good(self, *words: object) -> str:
        """What it prints; it must have done its work."""
        status, out, err = self(*words)
        assert status == 0, err
        return out

    def refused(self, *words: object, saying: str) -> None:
        """Exit code 2 and one line."""
        status, out, err = self(*words)
        assert (status, out) == (2, "")
        assert len(err.strip().splitlines()) == 1
        assert saying in err

    def _record(self, _settings: object, event_name: str, attributes: Mapping[str, str | int]) -> None:
        if self.down:
            raise TallyError("the collector does not answer")
        self.events.append((event_name, dict(attributes)))


@pytest.fixture
def keys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Keys:
    return Keys(capsys, monkeypatch)


@pytest.fixture
def log(keys: Keys, tmp_path: Path) -> Path:
    """A log's key."""
    keys.good("generate", "--name", ORIGIN, "-o", tmp_path / "log.key")
    return tmp_path / "log.key"


@pytest.mark.parametrize(("option", "kind"), [((), ED25519), (("--witness",), COSIGNATURE)])
def test_a_key_is_made_in_a_file_of_its_own_and_its_public_half_printed(
    keys: Keys, tmp_path: Path, option: tuple[str, ...], kind: int
) -> None:
    path = tmp_path / "new.key"
    printed = VerifierKey.parse(keys.good("generate", "--name", ORIGIN, *option, "-o", path).strip())
    assert (printed.name, printed.kind) == (ORIGIN, kind)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signing_key(str(path)).verifier == printed
    content = path.read_bytes()
    keys.refused("generate", "--name", ORIGIN, "-o", path, saying="never written over")
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\nb"])
def test_a_name_that_no_key_can_have_makes_no_file(keys: Keys, tmp_path: Path, name: str) -> None:
    keys.refused("generate", "--name", name, "-o", tmp_path / "new.key", saying="a key's name")
    assert not list(tmp_path.iterdir())


def test_what_is_shown_of_a_key_is_never_its_private_half(keys: Keys, log: Path) -> None:
    key = load_signing_key(str(log))
    told = json.loads(keys.good("show", log, "--json"))
    assert told == {
        "key": str(key.verifier),
        "name": ORIGIN,
        "id": key.verifier.key_id.hex(),
        "kind": "log (Ed25519)",
    }
    text = keys.good("show", log)
    assert str(key.verifier) in text
    for said in (text, json.dumps(told)):
        assert key.to_text().rpartition("+")[2] not in said
    keys.refused("show", key.to_text(), saying="a key itself")
    log.chmod(0o644)
    keys.refused("show", log, saying="chmod 600")


def test_a_policy_is_printed_that_can_be_read(keys: Keys) -> None:
    text = keys.good(
        *("policy", "--log", LOG, "--witness", f"north={NORTH}=https://north.example/?a=b"),
        *("--witness", f"south={SOUTH}", "--quorum", 2),
    )
    assert text.splitlines() == [
        f"log {LOG}",
        f"witness north {NORTH} https://north.example/?a=b",
        f"witness south {SOUTH}",
        "group witnesses 2 north south",
        "quorum witnesses",
    ]
    policy = Policy.parse(text.encode())
    north, south = VerifierKey.parse(NORTH), VerifierKey.parse(SOUTH)
    assert policy.quorum_met([north, south])
    assert not policy.quorum_met([north])
    assert keys.good("policy", "--log", LOG, "--quorum", 0).splitlines() == [f"log {LOG}", "quorum none"]


@pytest.mark.parametrize(
    ("words", "saying"),
    [
        (("--log", LOG, "--quorum", "1"), "at most 0"),
        (("--log", LOG, "--witness", f"a={NORTH}", "--quorum", "2"), "at most 1"),
        (("--log", LOG, "--witness", NORTH, "--quorum", "1"), "expected NAME=VKEY"),
        (("--log", LOG, "--witness", f"a={NORTH}=ftp://x", "--quorum", "1"), "expected NAME=VKEY"),
        (("--log", LOG, "--witness", f"a={NORTH}\nb", "--quorum", "1"), "expected NAME=VKEY"),
        (("--log", LOG, "--witness", f"witnesses={NORTH}", "--quorum", "1"), "choose another"),
        (("--log", LOG, "--witness", f"a={LOG}", "--quorum", "1"), ""),
        (("--log", NORTH, "--quorum", "0"), ""),
        (("--log", f"{LOG}\nquorum none", "--quorum", "0"), ""),
        (("--log", "x", "--quorum", "0"), ""),
        (("--log", LOG, "--witness", f"a={NORTH}", "--witness", f"a={SOUTH}", "--quorum", "1"), ""),
    ],
)
def test_no_policy_is_printed_that_nobody_could_use(keys: Keys, words: tuple[str, ...], saying: str) -> None:
    keys.refused("policy", *words, saying=saying)


def test_a_rotation_is_stated_by_both_keys_and_on_record(keys: Keys, log: Path, tmp_path: Path) -> None:
    new = tmp_path / "log-2.key"
    keys.good("rotate", log, "-o", new, "--reason", "yearly", "--actor", "anna")
    old_key, new_key = load_signing_key(str(log)), load_signing_key(str(new))
    assert (new_key.name, new_key.kind) == (old_key.name, old_key.kind)
    statement = (tmp_path / "log-2.key.rotation").read_bytes()
    found = check_rotation(statement, old_key.verifier)
    assert (found.new, found.reason) == (new_key.verifier, "yearly")
    ((name, attributes),) = keys.events
    assert name == "audit.key_rotation"
    assert attributes["key.statement"] == statement.decode()
    assert (attributes["key.name"], attributes["key.actor"]) == (ORIGIN, "anna")
    assert (attributes["key.old"], attributes["key.new"]) == (str(old_key.verifier), str(new_key.verifier))
    assert new_key.to_text().rpartition("+")[2] not in str(keys.events)


def test_a_rotation_is_checked_against_the_key_that_was_trusted(
    keys: Keys, log: Path, tmp_path: Path
) -> None:
    trusted = str(load_signing_key(str(log)).verifier)
    keys.good("rotate", log, "-o", tmp_path / "two")
    statement = tmp_path / "two.rotation"
    told: dict[str, Any] = json.loads(keys.good("check-rotation", statement, "--from", trusted, "--json"))
    assert told["good"]
    assert told["key.new"] == str(load_signing_key(str(tmp_path / "two")).verifier)
    status, _, err = keys("check-rotation", statement, "--from", LOG)
    assert (status, "another key" in err) == (1, True)
    statement.write_bytes(statement.read_bytes().replace(b"scheduled", b"Scheduled"))
    status, out, err = keys("check-rotation", statement, "--from", trusted)
    assert (status, out, "is wrong" in err) == (1, "", True)
    statement.write_bytes(b"\xff" * 200_000)
    assert keys("check-rotation", statement, "--from", trusted)[0] == 1
    keys.refused("check-rotation", statement, "--from", "x", saying="33 bytes")
    keys.refused("check-rotation", tmp_path / "none", "--from", trusted, saying="can't be read")


def test_a_rotation_writes_over_nothing_and_is_never_backdated(keys: Keys, log: Path, tmp_path: Path) -> None:
    keys.refused("rotate", log, "-o", log, saying="never written over")
    (tmp_path / "two.rotation").write_text("another")
    keys.refused("rotate", log, "-o", tmp_path / "two", saying="never written over")
    past = ("--effective", "2020-01-01T00:00:00Z")
    keys.refused("rotate", log, "-o", tmp_path / "three", *past, saying="is past")
    keys.refused("rotate", log, "-o", tmp_path / "three", "--effective", "soon", saying="expected a time")
    keys.refused("rotate", log, "-o", tmp_path / "three", "--reason", "", saying="a reason")
    assert {path.name for path in tmp_path.iterdir()} == {"log.key", "two.rotation"}
    assert not keys.events
    keys.good("rotate", log, "-o", tmp_path / "three", "--effective", "2999-01-01T00:00:00Z")
    assert keys.events[0][1]["key.effective"] == "2999-01-01T00:00:00Z"


def test_a_rotation_that_could_not_be_recorded_is_recorded_later(
    keys: Keys, log: Path, tmp_path: Path
) -> None:
    keys.down = True
    statement = tmp_path / "two.rotation"
    keys.refused("rotate", log, "-o", tmp_path / "two", saying=f"tally keys record {statement}")
    keys.down = False
    keys.good("record", statement)
    ((name, attributes),) = keys.events
    assert (name, attributes["key.statement"]) == ("audit.key_rotation", statement.read_text())
    statement.write_bytes(statement.read_bytes().replace(b"scheduled", b"Scheduled"))
    keys.refused("record", statement, saying="is wrong")
    assert len(keys.events) == 1


def test_a_revocation_is_signed_by_the_key_if_it_is_there(keys: Keys, log: Path) -> None:
    key = load_signing_key(str(log)).verifier
    since = ("--since", "2026-11-20T00:00:00Z")
    keys.good("revoke", log, "--reason", "copied", *since)
    keys.good("revoke", str(key), "--reason", "lost", "--actor", "anna")
    (name, signed), (_, unsigned) = keys.events
    assert name == "audit.key_revocation"
    found = check_revocation(str(signed["key.statement"]).encode())
    assert (found.key, found.reason, signed["key.since"]) == (key, "copied", "2026-11-20T00:00:00Z")
    assert "key.statement" not in unsigned
    assert (unsigned["key.revoked"], unsigned["key.actor"]) == (str(key), "anna")
    keys.refused("revoke", str(key)[:-4], "--reason", "lost", saying="33 bytes")
    keys.refused("revoke", log, "--reason", " ", saying="a reason")
    assert len(keys.events) == 2
