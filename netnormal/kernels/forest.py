"""Walks through the trees of an Isolation Forest: path lengths, and what each feature contributed to them."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def mean_depths(rows, roots, left, right, feature, threshold, expected):
    """Mean path length of each row over all trees (Liu et al. 2008, eq. 1); a leaf counts its `expected` depth.

    rows : float32 (n, features); the trees are flat arrays of nodes, a leaf has left == -1. Returns float64 (n,).
    """
    total = np.zeros(rows.shape[0])
    for root in roots:
        for row in range(rows.shape[0]):
            node = root
            while left[node] >= 0:
                node = left[node] if rows[row, feature[node]] <= threshold[node] else right[node]
            total[row] += expected[node]
    return total / roots.size


@njit(cache=True)
def depth_contributions(rows, roots, left, right, feature, threshold, expected):
    """How much each feature shortened each row's mean path, in splits; float64 (n, features).

    A split moves the path length to be expected from `expected[node]` to `expected[child]`; the difference belongs to
    the feature it asked for. So a row's contributions sum to the forest's mean root expectation less the row's mean
    path length, exactly (Saabas 2014, for path lengths).
    """
    given = np.zeros(rows.shape)
    for root in roots:
        for row in range(rows.shape[0]):
            node = root
            while left[node] >= 0:
                child = left[node] if rows[row, feature[node]] <= threshold[node] else right[node]
                given[row, feature[node]] += expected[node] - expected[child]
                node = child
    return given / roots.size
