"""``make demo``: the whole system in a minute and a half, on data of its own under ``var/demo``."""
