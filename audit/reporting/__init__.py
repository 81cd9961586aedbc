"""The reconciliation report: one model, and what makes files of it."""
