"""``python -m inference``: predictions over HTTP, evidence to the collector; settings are TALLY_ variables.

    HTTP -> routes -> predictor -> model in a thread -> outbox -> answer
                                                          |
                       ledger -> registry -> desk         +--forwarder--> collector -> ledger

Exit codes: 0 stopped as asked, 1 a defect, 2 could not start.
"""

from __future__ import annotations

import gc
import os
import sys

import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from inference.errors import InferenceError
from inference.server import serve
from inference.settings import InferenceSettings
from outbox.errors import OutboxError
from service.settings_trouble import settings_trouble
from service.structured_logs import configure_logging


def main() -> int:
    """Read the settings, serve until told to stop."""
    try:
        settings = InferenceSettings()  # type: ignore[call-arg]  # from the environment
    except (ValidationError, SettingsError) as error:
        for line in settings_trouble(
            "inference", "TALLY_INFERENCE_", error, 'must be JSON, as in ["/photos"]'
        ):
            print(line, file=sys.stderr)  # noqa: T201
        return 2
    # Requests leave no cycles; at the default of 700 objects the collector would run all day.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    # A thread whose model has answered waits so long for one that runs Python: 5 ms by default, half a photo.
    sys.setswitchinterval(0.0005)
    configure_logging(os.environ.get("TALLY_LOG_LEVEL", "INFO"))
    try:
        return uvloop.run(serve(settings))
    except (OSError, InferenceError, OutboxError) as error:
        print(f"inference: could not start: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
