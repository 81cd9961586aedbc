"""The life of a model: the governance stream of the ledger is its registry of record."""
