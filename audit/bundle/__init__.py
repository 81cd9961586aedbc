"""Evidence bundles: the rows of a period with everything that an auditor needs to check them alone."""
