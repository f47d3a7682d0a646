"""What does it cost to learn from a baseline that has attacks in it?

    python -m benchmarks.dirty BASELINE CAPTURE LABELS [--seeds 3] [--shares 0,0.001,0.01,0.05]

For each share, so much of the baseline becomes attack traffic, taken from CAPTURE, moved to other hosts of the same
network and to other times. Each kind of attack gives the same number of packets (fewer, if it has not so many), from
its first packet on. Then CAPTURE is judged, in two ways:

- `same`: every kind of attack is in the baseline. The worst case: what is judged is what was learnt.
- `other`: only every second kind is, and the others are judged, and the other way round. So the judged kinds are new.

Figures are means over the seeds, with the lowest; `forest` judges by conversations alone.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks import detection as benchmark
from benchmarks import forms
from netnormal import evaluation, settings, tables


def mixed(
    baseline: pd.DataFrame, packets: pd.DataFrame, known: evaluation.Truth, kinds: list[int], share: float, seed: int
) -> pd.DataFrame:
    """The baseline (tables.PACKETS) with so much of its packets (share) added from the attacks `kinds`."""
    random = np.random.default_rng(seed)
    left = round(share / (1 - share) * len(baseline))
    parts = [baseline]
    begin, end = int(baseline["time"].min()), int(baseline["time"].max())
    by_size = sorted(kinds, key=lambda kind: int(known.of(kind).sum()))
    for place, kind in enumerate(by_size):  # what small ones do not fill is left to the larger ones
        rows = np.flatnonzero(known.of(kind))[: left // (len(by_size) - place)]
        if not len(rows):
            continue
        left -= len(rows)
        part = packets.iloc[rows]
        time = part["time"].to_numpy()
        latest = max(end - int(np.ptp(time)), begin)
        part = part.assign(time=time - time[0] + random.integers(begin, latest + 1))
        parts.append(moved(part[part["time"] <= end], baseline, random))
    whole = tables.concat(parts).sort_values("time", kind="stable", ignore_index=True)
    return whole.assign(packet=np.arange(1, len(whole) + 1))


def moved(part: pd.DataFrame, baseline: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """The same packets between other hosts of the baseline's: a host with a hardware address of its own becomes another
    such host, one behind the router another behind it. Hosts that the baseline does not know stay as they are."""
    pairs = baseline[["src_mac", "src_ip"]].astype(object).dropna().value_counts().reset_index()
    pairs = pairs.drop_duplicates("src_ip")
    pairs["family"] = pairs["src_ip"].str.contains(":")
    others = pairs.groupby(["src_mac", "family"])["src_ip"].transform("size")
    new_ip, new_mac = {}, {}
    for (near, _), hosts in pairs.groupby([others <= 1, "family"]):
        order = random.permutation(len(hosts))
        new_ip |= dict(zip(hosts["src_ip"], hosts["src_ip"].to_numpy()[order], strict=True))
        if near:
            new_mac |= dict(zip(hosts["src_mac"], hosts["src_mac"].to_numpy()[order], strict=True))
    return forms.renamed(part, new_ip, new_mac)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("baseline", "capture", "labels"):
        parser.add_argument(name)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shares", default="0,0.001,0.01,0.05")
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    baseline = benchmark.packets_of(args.baseline)
    packets, known = benchmark.labelled(args.capture, args.labels, chosen)
    print("| attack packets in the baseline | kinds | forest: ROC AUC | mean AUC | mean recall ", end="")
    print("| found by forest | with patterns: mean recall | found | false |\n|---|---|---|---|---|---|---|---|---|")
    everything = list(range(len(known.names)))
    for share in map(float, args.shares.split(",")):
        for words, groups in (("same", [(everything, everything)]), ("other", [(everything[::2], everything[1::2])])):
            if words == "other":
                groups += [(judged, learnt) for learnt, judged in groups]
            if not share and words == "other":
                continue
            runs = []
            for seed in range(1, args.seeds + 1):
                train = replace(chosen.train_model, seed=seed)
                halves, false = [], []
                for learnt, judged in groups:
                    rows = benchmark.feature_table(mixed(baseline, packets, known, learnt, share, seed), chosen)
                    run = benchmark.judge(rows, packets, known, dataclasses.replace(chosen, train_model=train))
                    halves.append(run["attacks"].iloc[judged])
                    false.append(run["incidents"]["false_incidents"])
                attacks = pd.concat(halves)
                runs.append(
                    {
                        "roc_auc": np.average(attacks["forest_auc"], weights=attacks["packets"]),
                        "mean_auc": attacks["forest_auc"].mean(),
                        "mean_recall": attacks["forest_recall"].mean(),
                        "by_forest": attacks["by_forest"].sum(),
                        "recall": attacks["recall"].mean(),
                        "found": attacks["found"].sum(),
                        "false": np.mean(false),
                    }
                )
            table = pd.DataFrame(runs)
            mean, low = table.mean(), table.min()
            print(
                f"| {share:.1%} | {words if share else '–'} | {mean.roc_auc:.3f} ({low.roc_auc:.3f}) "
                f"| {mean.mean_auc:.3f} ({low.mean_auc:.3f}) | {mean.mean_recall:.3f} | {mean.by_forest:.1f} "
                f"| {mean.recall:.3f} | {mean.found:.1f} | {mean.false:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
