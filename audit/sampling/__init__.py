"""Audit sampling: how many items to look at, which ones, the sheet to fill in, and what follows from it.

Sizes and limits are exact: counts come from integers, fractions and decimals, never from floats.  Which items
are taken follows from a digest of the ledger, so that neither side chooses and both can repeat the draw.
"""
