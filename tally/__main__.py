"""The ``tally`` command."""

from __future__ import annotations

import gc
import sys

gc.set_threshold(50_000)  # before the imports, which make much and no garbage: a tenth of a second a command

from tally.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
