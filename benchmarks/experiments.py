"""What does each part of the features give, and what would others? Leaves out or adds some, and judges again.

    python -m benchmarks.experiments BASELINE CAPTURE LABELS [--forms 3] [--seeds 2] [--only NAME …]
                                     [--wild CAPTURE …] [--benign CAPTURE …] [--dirty 0.01]

A forest learns from BASELINE and judges CAPTURE and other forms of it (benchmarks.forms): what helps on one capture
alone is chance. Captures in --wild are learnt from and judged as benchmarks.wild does. Of captures in --benign, and of
BASELINE, the first two thirds are learnt from and the last is judged. With --dirty so much of BASELINE becomes attack
traffic of all kinds (benchmarks.dirty), and CAPTURE is judged once more. No named patterns; means over the seeds.

`false` are hosts and windows with a false row: in CAPTURE and its forms, in the mean, and in the benign thirds.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import compare, dirty, forms, ideas, wild
from benchmarks import detection as benchmark
from netnormal import evaluation, features, settings, tables

SETTINGS: dict[str, tuple[float, ...]] = {
    "trees": (100,),
    "rows_per_tree": (256, 4096),
    "range_extension_share": (0, 1),
    "range_extension_reach": (2, 5),
    "shrinkage_rows": (5, 100),
    "spread_floor": (0.1, 0.5),
}


@dataclass(frozen=True)
class Experiment:
    """`without`: a regular expression for names of features to leave out. `ideas`: names in benchmarks.ideas to add.
    `lengths`: of windows, all if empty. `slid`: windows that overlap by half as well. `both`: all features count both
    ways. `model`: another than the forest, by its name in benchmarks.compare."""

    without: str = ""
    ideas: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    slid: bool = False
    both: bool = False
    changes: dict[str, Any] = field(default_factory=dict)  # of train_model
    model: str = ""


EXPERIMENTS = {
    "as it is": Experiment(),
    "without entropy of peers, services, sizes": Experiment("(destinations|services|sources|payload_out)_entropy"),
    "without regularity": Experiment("regularity"),
    "without answered, failed, refused": Experiment("failed|rst_count|unanswered|unasked"),
    "without novelty": Experiment("^novelty"),
    "without DNS": Experiment("_dns_"),
    "without upload ratio": Experiment("upload_ratio"),
    "without sizes of payload": Experiment("payload_(out|in)_mean|per_flow|payload_out_entropy"),
    "without sums of payload": Experiment("payload_(out|in)_bytes"),
    "without peaks in a second": Experiment("peak"),
    "without durations and flows open at once": Experiment("most_open|duration"),
    "without odd flags, fragments, TTLs": Experiment("odd_flags|fragments|ttls"),
    "without hardware addresses": Experiment("odd_macs"),
    "without the source's context": Experiment("^source_"),
    "without the destination's context": Experiment("^destination_"),
    "without the conversation's own": Experiment("^conversation_"),
    "without the past of each host and service": Experiment(changes={"shrinkage_rows": 1_000_000_000}),
    "both directions of all features": Experiment(both=True),
    "windows of 10 s alone": Experiment(lengths=(10,)),
    "windows of 60 s alone": Experiment(lengths=(60,)),
    "windows of 10 and 60 s": Experiment(lengths=(10, 60)),
    "with change against the host's last windows": Experiment(ideas=("change",)),
    "with burstiness": Experiment(ideas=("burstiness",)),
    "with flows of the same size": Experiment(ideas=("alike",)),
    "with flows that begin alike": Experiment(ideas=("openings",)),
    **{f"{name} {value:g}": Experiment(changes={name: value}) for name, values in SETTINGS.items() for value in values},
    "the distance alone, without a forest": Experiment(model="distance alone"),
    "kNN instead of the forest": Experiment(model="kNN"),
    "forest and kNN": Experiment(model="forest and kNN"),
    "four forests": Experiment(model="forest, 4 groups"),
    "with windows that overlap by half": Experiment(slid=True),
}


@dataclass(frozen=True)
class Case:
    """What is learnt from, what is judged, and the place of its figures: capture, forms, dirty, benign, or a name."""

    baseline: pd.DataFrame
    captures: list[compare.Judged]
    places: list[str]


def describe(windows: list[features.Window]) -> pd.DataFrame:
    """Rows of features, and what all ideas would add."""
    rows = features.features_of(windows)
    for idea in ideas.IDEAS.values():
        found = [idea(ideas.Scene.of(window)) for window in windows]
        for name in found[0] if found else ():
            rows[name] = np.concatenate([one[name] for one in found])
    return rows.assign(**ideas.change(rows))


def thirds(packets: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first two thirds of the packets, and the last."""
    packets = packets.sort_values("time", kind="stable", ignore_index=True)
    packets = packets.assign(packet=np.arange(1, len(packets) + 1))
    cut = len(packets) * 2 // 3
    return packets.iloc[:cut], packets.iloc[cut:].reset_index(drop=True)


