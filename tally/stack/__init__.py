"""A local stack of supervised processes: what runs, in which order, and who watches it."""
