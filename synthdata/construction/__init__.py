"""Datasets of relations between the rows of a source: negatives, preference pairs, windows in time, masks.

In come images with an encoder, or a table with columns by name; out goes a dataset directory that says what some rows
are to another. A strategy (`hard_negatives`, `select_pairs`, `partition`, `region_mask`) trains nothing: its
``propose`` is a pure function of rows and seed, its ``audit`` the numbers of the card. `construct` writes through the
emission's writer; `sources` opens rows, `relation` says what a relation is. The command line and recipes may call it.

A new strategy fits the row of `relation.Relation`, is a file of fewer than 200 lines, has a planted test with a
negative control, and adds no hard dependency.
"""
