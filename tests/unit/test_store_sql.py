"""The SQL files of ``store``: each says what it is for, and no value can get into a comment."""

from __future__ import annotations

from pathlib import Path

import pytest

import store.queries

FILES = sorted((Path(store.queries.__file__).parent / "sql").glob("*.sql"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_query_is_headed_by_its_purpose_and_what_it_returns(path: Path) -> None:
    comments = [line for line in path.read_text().splitlines() if line.startswith("--")]
    assert comments[0].startswith("-- Purpose: ")
    assert any(line.startswith("-- Returns: ") for line in comments)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_placeholder_stands_in_a_comment(path: Path) -> None:
    """A value put into a comment ends it with a line break, and goes on as SQL."""
    for line in path.read_text().splitlines():
        _, _, comment = line.partition("--")
        assert "{" not in comment
        assert "%" not in comment


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_query_goes_to_the_database_without_comments(path: Path) -> None:
    """asyncpg writes the values of a COPY into its text, into comments too."""
    text = store.queries.query(path.stem)
    assert "--" not in text
    assert "/*" not in text
    assert text.strip()
