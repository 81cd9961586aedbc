"""What can go wrong between Tally and PostgreSQL, by what the caller should do about it."""

from __future__ import annotations


class StoreError(Exception):
    """Root of every error that ``store`` raises."""


class StoreUnavailable(StoreError):
    """The database can't be reached or can't write now: try again later."""


class StoreRejected(StoreError):
    """The database refuses this data and will refuse it again: do not retry it."""


class StoreDefect(StoreRejected):
    """This data brings out a defect, ours or the database's: who has it must keep it and send it again."""


class MigrationError(StoreError):
    """The schema could not be brought to the revision; the message says at which step."""
