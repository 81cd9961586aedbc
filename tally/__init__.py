"""The `tally` command, the embedded database and the supervision of a local stack. May import every package."""
