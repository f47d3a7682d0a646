"""Quantiles of many columns by groups."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def group_quantiles(values, order, starts, levels):
    """Quantiles of each column in each group, NaN left out; linear between ranks (Hyndman and Fan 1996, type 7).

    values : float64 (n, columns); `order` lists the rows group by group, group g from starts[g] to starts[g + 1].
    Returns the quantiles (groups, columns, levels), NaN where a group has no value, and the counts (groups, columns).
    """
    n_groups, n_columns = starts.size - 1, values.shape[1]
    quantiles = np.full((n_groups, n_columns, levels.size), np.nan)
    counts = np.zeros((n_groups, n_columns), np.int64)
    for group in range(n_groups):
        first, last = starts[group], starts[group + 1]
        cells = np.empty(last - first)
        for column in range(n_columns):
            n = 0
            for at in range(first, last):
                value = values[order[at], column]
                if not np.isnan(value):
                    cells[n] = value
                    n += 1
            counts[group, column] = n
            if n == 0:
                continue
            cells[:n].sort()
            for k in range(levels.size):
                rank = levels[k] * (n - 1)
                low = int(rank)
                high = min(low + 1, n - 1)
                quantiles[group, column, k] = cells[low] + (rank - low) * (cells[high] - cells[low])
    return quantiles, counts
