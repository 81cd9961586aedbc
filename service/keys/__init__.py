"""Signing keys: where they come from, and the files that new ones are written to."""