def cases(args: argparse.Namespace, chosen: settings.Settings, slid: bool) -> Iterator[Case]:
    def learnt(packets: pd.DataFrame) -> pd.DataFrame:
        return compare.windows_of(packets, chosen.extract_features, describe, slid)[1]

    def judged(packets: pd.DataFrame, known: evaluation.Truth) -> compare.Judged:
        return compare.Judged(packets, known, chosen, describe, slid)

    baseline = benchmark.packets_of(args.baseline)
    packets, known = benchmark.labelled(args.capture, args.labels, chosen)
    all_forms = [(packets, known)] + [forms.form(packets, known, baseline, i + 1) for i in range(args.forms)]
    places = ["capture"] + ["forms"] * args.forms
    yield Case(learnt(baseline), [judged(*one) for one in all_forms], places)
    if args.dirty:
        kinds = list(range(len(known.names)))
        mixed = dirty.mixed(baseline, packets, known, kinds, args.dirty, seed=1)
        yield Case(learnt(mixed), [judged(packets, known)], ["dirty"])
    for path in args.wild:
        before, rest, truth, _ = wild.split(path, chosen)
        yield Case(learnt(before), [judged(rest, truth)], [path.stem])
    for part in [baseline, *map(benchmark.packets_of, args.benign)]:
        first, last = thirds(part)
        none = evaluation.Truth((), np.full(len(last), -1, np.int32), np.ones(len(last), bool))
        yield Case(learnt(first), [judged(last, none)], ["benign"])


def way(one: Experiment) -> compare.Way:
    if one.model:
        return compare.WAYS[one.model]
    sides = {column.name: "both" if one.both else column.side for column in tables.FEATURE_COLUMNS}
    for idea in one.ideas:
        sides |= ideas.SIDES[idea]
    return compare.Of(compare.forest, lambda name: not (one.without and re.search(one.without, name)), sides)


def figures(one: Experiment, over: list[Case], chosen: settings.Settings, seeds: int) -> dict[str, pd.DataFrame]:
    """Place → a table of compare.Judged.figures, a row for each seed and capture."""
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(1, seeds + 1):
        trained = replace(chosen, train_model=replace(chosen.train_model, seed=seed, **one.changes))
        for case in over:
            rows = case.baseline
            if one.lengths:
                rows = rows[rows["window_s"].isin(one.lengths)]
            for place, told in zip(case.places, compare.compared(rows, case.captures, way(one), trained), strict=True):
                found.setdefault(place, []).append(told)
    return {place: pd.DataFrame(told) for place, told in found.items()}


def cells(told: dict[str, pd.DataFrame], places: list[str]) -> list[str]:
    found = []
    for place in ("capture", "forms", "dirty"):
        if place in told:
            mean = told[place].mean()
            found += [f"{mean[name]:.3f}" for name in ("mean_roc_auc", "mean_recall")] + [f"{mean['found']:.1f}"]
    found += [f"{told[place]['roc_auc'].mean():.3f}" for place in places]
    attacked = pd.concat([told[place]["false"] for place in ("capture", "forms") if place in told])
    return [*found, f"{attacked.mean():.1f}", f"{told['benign']['false'].mean():.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("baseline", "capture", "labels"):
        parser.add_argument(name)
    parser.add_argument("--forms", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(EXPERIMENTS), default=list(EXPERIMENTS))
    parser.add_argument("--wild", nargs="+", type=Path, default=[], metavar="CAPTURE")
    parser.add_argument("--dirty", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--benign", nargs="+", default=[], metavar="CAPTURE")
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    of_forms = ["forms: mean AUC", "mean recall", "found"] if args.forms else []
    of_dirty = ["dirty: mean AUC", "mean recall", "found"] if args.dirty else []
    names = [path.stem for path in args.wild]
    heads = [
        "experiment",
        "mean AUC",
        "mean recall",
        "found",
        *of_forms,
        *of_dirty,
        *(f"{name}: AUC" for name in names),
    ]
    print(f"| {' | '.join([*heads, 'false', 'in benign'])} |\n|{'---|' * (len(heads) + 2)}")
    over: dict[bool, list[Case]] = {}
    for name in args.only:
        one = EXPERIMENTS[name]
        if one.slid not in over:
            over = {one.slid: list(cases(args, chosen, one.slid))}
        told = figures(one, over[one.slid], chosen, args.seeds)
        print(f"| {name} | {' | '.join(cells(told, names))} |", flush=True)


if __name__ == "__main__":
    main()
