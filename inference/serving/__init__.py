"""Models at work: loaded, seated as champion or challenger, run off the event loop."""
