"""Stage 3: features and model → what is not normal, and why.

Reads   dataset/features.csv             (docs/schemas.md#features), with the packets behind it, --capture;
        or, by --input, a new capture    captured CSV, features CSV, pcap or pcapng, gzipped or not, or a folder of
                                         captures: it finds out which
        models/isolation_forest.pkl
Writes  results/scores.csv               every conversation and window with its score
        results/anomalies.csv            those at or over the threshold, with reasons in words
        results/labelled_packets.csv     every packet: score, normal or anomalous, its incident
        results/incidents.csv and .json  anomalies and named patterns of one story merged, worst first
        results/summary.json             statistics of the traffic, and whether the capture was sound

A window that spans the end of the input is closed at the end.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from netnormal import detection, frames, inputs, model, sinks, stage, suppressions, tables, threats, traffic, verdict


def main(args: argparse.Namespace) -> str:
    made = model.load(args.model)
    rules = suppressions.read(args.suppressions, optional=args.suppressions == suppressions.FILE)
    stored = None if _is_packets(args.input) else detection.rows_by_window(tables.blocks(args.input, tables.FEATURES))
    packets = args.input if stored is None else _packets_behind(args)
    judge = detection.Detection(made, args.settings, _threats(args, packets), stored)
    output = Path(args.output)
    with stage.workers(args), ExitStack() as stack:
        outlets = stack.enter_context(sinks.closing(sinks.opened(args, args.settings, rules)))
        scores = stack.enter_context(tables.writer(output / "scores.csv", tables.SCORES))

        def judged(rows: pd.DataFrame) -> None:
            scores.append(rows)
            for sink in outlets:
                sink.scores(rows)

        try:
            if packets:
                for block in stage.progress(inputs.packet_blocks(packets), "Judging packets", args):
                    for table in judge.push(block):
                        judged(table)
                for table in judge.flush():
                    judged(table)
            for rows in (stored if not packets else None) or ():
                judged(judge.push_rows(rows))
        except ValueError as error:
            remedy = "run  python extract_features.py  again, or name the packets behind the features with --capture"
            raise tables.InputError(args.input, f"does not fit {packets}: {error}", remedy) from error
        if not scores.rows:
            raise tables.InputError(args.input, "has no packets", "capture some traffic first")
        found = judge.finish(inputs.manifest(packets) if packets else {})
        shown, hidden = rules.split(found.incidents)
        found.summary["detection"]["suppressed"] = len(hidden)
        tables.write(output / "anomalies.csv", tables.ANOMALIES, found.anomalies)
        tables.write(output / "labelled_packets.csv", tables.LABELLED_PACKETS, found.labelled_packets)
        tables.write(output / "incidents.csv", tables.INCIDENTS, found.incidents)
        documents = detection.documents(found.incidents)
        tables.write_json(output / "incidents.json", documents)
        tables.write_json(output / "summary.json", found.summary)
        for sink in outlets:
            sink.incidents(documents)
    if not args.quiet:
        verdict.show(shown, found.summary, rules.told(hidden, found.summary.get("end")))
    return f"{scores.rows:,} conversations judged → {output}/ (incidents.csv has reasons and Wireshark filters)"


def _is_packets(path: str) -> bool:
    if Path(path).is_dir() or frames.is_capture(path):
        return True
    return tables.identify(path, [tables.FEATURES, tables.PACKETS]) is tables.PACKETS


def _packets_behind(args: argparse.Namespace) -> str | None:
    """The packets that a features file was made from; without them there are neither patterns nor labelled packets."""
    if Path(args.capture).exists():
        return args.capture
    stage.log.warning("%s does not exist: judging conversations only, no named patterns, no packets.", args.capture)
    return None


def _threats(args: argparse.Namespace, packets: str | None) -> threats.ThreatList | None:
    busiest = args.settings.detect.top_talkers
    if not args.threats and not (busiest and packets):
        return None
    listed = threats.read(args.threats) if args.threats else threats.ThreatList()
    if busiest and packets:
        listed.add_addresses(traffic.top_talkers(inputs.packet_blocks(packets), busiest), "top_talkers in params.yaml")
    return listed


def arguments() -> argparse.ArgumentParser:
    parser = stage.parser(__doc__)
    add = parser.add_argument
    add("--input", default="dataset/features.csv", metavar="FILE", help="what to judge (default: %(default)s)")
    add(
        "--capture",
        default="dataset/captured_data.csv",
        metavar="FILE",
        help="the packets behind a features file (default: %(default)s)",
    )
    add("--model", default="models/isolation_forest.pkl", metavar="PKL", help="default: %(default)s")
    add("--output", default="results", metavar="FOLDER", help="default: %(default)s")
    add("--threats", metavar="FILE", help="known bad hosts: addresses, CIDRs, domains, or a hosts file")
    add("--suppressions", default=suppressions.FILE, metavar="CSV", help="incidents not to tell (default: %(default)s)")
    sinks.options(parser)
    return parser


if __name__ == "__main__":
    stage.run(main, arguments())
