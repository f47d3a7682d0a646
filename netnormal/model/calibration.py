"""From a forest's raw score to a tail probability, and from an alert budget to a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

LEAST_TAIL = 10  # scores: fewer say nothing of how a tail falls


@dataclass(frozen=True)
class Tail:
    """The distribution of held-out scores: as observed up to `start`, falling faster than exponentially beyond.

    Peaks over a threshold (Pickands 1975) on a power of the distance from the middle: beyond `start` it has an
    exponential excess with the mean `mean_excess`. With power 1 the tail is exponential, with 2 it falls as a normal
    distribution's. A forest's scores are bounded, so their tail is light; but a generalised Pareto distribution with an
    end would call everything beyond it equally impossible.

    Attacks in the baseline are no part of that. Scores beyond `limit`, which but few baselines of this size would have,
    are left out, fit after fit.
    """

    scores: np.ndarray  # sorted, up to `start`
    count: int
    middle: float
    power: float
    start: float
    mean_excess: float
    limit: float

    @classmethod
    def fit(cls, scores: np.ndarray, share: float, power: float, confidence: float, stray_probability: float) -> Tail:
        """`share` of the scores, at least LEAST_TAIL where there are so many, are its tail.

        confidence : that the mean excess is no larger than what is taken for it: few scores make a careful tail. The
            upper bound of an exponential distribution's mean (Epstein and Sobel 1953).
        stray_probability : of a baseline without attacks to have a score beyond `limit`; 0 leaves none out.
        """
        ordered, middle, limit = np.sort(scores), float(np.median(scores)), float("inf")
        while True:
            n_tail = min(max(round(share * ordered.size), LEAST_TAIL), ordered.size - 1)
            start = float(ordered[-n_tail - 1])
            begin = _above(start, middle, power)
            excess = float((_above(ordered[ordered.size - n_tail :], middle, power) - begin).mean())
            excess = max(excess * 2 * n_tail / float(chi2.ppf(1 - confidence, 2 * n_tail)), 1e-6)
            if stray_probability:
                limit = middle + float(begin + excess * np.log(n_tail / stray_probability)) ** (1 / power)
            if ordered[-1] <= limit:
                return cls(ordered[: ordered.size - n_tail], ordered.size, middle, power, start, excess, limit)
            ordered = ordered[ordered <= limit]

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Chance that a held-out score is at least as high; never 0, strictly decreasing beyond `start`."""
        n_tail = self.count - self.scores.size
        reached = self.count - np.searchsorted(self.scores, scores, side="left") + 1
        excess = _above(np.maximum(scores, self.start), self.middle, self.power) - self._begin
        beyond = (n_tail + 1) / (self.count + 1) * np.exp(-excess / self.mean_excess)
        return np.where(scores > self.start, beyond, np.minimum(reached / (self.count + 1), 1.0))

    def quantile(self, probability: float) -> float:
        """The score reached with `probability`; inverse of `probability` beyond `start`, else `start`."""
        share = (self.count - self.scores.size + 1) / (self.count + 1)
        excess = self.mean_excess * float(np.log(max(share / probability, 1.0)))
        return self.middle + float(self._begin + excess) ** (1 / self.power)

    @property
    def _begin(self) -> float:
        return float(_above(self.start, self.middle, self.power))


def _above(scores: np.ndarray | float, middle: float, power: float) -> np.ndarray:
    """A power of the distance of scores above the middle, 0 below it."""
    return np.power(np.maximum(scores - middle, 0.0), power)


def mean_excess(scores: np.ndarray, share: float) -> float:
    """How far the upper `share` of the scores lie beyond its begin, in the mean."""
    tail = np.sort(scores)[-max(round(share * scores.size), min(LEAST_TAIL, scores.size)) :]
    return max(float((tail - tail[0]).mean()), 1e-6)


def score_of(tail_probability: np.ndarray) -> np.ndarray:
    """Tail probability → score from 0 (usual) to 1: each further 9 is four decades of rarity."""
    return 1.0 - np.power(tail_probability, 0.25)
