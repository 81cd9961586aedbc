"""Words of people that go on record."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

Remark = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$")]
"""PostgreSQL's text can't hold a NUL character."""

NeededRemark = Annotated[
    str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")
]
"""A remark with at least one character that shows."""
