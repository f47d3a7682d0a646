"""Does a model keep its promise? Trains on the first part of benign captures, and judges what came after.

    python -m benchmarks.budget BENIGN … [--share 0.6667 | --parts 3] [--seeds 5]

With --parts it trains on each of so many parts alone and judges all the others, those before it too: what a baseline
that is too short to have seen everything makes of the rest.

Every incident is a false one. Named patterns and the forest's own (`unusual_behaviour`) are counted apart, and each
kind of incident is named once, with its title. A capture too short for a forest is judged by patterns alone.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import detection as benchmark
from netnormal import detection, model, settings, tables

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Split:
    """What is learnt from, and what is judged, each by itself; all in order of time."""

    learnt: pd.DataFrame
    judged: list[pd.DataFrame]


def splits(packets: pd.DataFrame, share: float, parts: int) -> Iterator[Split]:
    packets = packets.sort_values("time", kind="stable", ignore_index=True)
    packets = packets.assign(packet=np.arange(1, len(packets) + 1))
    edges = [0, round(share * len(packets))]
    if parts:
        edges = [round(i / parts * len(packets)) for i in range(parts + 1)]
    for first, last in itertools.pairwise(edges):
        around = (packets.iloc[:first], packets.iloc[last:])
        yield Split(packets.iloc[first:last], [part.reset_index(drop=True) for part in around if len(part)])


def minutes(packets: pd.DataFrame) -> float:
    return float(np.ptp(packets["time"].to_numpy())) / 60 / SECOND


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", metavar="BENIGN")
    parser.add_argument("--share", type=float, default=2 / 3, help="of the packets, to learn from")
    parser.add_argument("--parts", type=int, default=0, help="learn from each of so many parts instead")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    print("| capture | learnt from | judged | windows with a forest [s] | named incidents | unusual behaviour ", end="")
    print("| promise |\n|---|---|---|---|---|---|---|")
    titles: dict[str, str] = {}
    for path in args.captures:
        for split in splits(benchmark.packets_of(path), args.share, args.parts):
            rows = benchmark.feature_table(split.learnt, chosen)
            named, unusual = [], []
            for seed in range(1, args.seeds + 1):
                made = model.Model.fit(rows, replace(chosen.train_model, seed=seed), jobs=2)
                patterns = list[str]()
                for part in split.judged:
                    run = detection.Detection(made, chosen)
                    run.push(part)
                    run.flush()
                    incidents = run.finish({}).incidents
                    kinds = incidents["pattern"].astype(str).tolist()
                    patterns += kinds
                    for kind, title in zip(kinds, incidents["title"].astype(str), strict=True):
                        titles.setdefault(f"{Path(path).name}: {kind}", title)
                unusual.append(float(patterns.count(tables.UNUSUAL)))
                named.append(len(patterns) - unusual[-1])
            lengths = " ".join(map(str, made.windows)) or "none"
            judged = f"{sum(map(minutes, split.judged)):,.1f} min, {sum(map(len, split.judged)):,} packets"
            print(
                f"| {Path(path).name} | {minutes(split.learnt):,.1f} min | {judged} | {lengths} "
                f"| {benchmark.interval(named, '.1f')} | {benchmark.interval(unusual, '.1f')} | {made.promise()} |",
                flush=True,
            )
    print(*(f"{name}: {title}" for name, title in titles.items()), sep="\n")


if __name__ == "__main__":
    main()
