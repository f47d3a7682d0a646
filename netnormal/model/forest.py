"""Isolation Forest (Liu, Ting and Zhou 2008) with range extension, path lengths and exact attribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import IsolationForest

from netnormal import settings
from netnormal.kernels.forest import depth_contributions, mean_depths

_EULER = 0.5772156649015329


def expected_depth(n: np.ndarray) -> np.ndarray:
    """Mean path length of an unsuccessful search in a binary search tree of n points, c(n) of Liu et al. 2008."""
    n = np.asarray(n, np.float64)
    full = 2.0 * (np.log(np.maximum(n - 1.0, 1.0)) + _EULER) - 2.0 * (n - 1.0) / np.maximum(n, 1.0)
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, full))


def extended(rows: np.ndarray, share: float, reach: float, seed: int) -> np.ndarray:
    """Rows for training: the given ones and `share` as many copies with some values pushed beyond the range seen.

    A forest cannot tell a value far outside its training range from one just outside: nothing ever splits there. In
    each copy up to three columns get a value drawn between the column's maximum and `reach` times it. A column that
    never strays in the rows, such as the count of NULL scans, is taken to reach 1: without a split it never counts.
    """
    n = round(share * len(rows))
    if not n:
        return rows
    random = np.random.default_rng(seed)
    copies = rows[random.integers(0, len(rows), n)].copy()
    most = np.maximum(rows.max(axis=0), 1)
    for _ in range(3):
        chosen = np.flatnonzero(random.random(n) < 0.67)
        column = random.integers(0, rows.shape[1], chosen.size)
        copies[chosen, column] = most[column] * random.uniform(1.0, reach, chosen.size).astype(rows.dtype)
    return np.vstack([rows, copies])


@dataclass
class Trees:
    """All trees of a forest as flat arrays of nodes; `expected` is the path length to be expected from a node on."""

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    expected: np.ndarray
    scale: float

    @classmethod
    def of(cls, forest: IsolationForest) -> Trees:
        """Raises ValueError if a tree's nodes do not form one (a damaged or hostile model)."""
        roots, parts = [], []
        base = 0
        for estimator, columns in zip(forest.estimators_, forest.estimators_features_, strict=True):
            tree = estimator.tree_
            left, right = tree.children_left.astype(np.int64), tree.children_right.astype(np.int64)
            n, leaf = left.size, left < 0
            at = np.arange(n)
            inner = ~leaf
            sane = (left[inner] > at[inner]).all() and (right[inner] > at[inner]).all()
            sane = sane and (left < n).all() and (right < n).all() and (right[leaf] < 0).all() and n > 0
            asked = tree.feature[inner]
            if not (sane and (asked >= 0).all() and (asked < len(columns)).all()):
                raise ValueError("a tree's nodes are out of order")
            depth = np.zeros(n)
            for node in np.flatnonzero(inner):  # parents come before their children
                depth[left[node]] = depth[right[node]] = depth[node] + 1
            samples = tree.n_node_samples.astype(np.float64)
            expected = depth + expected_depth(samples)
            for node in np.flatnonzero(inner)[::-1]:
                a, b = left[node], right[node]
                total = samples[a] + samples[b]
                expected[node] = (samples[a] * expected[a] + samples[b] * expected[b]) / total
            feature = np.where(leaf, 0, np.asarray(columns)[np.maximum(tree.feature, 0)])
            left, right = np.where(leaf, -1, left + base), np.where(leaf, -1, right + base)
            parts.append((left, right, feature, tree.threshold, expected))
            roots.append(base)
            base += n
        left, right, feature, threshold, expected = (np.concatenate(part) for part in zip(*parts, strict=True))
        scale = float(expected_depth(np.array(forest.max_samples_)))
        return cls(np.array(roots), left, right, feature, threshold, expected, scale)

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.roots, self.left, self.right, self.feature, self.threshold, self.expected

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Anomaly score s(x) = 2^(-E[h(x)] / c(n)) of Liu et al. 2008, in 0..1; -forest.score_samples(rows)."""
        return np.exp2(-mean_depths(rows, *self._arrays()) / self.scale)

    def contributions(self, rows: np.ndarray) -> np.ndarray:
        """See `kernels.forest.depth_contributions`."""
        return depth_contributions(rows, *self._arrays())

    def mean_root(self) -> float:
        """The path length to be expected before anything is asked; contributions are counted from here."""
        return float(self.expected[self.roots].mean())


def fit(rows: np.ndarray, chosen: settings.TrainModel, jobs: int) -> IsolationForest:
    """A forest on `rows` (float32) and their range-extended copies."""
    data = extended(rows, chosen.range_extension_share, chosen.range_extension_reach, chosen.seed)
    samples = min(chosen.rows_per_tree, len(data))
    forest = IsolationForest(n_estimators=chosen.trees, max_samples=samples, random_state=chosen.seed, n_jobs=jobs)
    forest.fit(data)
    return forest.set_params(n_jobs=None)  # of this run, not of the model
