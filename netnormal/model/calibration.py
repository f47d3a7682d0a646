"""From a forest's raw score to a tail probability, and from an alert budget to a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tail:
    """The distribution of held-out scores: as observed up to `start`, exponential beyond.

    Peaks over a threshold with an exponential excess, the case ξ = 0 of the generalised Pareto distribution (Pickands
    1975): two parameters from few points, and no end point beyond which everything would be equally impossible.
    """

    scores: np.ndarray  # sorted, up to `start`
    count: int
    start: float
    mean_excess: float

    @classmethod
    def fit(cls, scores: np.ndarray, share: float) -> Tail:
        """`share` of the scores, at least 10 where there are so many, are its tail."""
        ordered = np.sort(scores)
        n_tail = min(max(round(share * ordered.size), 10), ordered.size - 1)
        start = float(ordered[-n_tail - 1])
        excess = float((ordered[-n_tail:] - start).mean())
        return cls(ordered[: ordered.size - n_tail], ordered.size, start, max(excess, 1e-6))

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Chance that a held-out score is at least as high; never 0, strictly decreasing beyond `start`."""
        n_tail = self.count - self.scores.size
        reached = self.count - np.searchsorted(self.scores, scores, side="left") + 1
        beyond = (n_tail + 1) / (self.count + 1) * np.exp(-(scores - self.start) / self.mean_excess)
        return np.where(scores > self.start, beyond, np.minimum(reached / (self.count + 1), 1.0))

    def quantile(self, probability: float) -> float:
        """The score reached with `probability`; inverse of `probability` beyond `start`, else `start`."""
        share = (self.count - self.scores.size + 1) / (self.count + 1)
        return self.start + self.mean_excess * float(np.log(max(share / probability, 1.0)))


def score_of(tail_probability: np.ndarray) -> np.ndarray:
    """Tail probability → score from 0 (usual) to 1: each further 9 is four decades of rarity."""
    return 1.0 - np.power(tail_probability, 0.25)
