"""A report as a folder: every format, and SHA256SUMS over all of them.

 The folder appears whole or not at all: everything is written into a temporary folder beside it and brought
to disk, and that folder is then renamed.  A report that is there already is replaced only if that is asked
for, and only if it is one: a folder whose SHA256SUMS names every file in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audit.reporting import as_csv, as_html, as_json, as_pdf, as_xlsx
from audit.reporting.document import document
from audit.reporting.errors import FolderRefused, ReportingError
from audit.reporting.model import Report

FORMATS: Final = ("json", "html", "pdf", "xlsx", "csv")
SUMS: Final = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the report's digest, and the SHA-256 of each file by its name within the folder."""

    directory: Path
    digest: str
    files: Mapping[str, str]


def write_report(
    report: Report,
    directory: str | os.PathLike[str],
    formats: Iterable[str] | None = None,
    overwrite: bool = False,
) -> Written:
    """Writes the report into ``directory``, which must not be there, be empty, or be overwritten on purpose.

    Args:
        report: what to write.
        directory: the folder to make; the one that it lies in must be there.
        formats: of ``FORMATS``; all of them if None.  CSV files go into a folder of their own.
        overwrite: replace a folder that an earlier call wrote.

    Raises:
        FolderRefused: the folder has other files, or can't be written.
        Unrenderable: the model holds what no report may have.
        ReportingError: a format is not known.
    """
    target = Path(os.path.abspath(directory))  # noqa: PTH100 - a link stays a link, and is refused
    files = rendered(report, formats)
    with _refusing(target):
        replaces = _replaces(target, overwrite=overwrite)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        try:
            sums = _write_all(temporary, files)
            _put(temporary, target, replaces=replaces)
        except BaseException:
            # A crash before this line leaves the temporary folder beside the target: it is never read.
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return Written(target, as_json.report_digest(report), sums)


def rendered(report: Report, formats: Iterable[str] | None = None) -> dict[str, bytes]:
    """The files of the formats by their names.

    Raises:
        Unrenderable: as ``as_json.render``.
        ReportingError: a format is not known.
    """
    wanted = tuple(dict.fromkeys(FORMATS if formats is None else formats))
    for name in wanted:
        if name not in FORMATS:
            raise ReportingError(f"the format {name!r} is unknown: expected some of {', '.join(FORMATS)}")
    if not wanted:
        raise ReportingError(f"no format is asked for: expected some of {', '.join(FORMATS)}")
    files: dict[str, bytes] = {}
    shown = document(report) if {"html", "pdf"} & set(wanted) else None
    if "json" in wanted:
        files["report.json"] = as_json.render(report)
    if "html" in wanted and shown is not None:
        files["report.html"] = as_html.render_document(shown)
    if "pdf" in wanted and shown is not None:
        files["report.pdf"] = as_pdf.render_document(shown)
    if "xlsx" in wanted:
        files["report.xlsx"] = as_xlsx.render(report)
    if "csv" in wanted:
        files |= {f"csv/{name}": data for name, data in as_csv.render(report).items()}
    return files


def check_target(directory: str | os.PathLike[str], *, overwrite: bool) -> None:
    """What :func:`write_report` would refuse, before the work is done for it.

    Raises:
        FolderRefused: the folder has other files, or can't be written.
    """
    target = Path(os.path.abspath(directory))  # noqa: PTH100 - a link stays a link, and is refused
    with _refusing(target):
        _replaces(target, overwrite=overwrite)
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise FolderRefused(f"{target.parent} can't be written: give another folder")


def _replaces(target: Path, *, overwrite: bool) -> bool:
    """Whether a report is there that is to be replaced."""
    if not target.parent.is_dir():
        raise FolderRefused(
            f"{target.parent} is no folder, so {target.name} can't be made in it: make it first"
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise FolderRefused(f"{target} is there and is no folder: give another name")
    if not target.exists() or not any(target.iterdir()):
        return False
    if not overwrite:
        raise FolderRefused(
            f"{target} is there and is not empty: give another folder, or replace it (--overwrite)"
        )
    _only_a_report(target, target)
    return True


def _only_a_report(folder: Path, target: Path) -> None:
    strange = _strange(folder)
    if strange is not None:
        raise FolderRefused(
            f"{target} holds {strange!a}, which no report put there, so it stays: give another folder"
        )


def _strange(target: Path) -> str | None:
    """What in the folder its SHA256SUMS does not name; None if it is a report and nothing else."""
    sums = target / SUMS
    if not sums.is_file():
        return next(iter(sorted(path.name for path in target.iterdir())))
    named = {SUMS} | {line[66:] for line in sums.read_text(encoding="utf-8", errors="replace").splitlines()}
    folders = {str(Path(name).parent) for name in named}
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        known = name in folders if path.is_dir() and not path.is_symlink() else name in named
        if not known:
            return name
    return None


def _write_all(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Writes the files and SHA256SUMS, all on disk when it returns; the digest of each."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    for name, data in [*files.items(), (SUMS, lines.encode())]:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for inner in sorted({(folder / name).parent for name in files} | {folder}):
        _sync(inner)
    folder.chmod(0o755)  # mkdtemp's are private; a report is for others
    return sums


def _put(temporary: Path, target: Path, *, replaces: bool) -> None:
    """Renames the new folder to its place."""
    if not replaces:
        temporary.rename(target)  # atomic; onto an empty folder as well, and never onto another
        _sync(target.parent)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    target.rename(aside)
    # A crash here leaves no folder at the target, the earlier report in .NAME.*.old and the new one, whole,
    # in .NAME.*.part: writing the report again puts it right.
    try:
        _only_a_report(aside, target)  # again: what came in since the first look must not be lost
        temporary.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _sync(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # not every file system syncs folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _refusing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FolderRefused(f"{target} can't be written: {reason}; nothing was put there") from error
