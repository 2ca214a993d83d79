"""What rows outside a training split share with rows inside it."""

from collections import defaultdict

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import spearmanr

from synthdata.construction.table import Table

SHARED = 30
"""Sequences that share so many characters in a row are of one cluster."""

_TRAIN = "train"
_TEST = "test"


def audit_leaks(rows: Table, sequence: str, split: str, value: str, pad: str) -> dict[str, float]:
    """How much of the test rows the training rows tell by themselves.

    Returns:
        ``leak_identical``: share of test rows whose sequence is that of a training row. ``leak_related``: share whose
        cluster has a training row. ``leak_lookup``: Spearman's correlation of the test rows' values with the mean value
        of identical training sequences, or of all training rows where there is none, where rows have values.
    """
    texts = [text.replace(pad, "") if pad else text for text in rows.texts(sequence)]
    parts = np.array(rows.keys(split))
    train, test = np.flatnonzero(parts == _TRAIN), np.flatnonzero(parts == _TEST)
    if not len(train) or not len(test):
        return {}
    of_text: dict[str, list[int]] = defaultdict(list)
    for row in train:
        of_text[texts[row]].append(int(row))
    clusters = clusters_of(texts)
    known = set(clusters[train].tolist())
    told = {
        "leak_identical": float(np.mean([texts[row] in of_text for row in test])),
        "leak_related": float(np.mean([cluster in known for cluster in clusters[test].tolist()])),
    }
    if value in rows:
        values = rows.numbers(value)
        overall = values[train].mean()
        looked_up = [values[of_text[texts[row]]].mean() if texts[row] in of_text else overall for row in test]
        if len(set(looked_up)) > 1:
            told["leak_lookup"] = float(spearmanr(looked_up, values[test]).statistic)
    return told


def clusters_of(texts: list[str], shared: int = SHARED) -> np.ndarray:
    """(N,) int: the cluster of each text; texts that share ``shared`` characters in a row are of one, and so are those
    that a chain of such leads to. Shorter texts are of one cluster where they are equal."""
    pieces: dict[str, int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        for start in range(max(len(text) - shared, 0) + 1):
            rows.append(row)
            columns.append(pieces.setdefault(text[start : start + shared], len(pieces)) + len(texts))
    size = len(texts) + len(pieces)
    linked = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), (size, size))
    return connected_components(linked, directed=False)[1][: len(texts)]
