"""What is usual: centre and spread of each feature for each service and host, and how rare a combination is.

A row's features become distances from what is usual for it. A feature's prefix says with whose past it is compared:
`conversation_` with the same service's, `source_` and `destination_` with the same host's, always among rows of the
same `kind` (protocol and outcome), and shrunk towards all rows of that kind, and those towards all rows, where data is
thin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from netnormal.kernels.baseline import group_quantiles

LOGARITHMIC = ("_count", "_bytes", "_s", "_per_s")  # units whose values span orders of magnitude
SUBJECTS = {"conversation": "service", "source": "source", "destination": "destination"}
#: Combinations of key columns whose rarity in the baseline is a feature of the model.
NOVELTIES = {
    "novelty_service_ratio": ("service",),
    "novelty_source_service_ratio": ("source", "service"),
    "novelty_source_destination_ratio": ("source", "destination"),
    "novelty_destination_service_ratio": ("destination", "service"),
}
_LEVELS = np.array([0.05, 0.5, 0.95])
_NORMAL_95 = 1.6449  # standard normal quantile of 0.95: a spread is a standard deviation where the data are normal

Key = tuple[str, ...]


def _logarithmic(name: str) -> bool:
    return name.endswith(LOGARITHMIC)


def scaled(table: pd.DataFrame, names: list[str]) -> np.ndarray:
    """The features on the scale they are compared on: log1p for counts, bytes, seconds, rates; float64 (n, names)."""
    columns = [table[name].to_numpy(np.float64) for name in names]
    return np.column_stack([np.log1p(c) if _logarithmic(n) else c for n, c in zip(names, columns, strict=True)])


def unscaled(name: str, values: np.ndarray) -> np.ndarray:
    """Values of feature `name` back from the scale of `scaled`, not below 0."""
    return np.maximum(np.expm1(values) if _logarithmic(name) else values, 0.0)


def keys(table: pd.DataFrame, columns: tuple[str, ...]) -> tuple[list[Key], np.ndarray]:
    """The distinct values of key columns, tuples of text in order of appearance, and each row's number among them."""
    codes = [table[name].cat.codes.to_numpy(np.int64) for name in columns]
    code = codes[0]
    for name, more in zip(columns[1:], codes[1:], strict=True):
        code = code * (len(table[name].cat.categories) + 1) + more + 1
    numbers, first = pd.factorize(code)[0], np.unique(code, return_index=True)[1]
    words = [table[name].astype(object).fillna("-").to_numpy()[np.sort(first)] for name in columns]
    return list(zip(*words, strict=True)), numbers


def _groups(numbers: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.argsort(numbers, kind="stable"), np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=count))])


@dataclass
class Usual:
    """Centre and spread of some features by group; group 0 is all rows. Arrays are (groups, features)."""

    names: list[str]
    subject: str
    groups: dict[Key, int]
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(
        cls, table: pd.DataFrame, names: list[str], both: np.ndarray, subject: str, shrinkage: float, floor: float
    ) -> Usual:
        """Robust centre (median) and spread, shrunk level by level: all rows → kind → kind and subject.

        `shrinkage` is the number of rows at which a group counts as much as what it is shrunk towards; `floor` the
        least spread, on the scale of `scaled`.
        """
        values = scaled(table, names)
        groups: dict[Key, int] = {}
        centres: list[np.ndarray] = []
        spreads: list[np.ndarray] = []
        parent = np.zeros(len(table), np.int64)
        for level in ((), ("kind",), ("kind", subject)):
            words, numbers = keys(table, level) if level else ([()], np.zeros(len(table), np.int64))
            order, starts = _groups(numbers, len(words))
            quantiles, counts = group_quantiles(values, order, starts, _LEVELS)
            low, centre, high = np.moveaxis(quantiles, 2, 0)
            # Most features are compared one-sidedly, and their lower half says nothing about the upper tail.
            spread = np.where(both, (high - low) / 2, high - centre) / _NORMAL_95
            if level:
                above = np.zeros(len(words), np.int64)
                above[numbers] = parent
                weight = counts / (counts + shrinkage)
                above_centre, above_spread = np.vstack(centres)[above], np.vstack(spreads)[above]
                centre = np.where(counts > 0, weight * centre + (1 - weight) * above_centre, above_centre)
                variance = weight * spread**2 + (1 - weight) * above_spread**2
                spread = np.where(counts > 0, np.sqrt(variance), above_spread)
            else:
                centre, spread = np.nan_to_num(centre), np.nan_to_num(spread)
            base = len(groups)
            groups |= {word: base + i for i, word in enumerate(words)}
            centres.append(centre)
            spreads.append(spread)
            parent = numbers + base
        return cls(names, subject, groups, np.vstack(centres), np.maximum(np.vstack(spreads), floor))

    def group_of(self, table: pd.DataFrame) -> np.ndarray:
        """The most particular group known for each row."""
        words, numbers = keys(table, ("kind", self.subject))
        found = [self.groups.get(word, self.groups.get(word[:1], 0)) for word in words]
        return np.array(found, np.int64)[numbers]


@dataclass
class Baseline:
    """What is usual in one table of features. `names` are the columns of `distances`, in order."""

    usual: list[Usual]
    both: dict[str, bool]
    windows: int
    seen: dict[str, dict[Key, int]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [name for usual in self.usual for name in usual.names] + list(NOVELTIES)

    @classmethod
    def fit(
        cls, table: pd.DataFrame, kept: np.ndarray, sides: dict[str, str], shrinkage: float, floor: float
    ) -> Baseline:
        """Learn from a table of tables.FEATURES of one window length, n rows.

        kept : bool[n], the rows that say what is usual; which combinations occur is learnt from all.
        sides : feature → high or both.
        """
        both = {name: side == "both" for name, side in sides.items()}
        usual = []
        for prefix, subject in SUBJECTS.items():
            names = [name for name in sides if name.startswith(f"{prefix}_")]
            if names:
                either = np.array([both[name] for name in names])
                usual.append(Usual.fit(table[kept], names, either, subject, shrinkage, floor))
        made = cls(usual, both, int(table["window_start"].nunique()))
        for name, columns in NOVELTIES.items():
            words, numbers = keys(table, columns)
            pairs = pd.DataFrame({"key": numbers, "window": table["window_start"].to_numpy()}).drop_duplicates()
            made.seen[name] = dict(zip(words, np.bincount(pairs["key"], minlength=len(words)).tolist(), strict=True))
        return made

    def distances(self, table: pd.DataFrame, own: bool = False) -> np.ndarray:
        """How far each row is from what is usual for it; float32 (n, names), 0 = usual or does not apply.

        A feature's distance is log1p of its spreads beyond the centre (beyond either way if two-sided); a novelty is 0
        for a combination in every window of the baseline, 1 for one never seen. With `own` the rows are the baseline's
        own, and each row's own window does not count as having seen it.
        """
        parts = []
        for usual in self.usual:
            group = usual.group_of(table)
            z = (scaled(table, usual.names) - usual.centre[group]) / usual.spread[group]
            either = np.array([self.both[name] for name in usual.names])
            parts.append(np.log1p(np.nan_to_num(np.where(either, np.abs(z), np.maximum(z, 0.0)))))
        for name, columns in NOVELTIES.items():
            words, numbers = keys(table, columns)
            seen = np.array([self.seen[name].get(word, 0) for word in words], np.float64)[numbers] - own
            windows = self.windows - own
            parts.append((1 - np.log1p(np.maximum(seen, 0)) / np.log1p(max(windows, 1)))[:, None])
        return np.hstack(parts).astype(np.float32)
