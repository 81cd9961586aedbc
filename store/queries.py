"""Named SQL: ``query("lock_heads")`` is the text of ``store/sql/lock_heads.sql``, without its comments.

Comments stay in the files: a driver that writes values into the text itself (asyncpg's COPY does) would write
them into a comment that names a parameter too, and a value with a line break would end the comment.
"""

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
    lines = (_FOLDER / f"{name}.sql").read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))
