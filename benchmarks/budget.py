"""Does a model keep its promise? Trains on the first part of benign captures, and judges what came after.

    python -m benchmarks.budget BENIGN … [--share 0.6667] [--seeds 5]

Every incident is a false one. Named patterns and the forest's own (`unusual_behaviour`) are counted apart, and each
kind of incident is named once, with its title. A capture too short for a forest is judged by patterns alone.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import detection as benchmark
from netnormal import detection, model, settings, tables

SECOND = 1_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", metavar="BENIGN")
    parser.add_argument("--share", type=float, default=2 / 3, help="of the packets, to learn from")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    print("| capture | learnt from | judged | windows with a forest [s] | named incidents | unusual behaviour ", end="")
    print("| promise |\n|---|---|---|---|---|---|---|")
    titles: dict[str, str] = {}
    for path in args.captures:
        packets = benchmark.packets_of(path).sort_values("time", kind="stable", ignore_index=True)
        packets = packets.assign(packet=np.arange(1, len(packets) + 1))
        cut = round(args.share * len(packets))
        rows = benchmark.feature_table(packets.iloc[:cut], chosen)
        named, unusual = [], []
        for seed in range(1, args.seeds + 1):
            made = model.Model.fit(rows, replace(chosen.train_model, seed=seed), jobs=2)
            run = detection.Detection(made, chosen)
            run.push(packets.iloc[cut:].reset_index(drop=True))
            run.flush()
            incidents = run.finish({}).incidents
            pattern = incidents["pattern"].astype(str)
            unusual.append(float((pattern == tables.UNUSUAL).sum()))
            named.append(float(len(incidents) - unusual[-1]))
            for kind, title in zip(pattern, incidents["title"].astype(str), strict=True):
                titles.setdefault(f"{Path(path).name}: {kind}", title)
        times = packets["time"].to_numpy()
        spans = [f"{np.ptp(part) / 60 / SECOND:,.1f} min" for part in (times[:cut], times[cut:])]
        lengths = " ".join(map(str, made.windows)) or "none"
        print(
            f"| {Path(path).name} | {spans[0]} | {spans[1]}, {len(packets) - cut:,} packets | {lengths} "
            f"| {benchmark.interval(named, '.1f')} | {benchmark.interval(unusual, '.1f')} | {made.promise()} |",
            flush=True,
        )
    print(*(f"{name}: {title}" for name, title in titles.items()), sep="\n")


if __name__ == "__main__":
    main()
