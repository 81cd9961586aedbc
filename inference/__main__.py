"""``python -m inference``: predictions over HTTP, evidence to the collector; settings are TALLY_ variables.

    HTTP -> routes -> predictor -> model in a thread -> outbox -> answer
                                                          |
                       ledger -> registry -> desk         +--forwarder--> collector -> ledger

Exit codes: 0 stopped as asked, 1 a defect, 2 could not start.
"""

from __future__ import annotations

import os
import sys

import uvloop
from pydantic import ValidationError

from inference.errors import InferenceError
from inference.server import serve
from inference.settings import InferenceSettings
from outbox.errors import OutboxError
from service.structured_logs import configure_logging


def main() -> int:
    """Read the settings, serve until told to stop."""
    try:
        settings = InferenceSettings()  # type: ignore[call-arg]  # from the environment
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"inference: TALLY_INFERENCE_{name}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        return 2
    configure_logging(os.environ.get("TALLY_LOG_LEVEL", "INFO"))
    try:
        return uvloop.run(serve(settings))
    except (OSError, InferenceError, OutboxError) as error:
        print(f"inference: could not start: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
