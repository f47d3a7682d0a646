"""How soon are regular calls a beacon, and how often are calls that are none? Simulated hours of calls to one place.

    python -m benchmarks.beacons [--hours 200]

Each hour is looked at once a minute, as detection does, by the last `beacon_window_s` and the last `beacon_memory_s`.
Prints for each kind of calls and mean gap the share of hours in which they are named, and after how long (median).
Calls are all of one size, unless the kind says `sizes`: then of sizes as pages have them (log-normal).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from netnormal import settings
from netnormal.patterns import beacons

HOUR_S, LOOK_S = 3600, 60
GAPS_S = (5, 20, 60, 120, 300)
Calls = Callable[[np.random.Generator, float, int], np.ndarray]


def by_the_clock(jitter: float, kept: float = 1.0) -> Calls:
    """Each call up to `jitter` of the gap too early or late, and only a share of them made."""

    def made(random: np.random.Generator, gap_s: float, count: int) -> np.ndarray:
        times = (1 + np.arange(count) + jitter * random.uniform(-1, 1, count)) * gap_s
        return np.sort(times[random.random(count) < kept])

    return made


def pausing(shape: float) -> Calls:
    """Pauses of a gamma distribution: at random times with shape 1, the more alike the larger."""
    return lambda random, gap_s, count: np.cumsum(random.gamma(shape, gap_s / shape, count))


KINDS: dict[str, tuple[Calls, bool]] = {
    "by the clock": (by_the_clock(0), True),
    "10 % jitter": (by_the_clock(0.1), True),
    "30 % jitter": (by_the_clock(0.3), True),
    "50 % jitter": (by_the_clock(0.5), True),
    "3 % jitter, a third left out": (by_the_clock(0.03, 2 / 3), True),
    "at random": (pausing(1), True),
    "at random, sizes": (pausing(1), False),
    "pauses somewhat alike": (pausing(2), True),
    "pauses somewhat alike, sizes": (pausing(2), False),
}


def named_after(times: np.ndarray, sizes: np.ndarray, chosen: settings.Patterns) -> float:
    """When the calls (start [s], bytes) are first named a beacon [s]; NaN: never."""
    for now in range(LOOK_S, HOUR_S + 1, LOOK_S):
        so_far = times <= now
        for span_s in (chosen.beacon_window_s, chosen.beacon_memory_s):
            if not so_far.any():
                continue
            recent = so_far & (times > times[so_far][-1] - span_s)
            if recent.sum() >= chosen.beacon_calls:
                found = beacons.judged(times[recent], sizes[recent], span_s, chosen)
                if found.score >= chosen.beacon_score and found.chance <= chosen.beacon_chance:
                    return float(now)
    return float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=200)
    hours = parser.parse_args().hours
    chosen = settings.load("params.yaml").detect.patterns
    print(f"| calls | {' | '.join(f'{gap} s apart' for gap in GAPS_S)} |\n|---|{'---|' * len(GAPS_S)}")
    for kind, (calls, one_size) in KINDS.items():
        cells = []
        for gap_s in GAPS_S:
            random = np.random.default_rng(1)
            after = []
            for _ in range(hours):
                times = calls(random, gap_s, 3 * HOUR_S // gap_s)
                times = times[times < HOUR_S]
                sizes = np.full(len(times), 500.0) if one_size else random.lognormal(6, 0.7, len(times)).round()
                after.append(named_after(times, sizes, chosen))
            found = np.array(after)[~np.isnan(after)]
            cells.append(f"{len(found) / hours:.1%}" + (f", {np.median(found):.0f} s" if len(found) else ""))
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
