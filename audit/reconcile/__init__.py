"""Reconciliation: what was claimed, what the evidence supports, and every exception in between."""
