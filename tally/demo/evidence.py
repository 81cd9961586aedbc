"""The last chapter: a bundle is taken to an empty folder, where Python alone proves or disproves it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from rich.markup import escape

from ledger.canonical import canonical_json
from tally.demo.auditor import Auditor
from tally.demo.stage import Stage
from tally.demo.story import Story

_IN_PART: Final = 3
_STEP: Final = re.compile(r" *(\d+\. .*)")
_FAILED: Final = re.compile(r" *FAILED: step (.*)\. ")


def carry_home(story: Story, on: Stage, folder: Path, auditor: Auditor) -> None:
    """Bundle, extract, verify; then with one bit changed, and with a manifest that was made to fit."""
    place, home = folder / "evidence.zip", folder / "evidence"
    place.unlink(missing_ok=True)
    made = on.tally("bundle", *_period(folder), "--policy", str(auditor.policy), "-o", str(place))
    story.summary["bundle"] = made
    rows = sum(made["rows"].values())
    story.say(f"$ tally bundle ... -o {place.name}    {rows:,} rows, {place.stat().st_size / 1e6:,.1f} MB")
    _extract(place, home)
    status, said = _verify(home, auditor)
    story.say("in an empty folder, without a database, without a network, without this project:")
    story.say("$ unzip evidence.zip; python verify.py --policy policy")
    for number, line in enumerate(said):
        if _STEP.fullmatch(line):
            story.say(f"  {said[number + 1].split()[0]:7} {escape(line.strip())}")
    story.say(f"  {escape(_last(said))}")
    story.say(f"  exit code {status}: in part, since the period is of today, and rows of it may still come;")
    story.say("  of a bundle that is made 48 hours after its period it is 0")
    story.check(status == _IN_PART, "each step PASSED, with nothing but Python and its package cryptography")
    file = max((home / "rows").iterdir(), key=lambda path: path.stat().st_size)
    before = file.read_bytes()
    forged = bytearray(before)
    forged[len(forged) // 2] ^= 1
    file.write_bytes(forged)
    story.say(f"one bit of {file.relative_to(home)} is changed:")
    failed = _failed(story, home, auditor)
    story.check("1" in failed, "it FAILED: the file is not the one that the manifest names")
    _make_fit(home / "manifest.json", before, bytes(forged))
    story.say("the manifest is made to fit:")
    failed = _failed(story, home, auditor)
    story.check(bool(failed) and "1" not in failed, "it FAILED: the row is not the one that was sealed")
    _extract(place, home)


def _extract(place: Path, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    with zipfile.ZipFile(place) as bundle:
        bundle.extractall(home)


def _make_fit(manifest: Path, before: bytes, after: bytes) -> None:
    """Name the altered file in the manifest, and give the manifest the digest that it then has."""
    text = manifest.read_text(encoding="utf-8")
    stated = json.loads(text).pop("digest")
    text = text.replace(sha256(before).hexdigest(), sha256(after).hexdigest())
    value = json.loads(text)
    value.pop("digest")
    digest = sha256(canonical_json(value)).hexdigest()
    manifest.write_text(text.replace(stated, digest), encoding="utf-8")


def _failed(story: Story, home: Path, auditor: Auditor) -> list[str]:
    """The numbers of the steps that fail; what was expected and what was found is told."""
    status, said = _verify(home, auditor)
    at = next((number for number, line in enumerate(said) if line.lstrip().startswith("FAILED ")), 0)
    for line in said[at - 1 : at + 2]:
        story.say(f"  {escape(line.strip())}")
    story.say(f"  [red]{escape(_last(said))}[/]")
    match = _FAILED.match(_last(said))
    return [] if match is None or status != 1 else match[1].split(", ")


def _last(said: list[str]) -> str:
    return next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")


def _verify(home: Path, auditor: Auditor) -> tuple[int, list[str]]:
    """Exit code and lines of ``verify.py`` in that folder, which knows nothing of this project."""
    done = subprocess.run(
        [sys.executable, "-I", "verify.py", "--policy", str(auditor.policy.resolve())],
        cwd=home,
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def _period(folder: Path) -> tuple[str, ...]:
    """The fleet's hour."""
    with (folder / "manifest.jsonl").open(encoding="utf-8") as lines:
        header = json.loads(lines.readline())
    start = datetime.fromisoformat(header["spec"]["start"])
    end = start + timedelta(seconds=header["spec"]["duration_s"])
    return "--from", f"{start:%Y-%m-%dT%H:%M:%SZ}", "--to", f"{end:%Y-%m-%dT%H:%M:%SZ}"
