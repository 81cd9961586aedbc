"""Named SQL: ``query("lock_heads")`` is the text of ``store/sql/lock_heads.sql``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("sql")


@cache
def query(name: str) -> str:
    """The SQL text of that name.

    Raises:
        FileNotFoundError: there is no such file (a mistake in the calling code).
    """
    return (_FOLDER / f"{name}.sql").read_text()
