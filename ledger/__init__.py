"""The ledger's pure part: stream definitions, canonical bytes, hash chains.

Nothing here imports a database, a socket or a clock, so that the collector, the auditor and anybody
else compute the same bytes from the same values.  The specification is ``docs/ledger.md``.
"""
