"""The `tally` command, the embedded database, the supervision of a local stack.  May import every package."""
