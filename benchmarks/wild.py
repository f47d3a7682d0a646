"""Labelled captures of other networks, one after the other: learn from what is benign of each, judge the rest.

    python -m benchmarks.wild CAPTURE … [--seeds 5]

Beside NAME.pcap lie its labels, NAME.labels.csv.gz, and perhaps NAME.benign.pcap, the same network without the attack.
That is the baseline; without it, the packets before the first attack are. A baseline too short for a forest leaves the
named patterns. The second line of each capture judges it `by itself`: it is its own baseline, attack and all. Figures
are of all seeds; `false` names every false incident once.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import detection as benchmark
from netnormal import evaluation, model, settings

LEAST = 2  # packets of a baseline: one has no time


def split(path: Path, chosen: settings.Settings) -> tuple[pd.DataFrame, pd.DataFrame, evaluation.Truth, str]:
    """Baseline (perhaps empty), packets to judge, the truth about these, and where the baseline is from."""
    packets, known = benchmark.labelled(str(path), str(path.with_suffix(".labels.csv.gz")), chosen)
    benign = path.with_suffix(".benign.pcap")
    if benign.exists():
        return benchmark.packets_of(str(benign)), packets, known, "a capture without the attack"
    first = int(np.argmax(known.attack >= 0))
    rest = packets.iloc[first:].reset_index(drop=True)
    truth = evaluation.Truth(known.names, known.attack[first:], known.judged[first:])
    return packets.iloc[:first].reset_index(drop=True), rest, truth, "what came before the attack"


def line(words: str, rows: pd.DataFrame, packets: pd.DataFrame, known: evaluation.Truth,
         chosen: settings.Settings, seeds: int) -> tuple[str, list[str]]:  # fmt: skip
    """A line of the table, and the titles of false incidents."""
    runs = []
    for seed in range(1, seeds + 1):
        train = replace(chosen.train_model, seed=seed)
        runs.append(benchmark.judge(rows, packets, known, replace(chosen, train_model=train)))
    made = model.Model.fit(rows, chosen.train_model, jobs=2)
    lengths = ", ".join(map(str, made.windows)) or "none"
    attacks = pd.concat([run["attacks"] for run in runs])
    patterns = " ".join(dict.fromkeys(" ".join(attacks["patterns"]).split())) or "–"
    auc = benchmark.interval([run["with patterns"]["roc_auc"] for run in runs])
    trials = len(attacks)
    false = benchmark.interval([run["incidents"]["false_incidents"] for run in runs], ".1f")
    after = attacks["time_to_detect_s"].median()
    cells = [words, lengths, auc, f"{attacks['by_forest'].sum()}/{trials}", f"{attacks['found'].sum()}/{trials}"]
    cells += [patterns, "–" if np.isnan(after) else f"{after:.1f}", false]
    return f"| {' | '.join(cells)} |", [title for run in runs for title in run["false"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path, metavar="CAPTURE")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    print("| capture | learnt from | windows with a forest [s] | ROC AUC ", end="")
    print("| found by forest | found | as | after [s] | false |")
    print("|---|---|---|---|---|---|---|---|---|")
    titles: dict[str, None] = {}
    for path in args.captures:
        before, packets, known, origin = split(path, chosen)
        whole, truth = benchmark.labelled(str(path), str(path.with_suffix(".labels.csv.gz")), chosen)
        name = path.name.removesuffix(".pcap")
        if len(before) < LEAST:
            print(f"| {name} | nothing: it begins with the attack | | | | | | | |")
        else:
            span = np.ptp(before["time"].to_numpy()) / 1e9
            words = f"{name} | {origin}, {len(before):,} packets in {span:,.0f} s"
            told, false = line(words, benchmark.feature_table(before, chosen), packets, known, chosen, args.seeds)
            titles |= dict.fromkeys(f"{name}: {title}" for title in false)
            print(told, flush=True)
        told, false = line(
            f"{name} | itself, {len(whole):,} packets",
            benchmark.feature_table(whole, chosen),
            whole,
            truth,
            chosen,
            args.seeds,
        )
        titles |= dict.fromkeys(f"{name}, by itself: {title}" for title in false)
        print(told, flush=True)
    print(*titles, sep="\n")


if __name__ == "__main__":
    main()
