"""``python -m witness``: cosigns checkpoints over HTTP; settings are TALLY_WITNESS_ variables.

    POST /add-checkpoint -> app -> cosigner: protocol (request, signature) -> state (held)
                -> protocol (verdict) -> ledger.cosignatures -> state (on disk) -> answer

Exit codes: 0 stopped as asked, 1 a defect, 2 could not start.
"""

from __future__ import annotations

import os
import sys

import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from service.errors import ServiceError
from service.settings_trouble import settings_trouble
from service.structured_logs import configure_logging
from witness.errors import WitnessError
from witness.server import serve
from witness.settings import WitnessSettings


def main() -> int:
    """Read the settings, serve until told to stop."""
    try:
        settings = WitnessSettings()  # type: ignore[call-arg]  # from the environment
    except (ValidationError, SettingsError) as error:
        for line in settings_trouble(
            "witness", "TALLY_WITNESS_", error, "must be a JSON list of verifier keys"
        ):
            print(line, file=sys.stderr)  # noqa: T201
        return 2
    configure_logging(os.environ.get("TALLY_LOG_LEVEL", "INFO"))
    try:
        return uvloop.run(serve(settings))
    except (OSError, ServiceError, WitnessError) as error:
        print(f"witness: could not start: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
