"""Published SQL says what it reads and returns, and keeps to what PostgreSQL, DuckDB and Spark read alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from audit.invariants import rules
from audit.relations import RELATIONS, relation_sql
from store.analysis import EVIDENCE
from tests.evidence import Reconciled, clean_fleet, reconciled

RULES: Final = {rule.name: rule.sql for rule in rules() if rule.sql}
TEXTS: Final = {name: relation_sql(name) for name in RELATIONS} | {
    f"rule {n}": sql for n, sql in RULES.items()
}
OF_EVERY_RULE: Final = (
    *("subject", "stream", "chain", "seq", "material", "effect_mg", "counter_material", "counter_mg"),
    "weight",
)
GIVEN: Final = {*EVIDENCE, "parameters", "bounds"}
ODD: Final = {
    "a cast with ::": r"::",
    "JSON operators": r"->|#>|@>|\bjson",
    "division": r"/",
    "remainder as a function (as % it has the sign of the dividend everywhere)": r"\bmod\s*\(",
    "FILTER": r"\bFILTER\s*\(",
    "the time of the day": r"\bnow\s*\(|\bcurrent_|\blocaltime",
    "chance": r"\brandom\s*\(|\bgen_random|\buuid",
    "regular expressions": r"~|\bsimilar\b|\bregexp",
    "case folding": r"\bilike\b|\blower\s*\(|\bupper\s*\(",
    "arrays": r"\barray\b|\bunnest\b|\[",
    "intervals": r"\binterval\b|\bextract\s*\(|\bdate_",
    "rounding, where engines differ on ties": r"\bround\s*\(",
    "QUALIFY, LATERAL, DISTINCT ON": r"\bqualify\b|\blateral\b|\bdistinct\s+on\b",
    "names of types that Spark has not": r"\bdouble\s+precision\b|\btext\b|\bnumeric\b",
    "limits": r"\blimit\b|\boffset\b",
    "placeholders": r"\?|\$[0-9]|\{|:[a-z]",
}


def code(text: str) -> str:
    """The text without comments and without what stands in quotes."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return re.sub(r"'[^']*'", "''", "\n".join(lines))


def header(text: str) -> str:
    """The comment at its top."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return "\n".join(lines)


def said(text: str, what: str) -> set[str]:
    """The names after ``Reads:`` or ``Returns:`` up to the next of these."""
    found = re.search(rf"^{what}: (.*?)(?=^Returns:|\Z)", header(text), re.MULTILINE | re.DOTALL)
    assert found is not None, f"no {what}: in the header"
    return set(re.findall(r"[a-z_0-9]+", found[1]))


def read(text: str) -> set[str]:
    """The relations after FROM and JOIN."""
    plain = re.sub(r"\bIS\s+(NOT\s+)?DISTINCT\s+FROM\b", "=", code(text))
    return set(re.findall(r"\b(?:FROM|JOIN)\s+([a-z_]+)", plain))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reconciled]:
    computed = reconciled(clean_fleet(), tmp_path_factory.mktemp("clean"))
    yield computed
    computed.close()


@pytest.mark.parametrize("name", TEXTS)
def test_the_header_says_the_purpose_and_exactly_what_is_read(name: str) -> None:
    purpose = header(TEXTS[name]).partition("Reads:")[0]
    assert len(purpose) > 20
    assert purpose.rstrip().endswith(".")
    assert said(TEXTS[name], "Reads") == read(TEXTS[name])


@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_reads_what_there_is_before_it_and_returns_what_it_says(
    clean: Reconciled, name: str
) -> None:
    assert read(TEXTS[name]) <= GIVEN | set(RELATIONS[: RELATIONS.index(name)])
    columns = {str(row["column_name"]) for row in clean.engine.rows(f"DESCRIBE {name}")}
    assert columns <= said(TEXTS[name], "Returns")


@pytest.mark.parametrize("name", RULES)
def test_a_rule_reads_what_there_is_and_returns_what_it_says(clean: Reconciled, name: str) -> None:
    assert read(RULES[name]) <= GIVEN | set(RELATIONS)
    columns = [str(row["column_name"]) for row in clean.engine.rows(f"DESCRIBE rule_{name}")]
    assert tuple(columns[:9]) == OF_EVERY_RULE
    own = header(RULES[name]).partition("(rule.py)")[2]
    assert columns[9:] == re.findall(r"[a-z_]+", own)
    rule = next(rule for rule in rules() if rule.name == name)
    assert set(rule.summed) <= set(columns)


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_is_specific_to_an_engine(name: str) -> None:
    text = code(TEXTS[name])
    found = [what for what, pattern in ODD.items() if re.search(pattern, text, re.IGNORECASE)]
    assert found == []
    assert ";" not in text


def test_what_is_specific_to_an_engine_would_be_found() -> None:
    for text in ("a::text", "a -> 'b'", "a / b", "count(*) FILTER (WHERE a)", "now()", "a ~ b", "x ILIKE y"):
        assert any(re.search(pattern, text, re.IGNORECASE) for pattern in ODD.values()), text


def test_every_file_is_published() -> None:
    folder = Path(__file__).parents[2] / "audit"
    assert {path.stem for path in folder.glob("relations/*.sql")} == set(RELATIONS)
    assert {path.stem for path in folder.glob("invariants/*.sql")} == set(RULES)


@pytest.mark.parametrize("name", TEXTS)
def test_no_subquery_stands_beside_an_or(name: str) -> None:
    """TimescaleDB's parallel scan of a hypertable with ``a IN (SELECT ...) OR b`` leaves rows out, silently.

    A lone ``IN (SELECT ...)`` becomes a join and is right; a second case is a branch of UNION ALL.
    """
    text = " ".join(TEXTS[name].split())
    assert not re.search(r"OR [\w.]+ IN \(SELECT|IN \(SELECT [^()]*\) OR", text)
