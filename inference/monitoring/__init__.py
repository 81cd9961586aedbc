"""How right and how stable the served models are, from what the ledger learns afterwards."""
