"""Sealing: committed rows become leaves of one tree, and its heads are signed, witnessed and published.

``docs/log.md`` says what is promised.  The parts: ``batches`` (which rows come next), ``log_files`` (tiles
and checkpoints as plain files), ``sealer`` (the steps and what a crash between them leaves), ``witnesses``
(asking for cosignatures), ``service`` (the loop).
"""
