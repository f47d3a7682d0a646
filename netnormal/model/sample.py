"""Which rows of a baseline a model learns from, so that no flood and no scan decides what is usual."""

from __future__ import annotations

import numpy as np
import pandas as pd


def of_stories(table: pd.DataFrame, most: int, seed: int) -> np.ndarray:
    """bool[n]: at most so many rows of one window and kind have the same source, and as many the same destination.

    Such rows are one story, told once for each peer: their context (`source_`, `destination_`) is the same. A scan or
    a spoofed flood in the baseline would else outnumber everything of its kind. Which rows stay is drawn by `seed`.

    table : tables.FEATURES of one window length; n rows.
    """
    kept = np.ones(len(table), bool)
    lot = np.random.default_rng(seed).random(len(table))
    for end in ("source", "destination"):
        story = table.groupby(["window_start", "kind", end], observed=True).ngroup().to_numpy()
        order = np.lexsort((lot, story))
        ordered = story[order]
        begin = np.searchsorted(ordered, ordered, side="left")
        kept[order[np.arange(len(order)) - begin >= most]] = False
    return kept
