"""From a specification to a model folder: data, search, evaluation on held-back data, export, card.

Only ``tally train`` imports this; serving needs none of it.
"""
