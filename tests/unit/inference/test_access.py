"""Who may ask: the file of principals, and whose a token is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from inference.access import Principals, PrincipalsUnusable


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def listed(name: str = "machines", token: str = "t", roles: tuple[str, ...] = ("predict",)) -> dict[str, Any]:
    return {"name": name, "roles": roles, "token_sha256": sha256(token)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "principals.json"


def test_a_token_is_that_of_its_principal_and_of_nobody_else(path: Path) -> None:
    path.write_text(json.dumps([listed(), listed("ada", "secret", ("review", "govern"))]))
    principals = Principals.read(path)
    ada = principals.holder("secret")
    assert ada is not None
    assert ada.name == "ada"
    assert sorted(ada.roles) == ["govern", "review"]
    for wrong in ("", "Secret", "secret ", sha256("secret"), "s" * 10_000, "\xff"):
        assert principals.holder(wrong) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file"),
        (b"\xff", "the file"),
        (b"{}", "the file"),
        (b"[" * 100_000, "the file"),
        (json.dumps([{**listed(), "roles": ["root"]}]).encode(), "0.roles"),
        (json.dumps([{**listed(), "token": "t"}]).encode(), "0.token"),
        (json.dumps([{**listed(), "token_sha256": "t"}]).encode(), "0.token_sha256"),
        (json.dumps([{**listed(), "token_sha256": sha256("t").upper()}]).encode(), "0.token_sha256"),
        (json.dumps([listed("two words")]).encode(), "0.name"),
        (json.dumps([listed("a\n")]).encode(), "0.name"),
        (json.dumps([listed(), listed(token="other")]).encode(), "a principal twice"),
        (json.dumps([listed(), listed("ada")]).encode(), "the same token"),
    ],
    ids=range(12),
)
def test_a_file_that_is_not_as_it_must_be_is_refused_with_the_place(
    path: Path, content: bytes, said: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(PrincipalsUnusable, match=said) as refused:
        Principals.read(path)
    assert "\n" not in str(refused.value)
    assert sha256("t") not in str(refused.value)


def test_a_file_that_is_not_there_or_is_a_folder_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(PrincipalsUnusable, match="can't be read"):
            Principals.read(path)
