"""How good is the detection, and what does a setting do to it? Trains on one capture, judges a labelled one.

    python -m benchmarks.detection BASELINE CAPTURE LABELS [--seeds 5] [--forms 5] [--try trees=100] …

Prints a line for the settings in params.yaml and one for each --try, which changes settings of train_model
(several at once: --try trees=100,range_extension_share=0), then one per attack for the settings in params.yaml, and
what the false incidents were. With --forms so many other forms of CAPTURE (benchmarks.forms) are judged, each by a
forest of another seed, with the settings in params.yaml; an attack missed in one of them is named.
Figures are means over the seeds, with their 95 % confidence interval (Student's t). `forest` judges by conversations
alone; `with patterns` is what detect.py writes.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import yaml

from benchmarks import forms
from netnormal import detection, evaluation, features, inputs, model, settings, tables

FIGURES = ("roc_auc", "mean_roc_auc", "recall", "mean_recall")


def packets_of(path: str) -> pd.DataFrame:
    return tables.concat(list(inputs.packet_blocks(path)))


def feature_table(packets: pd.DataFrame, chosen: settings.Settings) -> pd.DataFrame:
    windower = features.Windower(chosen.extract_features)
    return features.features_of(windower.push(packets) + windower.flush())


def labelled(path: str, labels: str, chosen: settings.Settings) -> tuple[pd.DataFrame, evaluation.Truth]:
    packets = packets_of(path)
    table = tables.read(labels, tables.identify(labels, [tables.PACKET_LABELS, tables.INTERVAL_LABELS]))
    return packets, evaluation.truth(table, packets, chosen.evaluate.merge_labels)


def judge(
    baseline: pd.DataFrame, packets: pd.DataFrame, known: evaluation.Truth, chosen: settings.Settings
) -> dict[str, Any]:
    """The figures of one model: `forest`, `with patterns`, `incidents`; `attacks`, a table of one row each; `false`,
    the titles of false incidents."""
    made = model.Model.fit(baseline, chosen.train_model, jobs=2)
    run = detection.Detection(made, chosen)
    told = [run.push(packets), run.flush()]
    anomalies = pd.concat([tables.empty(tables.ANOMALIES), *(part for one in told for part in one.anomalies)])
    found = run.finish({})
    figures: dict[str, Any] = {}
    each = {}
    for name, score in (("forest", run.row_scores), ("with patterns", found.labelled_packets["score"].to_numpy())):
        figures[name], each[name] = evaluation.packet_figures(score, known, chosen.evaluate.false_positive_rate)
    seen, events = evaluation.alert_figures(
        known, packets, found.labelled_packets, found.incidents, anomalies, chosen.extract_features.windows_s[0]
    )
    forest = each["forest"].rename(columns={"roc_auc": "forest_auc", "recall": "forest_recall"})
    attacks = events.merge(each["with patterns"], on="attack").merge(forest.drop(columns="packets"), on="attack")
    verdicts = evaluation.incident_verdicts(known, packets, found.labelled_packets["incident_id"], found.incidents)
    false = found.incidents.loc[verdicts == "false", "title"].astype(str).tolist()
    return figures | {"incidents": seen, "attacks": attacks, "false": false}


def interval(values: list[float], form: str = ".3f") -> str:
    """Mean and half the width of its 95 % confidence interval."""
    mean, count = np.mean(values), len(values)
    if count < 2:
        return format(mean, form)
    half = scipy.stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count)
    return f"{mean:{form}} ± {half:{form}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("baseline", "capture", "labels"):
        parser.add_argument(name)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--forms", type=int, default=0)
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="NAME=VALUE,…")
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    baseline = feature_table(packets_of(args.baseline), chosen)
    packets, known = labelled(args.capture, args.labels, chosen)
    print("| settings | judged by | ROC AUC | mean AUC | recall | mean recall | found | of these named | false |")
    print("|---|---|---|---|---|---|---|---|---|")
    attacks, false = [], []
    for words in ["", *args.tries]:
        changes = {
            name: yaml.safe_load(value) for name, value in (part.split("=") for part in words.split(",") if part)
        }
        runs = []
        for seed in range(1, args.seeds + 1):
            train = replace(chosen.train_model, seed=seed, **changes)
            runs.append(judge(baseline, packets, known, dataclasses.replace(chosen, train_model=train)))
        if not words:
            attacks, false = [run["attacks"] for run in runs], [title for run in runs for title in run["false"]]
        show(words or "params.yaml", runs)
    if args.forms:
        before, runs = packets_of(args.baseline), []
        for seed in range(1, args.forms + 1):
            train = replace(chosen.train_model, seed=seed)
            other = forms.form(packets, known, before, seed)
            runs.append(judge(baseline, *other, dataclasses.replace(chosen, train_model=train)))
        show(f"{args.forms} other forms", runs)
        false += [title for run in runs for title in run["false"]]
        for seed, run in enumerate(runs, 1):
            for name in run["attacks"].loc[~run["attacks"]["found"], "attack"]:
                print(f"Not found in form {seed}: {name}")
    show_attacks(pd.concat(attacks), args.seeds)
    for title, count in collections.Counter(false).items():
        print(f"False, {count} times: {title}")


def show(words: str, runs: list[dict[str, Any]]) -> None:
    for name in ("forest", "with patterns"):
        cells = [interval([run[name][key] for run in runs]) for key in FIGURES]
        found = "attacks_found_by_forest" if name == "forest" else "attacks_found"
        for key in (found, "attacks_found_by_pattern", "false_incidents"):
            shown = key == found or name != "forest"
            cells.append(interval([run["incidents"][key] for run in runs], ".1f") if shown else "–")
        print(f"| {words} | {name} | {' | '.join(cells)} |", flush=True)


def show_attacks(attacks: pd.DataFrame, seeds: int) -> None:
    print("\n| attack | packets | forest: AUC | recall | found by forest | found | as | incidents | after [s] |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, rows in attacks.groupby("attack", sort=False):
        patterns = " ".join(dict.fromkeys(" ".join(rows["patterns"]).split()))
        print(
            f"| {name} | {rows['packets'].iloc[0]:,} | {interval(rows['forest_auc'].tolist())} "
            f"| {interval(rows['forest_recall'].tolist(), '.2f')} | {rows['by_forest'].sum()}/{seeds} "
            f"| {rows['found'].sum()}/{seeds} | {patterns or '–'} | {rows['incident_count'].mean():.1f} "
            f"| {rows['time_to_detect_s'].median():.1f} |"
        )
    print(f"\nMedian time to detect: {attacks['time_to_detect_s'].median():.1f} s")


if __name__ == "__main__":
    main()
