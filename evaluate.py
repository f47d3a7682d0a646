"""Stage 5: results and labels → how good the detection is. The only stage that reads labels.

Reads   --labels FILE                   what each packet really is, .gz or not: CSV by packet (packet,label), by
                                        interval (start,end,source,destination,label) or by flow; Zeek's conn.log with
                                        a column label (TSV or JSON); the alerts in Suricata's eve.json
        dataset/captured_data.csv       the packets that detect.py looked at, or their capture file (--capture)
        results/labelled_packets.csv, anomalies.csv, incidents.csv
Writes  results/metrics.json            the figures (docs/evaluation.md says what each means)
        results/attacks.csv             one row per attack: found, by which incidents, after how long
        results/evaluation/*.png        ROC, precision and recall, recall per attack, scores over time beside the labels
        results/plots/                  the same curves for `dvc plots`, a file for each detector

Beside the results stand three trivial detectors on the same packets: an Isolation Forest on single packets, which
learns from --baseline if you name one, else from the judged capture itself; packets and destinations per source.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from netnormal import evaluation, figures, inputs, labels, stage, tables, tallies, trivial
from netnormal.settings import Evaluate

OURS = figures.OURS
DPI = 120
LEFT = {"detector", "attack", "forest", "pattern", "as", "incident", "severity", "title"}  # columns of words
MOST_SHOWN = 10  # false incidents that are told by title


def main(args: argparse.Namespace) -> str:
    results, settings = Path(args.results), args.settings.evaluate
    packets, rows = read_results(args.capture, results / "labelled_packets.csv", args)
    incidents = tables.read(results / "incidents.csv", tables.INCIDENTS)
    anomalies = tables.read(results / "anomalies.csv", tables.ANOMALIES)
    try:
        known = evaluation.truth(labels.read(args.labels), packets, settings.merge_labels)
    except ValueError as error:
        raise tables.InputError(args.labels, str(error), "give the labels of this capture") from error
    if not known.names:
        stage.log.warning("%s has no attack in this capture: only false incidents can be counted", args.labels)

    baseline = None if args.baseline is None else read_packets(args.baseline, args)
    scores = {OURS: rows["score"].to_numpy()} | trivial.scores(packets, baseline, args.jobs)
    quality, each, roc, pr = {}, {}, {}, {}
    for name, score in scores.items():
        quality[name], each[name] = evaluation.packet_figures(score, known, settings.false_positive_rate)
        roc[name], pr[name] = evaluation.curves(score, known)
    shortest = args.settings.extract_features.windows_s[0]
    seen, events = evaluation.alert_figures(known, packets, rows, incidents, anomalies, shortest)
    events = events.merge(each[OURS], on="attack")
    false = evaluation.incident_verdicts(known, packets, rows["incident_id"], incidents) == "false"

    output = args.output or results / "metrics.json"
    write(
        results / "attacks.csv", events.assign(start=events["start"].map(tables.iso), end=events["end"].map(tables.iso))
    )
    for name, by_detector in (("roc", roc), ("precision_recall", pr)):
        for detector, table in by_detector.items():
            write(results / "plots" / name / f"{detector}.csv", table)
    write(results / "plots" / "recall_per_attack.csv", each[OURS])
    draw(results / "evaluation", scores[OURS], packets["time"].to_numpy(), known, roc, pr, each, events, settings)
    recalls = dict(zip(events["attack"], events["recall"], strict=True))
    rate = {"false_positive_rate": settings.false_positive_rate}
    others = {name: quality[name] for name in scores if name != OURS}
    tables.write_json(output, quality[OURS] | rate | seen | {"recall_per_attack": recalls, "trivial": others})
    if not args.quiet:
        show(quality, events, settings.false_positive_rate)
        show_false(incidents[false], seen["false_incidents_per_hour"])
    alerts = f"{seen['false_incidents']} false of {seen['incidents']} incidents in {seen['hours'] * 60:,.1f} minutes"
    found = f"{seen['attacks_found']} of {seen['attacks']} attacks found"
    return f"ROC AUC {quality[OURS]['roc_auc']:.3f}; {found}; {alerts} → {output}"


def read_packets(path: str, args: argparse.Namespace) -> pd.DataFrame:
    wanted = ["packet", *trivial.COLUMNS]
    blocks = stage.progress(inputs.packet_blocks(path), f"reading {Path(path).name}", args)
    return tables.concat([tables.empty(tables.PACKETS)[wanted], *(block[wanted] for block in blocks)])


def read_results(capture: str, path: Path, args: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The packets of the capture, and for each what detect.py said of it; n rows both."""
    wanted = ["packet", *trivial.COLUMNS]
    packets, rows = [tables.empty(tables.PACKETS)[wanted]], [tables.empty(tables.LABELLED_PACKETS)]
    pairs = tallies.labelled(inputs.packet_blocks(capture), tables.blocks(path, tables.LABELLED_PACKETS), path)
    for block, mine in stage.progress(pairs, "reading packets", args):
        packets.append(block[wanted])
        rows.append(mine.astype({"label": "category", "incident_id": "category"}))
    if len(packets) == 1:
        raise tables.InputError(capture, "has no packets", "evaluate a capture with packets")
    return tables.concat(packets), tables.concat(rows)


