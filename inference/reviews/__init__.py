"""The queue of predictions that a human looks at: unsure ones, and a sample of the others."""
