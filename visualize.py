"""Stage 4: what was captured and what was found → pictures and one page to read.

Reads   dataset/captured_data.csv            the packets that detect.py looked at (--capture)
        results/labelled_packets.csv, anomalies.csv, incidents.csv, incidents.json, notices.csv, summary.json
Writes  results/figures/*.png, results/plots/*.csv (for `dvc plots`), results/report.html

Open results/report.html in any browser; it is complete in itself and needs no network.
"""

from __future__ import annotations

import argparse
import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from netnormal import documents, figures, inputs, notices, report, stage, suppressions, tables, tallies

PAGE_DPI = 150  # of the pictures in the report, at most: it is to stay small enough to send


def main(args: argparse.Namespace) -> str:
    results, output = Path(args.results), Path(args.output)
    settings = args.settings.visualize
    incidents = tables.read(results / "incidents.csv", tables.INCIDENTS)
    details = {one["incident_id"]: one for one in documents.read(results / "incidents.json")}
    if not set(incidents["incident_id"]) <= details.keys():
        raise tables.InputError(
            results / "incidents.json", "has other incidents than incidents.csv", "run  python detect.py"
        )
    rules = suppressions.read(args.suppressions, optional=args.suppressions == suppressions.FILE)
    incidents, hidden = rules.split(incidents)
    new, old = rules.notices(tables.read(results / "notices.csv", tables.NOTICES))
    summary, about = summed_up(results / "summary.json", new)
    found = tallies.conversations(tables.blocks(results / "anomalies.csv", tables.ANOMALIES))
    labels = results / "labelled_packets.csv"
    seen = tallies.Tallies()
    pairs = tallies.labelled(inputs.packet_blocks(args.capture), tables.blocks(labels, tables.LABELLED_PACKETS), labels)
    for packets, rows in stage.progress(pairs, "reading packets", args):
        seen.push(packets, rows)
    drawings = pictures(seen, found, incidents, summary, settings.top_hosts)

    dpi = min(settings.dpi, PAGE_DPI)
    with stage.workers(args):
        work = joblib.Parallel(return_as="generator")(joblib.delayed(looks)(draw, dpi) for draw in drawings.values())
        made = dict(zip(drawings, stage.progress(work, "drawing", args, len(drawings)), strict=True))

    with contextlib.ExitStack() as whole:  # nothing is replaced before everything is made
        for name, pngs in made.items():
            png = pngs["light"] if dpi == settings.dpi else drawings[name](figures.LIGHT).png(settings.dpi)
            whole.enter_context(tables.atomic(output / f"{name}.png")).write_bytes(png)
        whole.enter_context(tables.atomic(results / "plots" / "traffic.csv")).write_text(plotted(seen), "utf-8")
        page = report.page(
            made,
            incidents,
            details,
            subject=f"{Path(args.capture).name}, {report.span(seen.start, seen.end) if seen.packets else 'no packets'}",
            about=about,
            new=new,
            hidden=rules.told(hidden, summary.get("end"), old),
        )
        whole.enter_context(tables.atomic(results / "report.html")).write_text(page, "utf-8")
    return f"{len(made)} figures in {output}; {report.headline(incidents)}: open {results / 'report.html'}"


def looks(draw: partial[figures.Picture], dpi: int) -> dict[str, bytes]:
    """A picture as PNG in each look."""
    return {name: draw(look).png(dpi) for name, look in figures.LOOKS.items()}


def summed_up(path: Path, new: pd.DataFrame) -> tuple[dict[str, Any], report.Facts]:
    """What detect.py summed up, and the same in words, with the notices (tables.NOTICES) that are shown now."""
    remedy = "make it with  python detect.py"
    summary = tables.read_json(path, remedy)
    try:
        summary["detection"]["notices"] = notices.counts(new)
        return summary, report.facts(summary)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise tables.InputError(path, f"is no summary of packets ({error!r})", remedy) from error


def pictures(
    seen: tallies.Tallies, found: tallies.Found, incidents: pd.DataFrame, summary: dict[str, Any], count: int
) -> dict[str, partial[figures.Picture]]:
    """By file name, what draws each picture in a given look."""
    return {
        "incidents": partial(figures.timeline, incidents, (seen.start, seen.end) if seen.packets else None),
        "scores": partial(figures.scores, seen.scores.table(), seen.scores.bin_s, found.threshold, incidents),
        "anomalies": partial(figures.anomalies, found.table, count),
        "traffic_volume": partial(figures.traffic, seen.every_bin(), seen.traffic.bin_s),
        "throughput": partial(figures.throughput, seen.throughput.table(), seen.throughput.bin_s),
        "protocols": partial(
            figures.protocols, pd.DataFrame(summary["protocols"], columns=["protocol", "packets", "bytes"])
        ),
        "top_sources": partial(figures.top_hosts, seen.sources.table(), "source", count),
        "top_destinations": partial(figures.top_hosts, seen.destinations.table(), "destination", count),
        "packet_sizes": partial(figures.packet_sizes, seen.sizes.table()),
        "handshake_latency": partial(figures.handshakes, seen.handshakes()),
    }


def plotted(seen: tallies.Tallies) -> str:
    """Traffic over time as CSV for `dvc plots`."""
    series, bin_s = seen.every_bin(), seen.traffic.bin_s
    table = pd.DataFrame(
        {
            "time": [tables.iso(time) for time in series["time"]],
            "packets_per_s": (series["packets"] / bin_s).round(3),
            "mbit_per_s": (series["bytes"] * 8e-6 / bin_s).round(6),
        }
    )
    return table.to_csv(index=False, lineterminator="\n")


def arguments() -> argparse.ArgumentParser:
    made = stage.parser(__doc__, prog="visualize.py")
    made.add_argument(
        "--capture", default="dataset/captured_data.csv", metavar="FILE", help="packets (default: %(default)s)"
    )
    made.add_argument(
        "--results", default="results", metavar="FOLDER", help="what detect.py wrote (default: %(default)s)"
    )
    made.add_argument(
        "--output", default="results/figures", metavar="FOLDER", help="for the figures (default: %(default)s)"
    )
    made.add_argument(
        "--suppressions",
        default=suppressions.FILE,
        metavar="CSV",
        help="incidents not to show (default: %(default)s)",
    )
    return made


if __name__ == "__main__":
    stage.run(main, arguments())
