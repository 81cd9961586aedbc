"""``python -m audit.sealing``: rows in, a signed and witnessed log out; settings are TALLY_SEALER_ variables.

    chain_heads -> batches -> store.seals -> log_files -> checkpoint -> witnesses -> checkpoint.witnessed
    (what is new)  (order)    (allocated)    (tiles)      (signed)      (cosigned)

Exit codes: 0 stopped as asked, 1 a defect, 2 could not start.
"""

from __future__ import annotations

import asyncio
import os
import sys

from pydantic import ValidationError
from pydantic_settings import SettingsError

from audit.errors import AuditError
from audit.sealing.service import serve
from audit.sealing.settings import SealerSettings
from service.errors import ServiceError
from service.settings_trouble import settings_trouble
from service.structured_logs import configure_logging


def main() -> int:
    """Read the settings, serve until told to stop."""
    try:
        settings = SealerSettings()  # type: ignore[call-arg]  # from the environment
    except (ValidationError, SettingsError) as error:
        for line in settings_trouble("sealer", "TALLY_SEALER_", error):
            print(line, file=sys.stderr)  # noqa: T201
        return 2
    os.nice(settings.niceness)
    configure_logging(os.environ.get("TALLY_LOG_LEVEL", "INFO"))
    try:
        return asyncio.run(serve(settings))
    except (AuditError, OSError, ServiceError) as error:
        print(f"sealer: could not start: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
