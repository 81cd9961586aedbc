"""Rows to train on, by the source that a specification names, with a digest of exactly what was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

from inference.errors import SpecError
from inference.manifest import sha256_hex
from inference.spec import Data, Spec

Simulation = Callable[[int, int], pd.DataFrame]
"""Makes so many rows from a seed.  The same arguments give the same rows."""

LARGEST_CSV: Final = 2 << 30
"""Bytes; a larger table does not fit in the memory of a small machine."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they came: every cell is text, None where there is nothing.  ``digest`` is SHA-256."""

    frame: pd.DataFrame
    digest: str


def read_table(spec: Spec, data_dir: Path | None, simulations: Mapping[str, Simulation]) -> Table:
    """The rows of a specification of readings.

    Raises:
        SpecError: the source is not there, is not what it should be, or lacks a column.
    """
    data = spec.data
    if data.source == "csv":
        table = _csv(within(data_dir, data), data)
    elif data.source == "iris":
        table = _iris()
    elif data.source == "simulated":
        table = _simulated(data, simulations)
    else:
        raise SpecError(f"data.source: {data.source} has no rows of readings")
    wanted = [spec.target.column, *(feature.name for feature in spec.features)]
    if spec.groups is not None:
        wanted.append(spec.groups.column)
    if absent := [name for name in wanted if name not in table.frame.columns]:
        raise SpecError(
            f"data: there is no column {', '.join(absent)}; there are "
            f"{', '.join(str(name) for name in table.frame.columns)}"[:500]
        )
    if len(table.frame) < 50:
        raise SpecError(f"data: expected 50 rows or more, got {len(table.frame)}")
    return table


def within(data_dir: Path | None, data: Data) -> Path:
    """Where ``data.path`` is.

    Raises:
        SpecError: no data folder is known, or nothing is there.
    """
    if data_dir is None:
        raise SpecError(
            f"data.path: {data.path} lies in a data folder; say which with --data DIR or TALLY_DATA_DIR"
        )
    path = data_dir / str(data.path)
    if not path.resolve().is_relative_to(data_dir.resolve()):
        raise SpecError(f"data.path: {data.path} leads out of the data folder {data_dir}")
    if not path.exists():
        raise SpecError(f"data.path: {path} does not exist; is {data_dir} the data folder?")
    return path


def _csv(path: Path, data: Data) -> Table:
    try:
        size = path.stat().st_size
        if size > LARGEST_CSV:
            raise SpecError(f"{path}: expected at most {LARGEST_CSV:,} bytes, got {size:,}")
        digest = sha256_hex(path.read_bytes())
        frame = pd.read_csv(
            path,
            encoding="utf-8-sig",
            dtype=str,
            keep_default_na=False,
            na_values=list(data.missing),
            skipinitialspace=True,
        )
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, pd.errors.ParserError) as error:  # no UTF-8, no columns, ragged rows
        raise SpecError(f"{path}: is no CSV file with a header: {' '.join(str(error).split())}") from error
    return Table(_as_text(frame), digest)


def _iris() -> Table:
    content = load_iris(as_frame=True)
    frame = content.frame.rename(columns=lambda name: name.replace(" (cm)", "_cm").replace(" ", "_"))
    frame["target"] = np.array(content.target_names)[content.target]
    return _of_frame(frame)


def _simulated(data: Data, simulations: Mapping[str, Simulation]) -> Table:
    simulate = simulations.get(str(data.simulation))
    if simulate is None:
        raise SpecError(
            f"data.simulation: expected one of {', '.join(simulations) or 'none'}, got {data.simulation}"
        )
    assert data.rows is not None
    return _of_frame(simulate(data.rows, data.seed))


def _of_frame(frame: pd.DataFrame) -> Table:
    """The digest is that of the rows as a CSV file, floats in their shortest exact form."""
    text = _as_text(frame)
    return Table(text, sha256_hex(text.to_csv(index=False, lineterminator="\n").encode()))


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    columns = {
        str(name): pd.Series(
            [None if pd.isna(cell) else str(cell).strip() for cell in frame[name]], dtype=object
        )
        for name in frame.columns
    }
    return pd.DataFrame(columns)