def write(path: Path, table: pd.DataFrame) -> None:
    with tables.atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def draw(
    folder: Path,
    score: np.ndarray,
    time: np.ndarray,
    known: evaluation.Truth,
    roc: dict[str, pd.DataFrame],
    pr: dict[str, pd.DataFrame],
    each: dict[str, pd.DataFrame],
    events: pd.DataFrame,
    settings: Evaluate,
) -> None:
    """The four pictures."""
    best = pd.DataFrame({name: table["recall"] for name, table in each.items() if name != OURS}).max(axis=1)
    attacks = events[["attack", "found", "recall"]].assign(trivial=best.to_numpy())
    judged = known.attack[known.judged]
    timeline, bin_s = evaluation.score_timeline(score, time, known)
    pictures = {
        "roc": figures.roc(roc, settings.false_positive_rate),
        "precision_recall": figures.precision_recall(pr, float((judged >= 0).mean())),
        "recall_per_attack": figures.recall_per_attack(attacks, settings.false_positive_rate),
        "score_timeline": figures.score_timeline(timeline, bin_s, events),
    }
    for name, picture in pictures.items():
        with tables.atomic(folder / f"{name}.png") as temporary:
            temporary.write_bytes(picture.png(DPI))


def show(quality: dict[str, dict[str, float]], events: pd.DataFrame, false_positive_rate: float) -> None:
    """Print the two tables a person wants first: us beside the trivial detectors, and what became of each attack."""
    recall = f"recall at {false_positive_rate:g} FPR"
    compared = ("roc_auc", "mean_roc_auc", "average_precision", "recall", "mean_recall")
    rows = [[name.replace("_", " "), *(number(one[key], ".3f") for key in compared)] for name, one in quality.items()]
    show_table(["detector", "ROC AUC", "mean AUC", "average precision", recall, "mean recall"], rows)
    rows = [
        [
            str(row.attack),
            f"{row.packets:,}",
            number(row.roc_auc, ".3f"),
            number(row.recall, ".2f"),
            "yes" if row.by_forest else "no",
            "yes" if row.by_pattern else "no",
            number(row.time_to_detect_s, ".1f"),
            f"{row.incident_count}" if row.found else "none",
            str(row.patterns),
        ]
        for row in events.itertuples()
    ]
    titles = ["attack", "packets", "AUC", "recall", "forest", "pattern", "after [s]", "incidents", "as"]
    show_table(titles, rows)


def show_false(incidents: pd.DataFrame, per_hour: float) -> None:
    """Print what the false incidents were (rows of tables.INCIDENTS), worst first."""
    if incidents.empty:
        return
    print(f"{len(incidents)} false, {number(per_hour, ',.1f')} an hour:")
    shown = incidents.head(MOST_SHOWN)
    show_table(
        ["incident", "severity", "title"], shown[["incident_id", "severity", "title"]].astype(str).to_numpy().tolist()
    )
    if len(incidents) > MOST_SHOWN:
        print(f"… and {len(incidents) - MOST_SHOWN:,} more\n")


def show_table(titles: list[str], rows: Sequence[Sequence[str]]) -> None:
    terminal = Console() if sys.stdout.isatty() else Console(width=200, color_system=None)
    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=sys.stdout.isatty())
    for title in titles:
        table.add_column(Text(title), justify="left" if title in LEFT else "right")
    for row in rows:  # Text, since words from the network are no markup
        table.add_row(*(Text("".join(c if c.isprintable() else "?" for c in cell)) for cell in row))
    with terminal.capture() as text:
        terminal.print(table)
    print("\n".join(line.rstrip() for line in text.get().splitlines()), end="\n\n")


def number(value: object, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)  # type: ignore[call-overload]


def arguments() -> argparse.ArgumentParser:
    parser = stage.parser(__doc__)
    parser.add_argument("--labels", required=True, metavar="FILE", help="what each packet really is")
    parser.add_argument(
        "--capture",
        default="dataset/captured_data.csv",
        metavar="FILE",
        help="the packets that detect.py looked at: packet CSV or capture file (default: %(default)s)",
    )
    parser.add_argument("--results", default="results", metavar="DIR", help="of detect.py (default: %(default)s)")
    parser.add_argument(
        "--baseline", metavar="FILE", help="packets without attacks, for the trivial forest to learn from"
    )
    parser.add_argument("--output", metavar="JSON", help="default: metrics.json in the results' folder")
    return parser


if __name__ == "__main__":
    stage.run(main, arguments())
