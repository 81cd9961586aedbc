"""Classification of deposited items: models that are served, governed and evidenced.

``python -m inference`` is the service; ``tally train`` makes a model from a file of ``specs/``.
"""
