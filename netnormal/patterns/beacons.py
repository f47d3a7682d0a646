"""Beacons: a host that calls a new place again and again, as regularly as only a program does. How regular calls are;
`calls` remembers them and says of whom.

Calls by one host of the network to one service of a host it never talked to in the baseline, with a high score of
RITA's, and more regular than calls at random times ever are. T1071. Needs a baseline, since much of what is honest
calls regularly too.

A call is a connection or exchange; what goes on within one is no call. Services that are called by the clock by
design (`beacon_usual_ports`, over UDP) and what nobody answers do not count. What looks like one and is too short to
judge is a `short_beacon`, which is told and is no incident.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.special

from netnormal.patterns.view import Evidence
from netnormal.settings import Patterns

BARS = 24  # a span is judged as RITA judges a day: by its 24 hours
NARROW = 0.2  # a middle half narrower than this share of the median has no skew worth measuring (RITA: 10 s)
APART_S = 1.0  # calls nearer than this are one (RITA counts by the second)
FITS = 30  # lengths that fit by chance: so far the share of 20,000 random series stays below what is said
LEAST_S = 0.001  # gaps differ by less than this for no reason that is the caller's


@dataclass(frozen=True)
class Beacon:
    """RITA's score of calls, each part from 0 to 1; `too_short` says why they cannot be judged, else empty.

    chance : of calls at random times, the share that is at least so regular.
    """

    calls: int
    span_s: float
    gap_s: float = 0.0
    regularity: float = 0.0
    sizes: float = 0.0
    evenness: float = 0.0
    persistence: float = 0.0
    chance: float = 1.0
    too_short: str = ""

    @property
    def likeness(self) -> float:
        """Of what there is, how alike and even it is; 0 to 1."""
        return (self.regularity + self.sizes + self.evenness) / 3

    @property
    def score(self) -> float:
        """0 if it is too short to have one."""
        if self.too_short:
            return 0.0
        return (self.regularity + self.sizes + self.evenness + self.persistence) / 4

    def evidence(self, sizes: np.ndarray) -> Evidence:
        """In numbers; `sizes` are the bytes sent in each call."""
        return {
            "calls": self.calls,
            "gap_s": round(self.gap_s, 1),
            "bytes_each": round(float(np.median(sizes))),
            "beacon_score": round(self.score, 3),
            "regularity": round(self.regularity, 3),
            "alike_sizes": round(self.sizes, 3),
            "evenness": round(self.evenness, 3),
            "persistence": round(self.persistence, 3),
        }


def judged(times_s: np.ndarray, sizes: np.ndarray, span_s: float, settings: Patterns) -> Beacon:
    """RITA's score of calls (start times [s], bytes sent in each) of the last `span_s`.

    The mean of four: how alike the gaps between calls are, how alike their sizes, how evenly they lie over time, how
    long they go on. Calls less than a second apart are one. Source: RITA 5 (analysis/beacons.go), with the span in
    place of its day: as there, less than a quarter of it is too short, and half of it is full persistence.
    """
    times = np.sort(times_s)
    times = times[np.concatenate([[True], np.diff(times) >= APART_S])] if len(times) else times
    span = float(times[-1] - times[0]) if len(times) else 0.0
    if len(times) < settings.beacon_calls:
        return Beacon(len(times), span, too_short=f"{len(times)} calls in {span:.0f} s")
    gaps = np.diff(times)
    return Beacon(
        calls=len(times),
        span_s=span,
        gap_s=float(np.median(gaps)),
        regularity=alike(gaps),
        sizes=alike(sizes),
        evenness=evenness(times),
        persistence=min(span / (span_s / 2), 1.0),
        chance=min(chance(gaps), chance_of_skipping(gaps)),
        too_short=f"{len(times)} calls in {span:.0f} s only" if span < span_s / 4 else "",
    )


def chance(gaps: np.ndarray) -> float:
    """The share of calls at random times (a Poisson process) whose gaps differ as little as these [s], from 0 to 1.

    Moran's test, with Bartlett's correction (Moran 1951; Cox and Lewis 1966, 6.3), of what the gaps have beyond the
    second that calls are apart at least. More than BARS gaps count as so many: many calls prove that they come not
    quite at random, which is not yet by the clock.
    """
    beyond = np.maximum(gaps - APART_S, LEAST_S)
    count = min(len(gaps), BARS)
    unlike = 2 * count * max(float(np.log(beyond.mean()) - np.log(beyond).mean()), 0.0)  # not below by rounding
    return float(scipy.special.chdtr(count - 1, unlike / (1 + (count + 1) / (6 * count))))


def chance_of_skipping(gaps: np.ndarray) -> float:
    """The same, where some calls are left out or lost: whose gaps are as near to whole numbers of one length, at most.

    The distances from whole numbers lie anywhere in (-1/2, 1/2) if the calls are random, so the sum of their squares is
    at most R² with no more probability than a ball of radius R has volume. Times FITS, since the length is fitted.
    """
    length = float(np.percentile(gaps, 25))
    for _ in range(3):  # least squares, as the whole numbers settle
        times = np.maximum(np.round(gaps / length), 1)
        length = float((gaps * times).sum() / (times * times).sum())
    count = min(len(gaps), BARS)
    square = count * max(float(np.mean((gaps / length - np.maximum(np.round(gaps / length), 1)) ** 2)), LEAST_S**2)
    volume = count / 2 * np.log(np.pi * square) - scipy.special.gammaln(count / 2 + 1)
    return float(np.exp(min(volume + np.log(FITS), 0.0)))


def alike(values: np.ndarray) -> float:
    """1 for values all the same, falling with their skew (Bowley 1920) and their deviation from the median."""
    return (1 - abs(skewness(values)) + closeness(values)) / 2


def skewness(values: np.ndarray) -> float:
    """Bowley's skewness by quartiles, -1 … 1; 0 where the middle half is too narrow to have one."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    if high - low <= NARROW * abs(middle) or middle in (low, high):
        return 0.0
    return float((low + high - 2 * middle) / (high - low))


def closeness(values: np.ndarray) -> float:
    """1 - the median absolute deviation as a share of the median; from 0 to 1."""
    middle = float(np.median(values))
    deviation = float(np.median(np.abs(values - middle)))
    if middle <= 0:
        return float(deviation == 0)
    return max(1 - deviation / middle, 0.0)


def evenness(times: np.ndarray) -> float:
    """1 - the coefficient of variation of the calls in equal parts of their span; from 0 to 1.

    As many parts as RITA has hours, but no more than leave four calls to each: fewer differ by chance.
    """
    bars = int(min(BARS, max(len(times) // 4, 2)))
    counts = np.histogram(times, bars)[0]
    return max(1 - float(counts.std() / counts.mean()), 0.0)
