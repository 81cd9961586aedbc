"""The commands of `tally`, a group a module; each module has functions that ``tally.cli`` registers."""
