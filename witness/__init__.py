"""A witness: cosigns the heads of a log, each only once it has seen that the one before is a beginning of it.

An auditor runs it elsewhere, with a key and a state of their own.  It speaks C2SP tlog-witness v1.0.0 over
HTTP and knows nothing of the database, or of what the leaves mean.
"""
