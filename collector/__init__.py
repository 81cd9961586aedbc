"""OTLP in, ledger rows out: the only writer of the ledger."""
