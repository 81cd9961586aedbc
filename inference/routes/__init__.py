"""The HTTP interface, a module a subject."""
