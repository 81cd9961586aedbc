"""The auditor: checks the ledger against itself, trusting neither collector nor operator.

Reads only.  What a chain can show and what it can't is told in ``docs/verification.md``.
"""
