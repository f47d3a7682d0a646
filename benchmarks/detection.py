"""How good is the detection, and what does a setting do to it? Trains on one capture, judges a labelled one.

    python benchmarks/detection.py BASELINE CAPTURE LABELS [--seeds 5] [--try trees=100] [--try rows_per_tree=256] …

Prints a line for the settings in params.yaml and one for each --try, which changes settings of train_model
(several at once: --try trees=100,range_extension_share=0). Figures are means over the seeds, with the lowest and
highest ROC AUC. `forest` judges by conversations alone; `with patterns` is what detect.py writes.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import replace

import numpy as np
import pandas as pd
import yaml

from netnormal import detection, evaluation, features, inputs, model, settings, tables


def feature_table(path: str, chosen: settings.Settings) -> pd.DataFrame:
    windower = features.Windower(chosen.extract_features)
    parts = [features.features_of(windower.push(block)) for block in inputs.packet_blocks(path)]
    return tables.concat([part for part in [*parts, features.features_of(windower.flush())] if len(part)])


def judge(baseline: pd.DataFrame, packets: pd.DataFrame, known: evaluation.Truth, chosen: settings.Settings) -> dict:
    """The figures of one model."""
    made = model.Model.fit(baseline, chosen.train_model, jobs=2)
    run = detection.Detection(made, chosen)
    run.push(packets)
    run.flush()
    found = run.finish({})
    figures = {}
    for name, score in (("forest", run.row_scores), ("with patterns", found.labelled_packets["score"].to_numpy())):
        figures[name], _ = evaluation.packet_figures(score, known, chosen.evaluate.false_positive_rate)
    seen, _ = evaluation.alert_figures(
        known, packets, found.labelled_packets, found.incidents, found.anomalies, chosen.extract_features.windows_s[0]
    )
    return figures | {"incidents": seen}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("baseline", "capture", "labels"):
        parser.add_argument(name)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="NAME=VALUE,…")
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    baseline = feature_table(args.baseline, chosen)
    packets = tables.concat(list(inputs.packet_blocks(args.capture)))
    labels = tables.read(args.labels, tables.identify(args.labels, [tables.PACKET_LABELS, tables.INTERVAL_LABELS]))
    known = evaluation.truth(labels, packets, chosen.evaluate.merge_labels)
    print("| settings | judged by | ROC AUC (lowest, highest) | mean AUC | recall | mean recall | found | false |")
    print("|---|---|---|---|---|---|---|---|")
    for words in ["", *args.tries]:
        changes = {
            name: yaml.safe_load(value) for name, value in (part.split("=") for part in words.split(",") if part)
        }
        runs = []
        for seed in range(1, args.seeds + 1):
            train = replace(chosen.train_model, seed=seed, **changes)
            runs.append(judge(baseline, packets, known, dataclasses.replace(chosen, train_model=train)))
        for name in ("forest", "with patterns"):
            auc = [run[name]["roc_auc"] for run in runs]
            mean = {key: np.mean([run[name][key] for run in runs]) for key in runs[0][name]}
            seen = {
                key: np.mean([run["incidents"][key] for run in runs]) for key in ("attacks_found", "false_incidents")
            }
            alerts = f"{seen['attacks_found']:.1f} | {seen['false_incidents']:.1f}" if name != "forest" else "– | –"
            print(
                f"| {words or 'params.yaml'} | {name} | {mean['roc_auc']:.3f} ({min(auc):.3f}, {max(auc):.3f}) "
                f"| {mean['mean_roc_auc']:.3f} | {mean['recall']:.3f} | {mean['mean_recall']:.3f} | {alerts} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
