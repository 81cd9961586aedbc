"""docs/ledger.md says what the code does.

TALLY_WRITE_DOCS=1 writes the tables of the streams into it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from ledger.streams import STREAMS, Stream

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "ledger.md"
PART = re.compile(r"(<!-- streams: begin[^\n]*\n)(.*?)(<!-- streams: end -->)", re.DOTALL)


def table(stream: Stream) -> str:
    meaning = stream.meaning[0].upper() + stream.meaning[1:]
    lines = [
        f"### {stream.name}",
        "",
        f"{meaning}. {len(stream.columns)} columns; the chain column is `{stream.chain_column}`.",
        "",
        "| | column | type | null | what it holds |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {number} | `{column.name}` | `{column.type}` | {'may be' if column.nullable else 'never'} "
        f"| {column.meaning} |"
        for number, column in enumerate(stream.columns, start=1)
    ]
    return "\n".join([*lines, ""])


def test_the_tables_are_those_of_the_streams() -> None:
    expected = "\n".join(table(stream) for stream in STREAMS.values())
    page = PAGE.read_text()
    if os.environ.get("TALLY_WRITE_DOCS"):
        PAGE.write_text(PART.sub(lambda found: f"{found[1]}\n{expected}\n{found[3]}", page))
        page = PAGE.read_text()
    found = PART.search(page)
    assert found is not None
    assert found[2].strip() == expected.strip()


def test_the_example_is_the_first_vector() -> None:
    vector = json.loads((ROOT / "tests" / "vectors" / "rows.json").read_text())[0]
    page = PAGE.read_text()
    dump = page.split("Its image, 185 bytes:")[1].split("```")[1]
    digits = "".join(re.findall(r"\b[0-9a-f]{2}\b", "\n".join(line[:50] for line in dump.splitlines()[1:])))
    assert digits == vector["image"]
    assert len(digits) == 2 * 185
    assert f"= {vector['previous_hash']}\n" in page
    assert f"= {vector['row_hash']}\n" in page
    assert page.count(vector["values"]["attributes"]) == 1


def test_the_shell_lines_of_the_example_give_its_hash(tmp_path: Path) -> None:
    vector = json.loads((ROOT / "tests" / "vectors" / "rows.json").read_text())[0]
    lines = PAGE.read_text().split("```sh\n")[1].split("```")[0]
    (tmp_path / "image.hex").write_text(vector["image"])
    bash = shutil.which("bash")
    assert bash is not None, "every Debian has bash"
    done = subprocess.run([bash, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [vector["row_hash"], "-"]
