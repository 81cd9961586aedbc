"""``python -m tally.embedded``: make sure that this machine can run the embedded database (status 0 or 2)."""

from __future__ import annotations

import sys

from tally.embedded.programs import find_programs
from tally.errors import TallyError
from tally.settings import read_settings


def main() -> int:
    """Find the programs, or make the private root; one line if that fails."""
    try:
        settings = read_settings()
        if settings.database_url is None:
            find_programs(settings.cache_dir, lambda line: print(f"tally: {line}", file=sys.stderr))  # noqa: T201
    except TallyError as error:
        print(f"tally: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
