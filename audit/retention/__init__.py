"""Dropping old chunks: what may go, and how what remains is still verified.  See ``docs/retention.md``."""
