"""docs/verification.md names every kind of break."""

from __future__ import annotations

import re
from pathlib import Path

from audit.breaks import BreakKind
from audit.findings import NAMED, NAMED_PER_CHAIN
from audit.scope import LARGEST

PAGE = (Path(__file__).parents[3] / "docs" / "verification.md").read_text()


def test_the_page_explains_every_kind_of_break() -> None:
    explained = re.findall(r"^\| `([a-z ]+)` \|", PAGE, re.MULTILINE)
    assert explained == [kind.value for kind in BreakKind]


def test_the_page_states_the_limits_that_are_in_force() -> None:
    assert (
        f"first {NAMED_PER_CHAIN} of a kind in a chain and the first {NAMED:,} of a stream"
        in PAGE.replace("\n", " ")
    )
    assert f"{LARGEST:,} rows" in PAGE
