"""``python -m collector``: OTLP/gRPC and OTLP/HTTP in, ledger rows out; settings are TALLY_ variables.

    OTLP request -> grpc_server | http -> service -> decoder -> pipeline -> store.writer -> PostgreSQL
                                                     (records)   (batches)    (transaction)

Exit codes: 0 stopped as asked, 1 a defect, 2 could not start.
"""

from __future__ import annotations

import gc
import os
import sys

import uvloop
from pydantic import ValidationError

from collector.server import serve
from collector.settings import CollectorSettings
from collector.tracing import configure_tracing
from service.structured_logs import configure_logging


def main() -> int:
    """Read the settings, serve until told to stop."""
    try:
        settings = CollectorSettings()  # type: ignore[call-arg]  # from the environment
    except ValidationError as error:
        for problem in error.errors():
            print(f"collector: {problem['loc'][0]}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        return 2
    # Rows under way are tens of thousands of tuples; at the default of 700 they would be walked all day.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    configure_logging(os.environ.get("TALLY_LOG_LEVEL", "INFO"))
    tracer = configure_tracing(settings.otlp_endpoint)
    try:
        return uvloop.run(serve(settings))
    except OSError as error:
        print(f"collector: could not start: {error}", file=sys.stderr)  # noqa: T201
        return 2
    finally:
        if tracer is not None:
            tracer.shutdown()


if __name__ == "__main__":
    sys.exit(main())
