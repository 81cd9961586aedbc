"""``tally bench``: what the system reaches on this machine, as ratios against a limit of the same run."""
