"""How fast packets become features: one processor, all window lengths of params.yaml.

python benchmarks/features.py CAPTURE [--packets 1000000]

CAPTURE (a packet CSV or a capture file) is repeated, shifted in time, until there are enough packets. Kernels are
compiled before the clock starts; reading and writing files is not measured.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from netnormal import inputs, settings
from netnormal.features import SECOND, Window, Windower, features_of

PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture")
    parser.add_argument("--packets", type=int, default=1_000_000)
    args = parser.parse_args()
    chosen = settings.load(PARAMS).extract_features

    blocks = list(inputs.packet_blocks(args.capture))
    whole = sum(map(len, blocks))
    times = np.concatenate([block["time"].to_numpy() for block in blocks])
    shift = (int(times.max() - times.min()) // SECOND + 1) * SECOND
    features_of([largest_window(blocks[0], chosen)])

    windower = Windower(chosen)
    spent = {"cutting into windows": 0.0, "features": 0.0}
    rows = windows = 0
    for repeat in range(-(-args.packets // whole)):
        for block in blocks:
            shifted = block.assign(time=block["time"] + repeat * shift)
            clock = time.perf_counter()
            closed = windower.push(shifted)
            spent["cutting into windows"] += time.perf_counter() - clock
            clock = time.perf_counter()
            rows += len(features_of(closed))
            spent["features"] += time.perf_counter() - clock
            windows += len(closed)
    for name, seconds in spent.items():
        print(f"{name:28s} {seconds:6.2f} s")
    total = sum(spent.values())
    print(f"{windower.packets:,} packets, {windows} windows, {rows:,} rows: {total:.2f} s,", end=" ")
    print(f"{windower.packets / total:,.0f} packets/s")


def largest_window(packets: pd.DataFrame, chosen: settings.ExtractFeatures) -> Window:
    windower = Windower(chosen)
    return (windower.push(packets) + windower.flush())[-1]


if __name__ == "__main__":
    main()
