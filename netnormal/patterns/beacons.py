"""Beacons: a host that calls a new place again and again, as regularly as only a program does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netnormal.patterns.view import SECOND, Evidence, Finding, View, by_group, groups
from netnormal.settings import Patterns

BARS = 24  # a window is judged as RITA judges a day: by its 24 hours
NARROW = 0.2  # a middle half narrower than this share of the median has no skew worth measuring (RITA: 10 s)


@dataclass(frozen=True)
class Beacon:
    """RITA's score of calls, each part from 0 to 1; `too_short` says why they cannot be judged, else empty."""

    calls: int
    span_s: float
    gap_s: float = 0.0
    regularity: float = 0.0
    sizes: float = 0.0
    evenness: float = 0.0
    persistence: float = 0.0
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


def beacons(view: View, settings: Patterns) -> list[Finding]:
    """Calls by one host of the network to one service of a host it never talked to in the baseline, with a high score
    of RITA's. T1071. Needs a baseline, since much of what is honest calls regularly too.

    A call is a connection or exchange that begins in the window; what goes on within one is no call. Services that are
    called by the clock by design (`beacon_usual_ports`, over UDP) and what nobody answers do not count.
    What looks like one and is too short to judge is a `short_beacon`, which is told and is no incident.
    """
    if view.known is None or view.window_s < settings.beacon_window_s:
        return []
    begins = view.answered & (
        (view.protocol("TCP") & (view.ints("syn_out") > 0))
        | (view.protocol("UDP") & ~np.isin(view.ints("dst_port"), settings.beacon_usual_ports))
    )
    rows = np.flatnonzero(begins)
    if len(rows) < settings.beacon_calls:
        return []
    group, first = groups(view.source[rows], view.destination[rows], view.service[rows])
    wanted = np.flatnonzero(np.bincount(group, minlength=len(first)) >= settings.beacon_calls)
    findings = []
    for members in by_group(group, wanted, len(first)):
        flows = rows[members]
        source, destination, _ = view.talk(int(flows[0]))
        if view.known.met(source, destination) or not view.known.inside(source):
            continue
        sizes = view.ints("payload_out")[flows]
        found = judged(view.ints("first_packet")[flows] / SECOND, sizes, view.window_s, settings)
        enough = settings.beacon_score if found.calls >= BARS else settings.beacon_score_of_few
        if found.too_short and found.likeness >= enough:
            short: Evidence = {
                "calls": found.calls,
                "gap_s": round(found.gap_s, 1),
                "calling_s": round(found.span_s, 1),
            }
            findings.append(view.finding("short_beacon", flows, source, short))
        if found.score < enough:
            continue
        evidence: Evidence = {
            "calls": found.calls,
            "gap_s": round(found.gap_s, 1),
            "bytes_each": round(float(np.median(sizes))),
            "beacon_score": round(found.score, 3),
            "regularity": round(found.regularity, 3),
            "alike_sizes": round(found.sizes, 3),
            "evenness": round(found.evenness, 3),
            "persistence": round(found.persistence, 3),
        }
        findings.append(view.finding("beacon", flows, source, evidence))
    return findings


def judged(times_s: np.ndarray, sizes: np.ndarray, window_s: float, settings: Patterns) -> Beacon:
    """RITA's score of calls (start times [s], bytes sent in each) seen in a window of `window_s`.

    The mean of four: how alike the gaps between calls are, how alike their sizes, how evenly they lie over time, how
    long they go on. Calls less than a second apart are one. Source: RITA 5 (analysis/beacons.go), with the window in
    place of its day: as there, less than a quarter of it is too short, and half of it is full persistence.
    """
    times = np.sort(times_s)
    times = times[np.concatenate([[True], np.diff(times) >= 1])] if len(times) else times
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
        persistence=min(span / (window_s / 2), 1.0),
        too_short=f"{len(times)} calls in {span:.0f} s only" if span < window_s / 4 else "",
    )


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
