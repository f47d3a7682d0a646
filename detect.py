"""Stage 3: features and model → what is not normal, and why.

Reads   dataset/features.csv             (docs/schemas.md#features), with the packets behind it, --capture;
        or, by --input, a new capture    captured CSV, features CSV, pcap or pcapng, gzipped or not, or a folder of
                                         captures: it finds out which
        models/isolation_forest.pkl
Writes  results/scores.csv               every conversation and window with its score
        results/anomalies.csv            those at or over the threshold, with reasons in words
        results/labelled_packets.csv     every packet: score, normal or anomalous, its incident
        results/incidents.csv and .json  anomalies and named patterns of one story merged, worst first
        results/notices.csv              what is new and no incident: hosts, services, contacts
        results/eve.json                 incidents for other tools: Suricata's EVE alerts, one a line
        results/summary.json             statistics of the traffic, and whether the capture was sound
        results/evidence/                with --evidence: a folder for each incident that is not suppressed, with its
                                         packets, a picture and its story

A window that spans the end of the input is closed at the end.

With --follow: judges --capture while capture.py writes it, prints each incident as it forms, and writes results/live/:
scores.csv, anomalies.csv, incidents.csv and .json, eve.json, status.json (docs/operations.md). Ctrl+C ends it; the next
time it goes on where it was.

--feedback I1234abcd=benign (or malicious; repeatable) judges no traffic: it keeps what you found out about an incident
in dataset/feedback.csv, which the next  python train_model.py  reads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from netnormal import (
    detection,
    evidence,
    feedback,
    follow,
    frames,
    inputs,
    model,
    notices,
    sinks,
    stage,
    suppressions,
    tables,
    threats,
    traffic,
    verdict,
)


def main(args: argparse.Namespace) -> str:
    if args.health:
        code, said = follow.health(Path(args.output, "live"))
        print(said)
        sys.exit(code)
    args.output = str(Path(args.output, "live")) if args.follow else args.output
    if args.test_alert:
        return sinks.test_alert(args.settings)
    if args.feedback:
        return feedback.given(args.feedback, args.output, args.reason)
    rules = suppressions.read(args.suppressions, optional=args.suppressions == suppressions.FILE)
    with (
        stage.workers(args),
        sinks.closing([*sinks.opened(args, args.settings, rules), *_kept(args, rules)]) as outlets,
    ):
        return (following if args.follow else batch)(args, rules, outlets)


def _kept(args: argparse.Namespace, rules: suppressions.Suppressions) -> list[sinks.Sink]:
    """What keeps evidence as incidents come; a batch run has all of them first."""
    settings, folder = args.settings.detect.evidence, Path(args.output, "evidence")
    wanted = args.evidence and args.follow
    return [evidence.LiveEvidence(folder, Path(args.capture), settings, rules)] if wanted else []


def following(args: argparse.Namespace, rules: suppressions.Suppressions, outlets: Sequence[sinks.Sink]) -> str:
    """A capture that still runs → files that grow with it, and each incident in a sentence."""
    if args.settings.detect.top_talkers:
        stage.log.warning("top_talkers in params.yaml is not for following: who is most active is not known yet")
    listed = threats.read(args.threats) if args.threats else None
    session = follow.Session(Path(args.capture), Path(args.output), args.model, args.settings, listed, outlets, rules)
    return session.run(args.quiet, args.until_eof)


def batch(args: argparse.Namespace, rules: suppressions.Suppressions, outlets: Sequence[sinks.Sink]) -> str:
    """All of the input → files that replace what lies there when all is judged."""
    made = model.load(args.model)
    stored = None if _is_packets(args.input) else detection.rows_by_window(tables.blocks(args.input, tables.FEATURES))
    packets = args.input if stored is None else _packets_behind(args)
    judge = detection.Detection(made, args.settings, _threats(args, packets), stored)
    output = Path(args.output)
    with ExitStack() as stack:
        scores = stack.enter_context(tables.writer(output / "scores.csv", tables.SCORES))
        anomalies = stack.enter_context(tables.writer(output / "anomalies.csv", tables.ANOMALIES))
        try:
            for judged in _judged(judge, packets, stored, args):
                for table in judged.scores:
                    scores.append(table)
                    for sink in outlets:
                        sink.scores(table)
                for table in judged.anomalies:
                    anomalies.append(table)
        except ValueError as error:
            remedy = "run  python extract_features.py  again, or name the packets behind the features with --capture"
            raise tables.InputError(args.input, f"does not fit {packets}: {error}", remedy) from error
        if not scores.rows:
            raise tables.InputError(args.input, "has no packets", "capture some traffic first")
        found = judge.finish(inputs.manifest(packets) if packets else {})
        shown, hidden = rules.split(found.incidents)
        new, old = rules.notices(found.notices)
        counted = {"notices": notices.counts(new), "notices_suppressed": old}
        found.summary["detection"] |= {"suppressed": len(hidden)} | counted
        tables.write(output / "labelled_packets.csv", tables.LABELLED_PACKETS, found.labelled_packets)
        tables.write(output / "incidents.csv", tables.INCIDENTS, found.incidents)
        tables.write_json(output / "incidents.json", found.documents)
        tables.write(output / "notices.csv", tables.NOTICES, found.notices)
        tables.write_json(output / "summary.json", found.summary)
        for sink in outlets:
            sink.incidents(found.documents)
    if not args.quiet:
        verdict.show(shown, found.summary, rules.told(hidden, found.summary.get("end"), old))
    if args.evidence:
        told = [document for document in found.documents if rules.reason(document) is None]
        settings = args.settings.detect.evidence
        evidence.write(output / "evidence", told, evidence.pcaps(packets or args.capture), settings)
    return f"{scores.rows:,} conversations judged → {output}/ (incidents.csv has reasons and Wireshark filters)"


def _judged(
    judge: detection.Detection, packets: str | None, stored: Iterator[pd.DataFrame] | None, args: argparse.Namespace
) -> Iterator[detection.Judged]:
    if packets:
        for block in stage.progress(inputs.packet_blocks(packets), "Judging packets", args):
            yield judge.push(block)
    else:
        for rows in stored or ():
            yield judge.push_rows(rows)
    yield judge.flush()


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
    add("--evidence", action="store_true", help="keep each incident's packets, picture and story in results/evidence/")
    add(
        "--indicators", metavar="FILE", help="incidents for block lists and the like: CSV, or STIX 2.1 if FILE is .json"
    )
    alive = parser.add_argument_group("while a capture runs")
    alive.add_argument("--follow", action="store_true", help="judge --capture as it grows, into results/live/")
    alive.add_argument("--until-eof", action="store_true", help="... and end when standard input does")
    alive.add_argument("--health", action="store_true", help="how --follow fares: exit code 0 ok, 1 degraded, 2 dead")
    add(
        "--feedback",
        action="append",
        metavar="ID=VERDICT",
        help="judge nothing; keep that incident ID was benign or malicious",
    )
    add("--reason", default="", metavar="TEXT", help="why, kept with --feedback")
    sinks.options(parser)
    sinks.alert_options(parser)
    return parser


if __name__ == "__main__":
    if "--until-eof" in sys.argv:
        stage.outlive_reader()
    stage.run(main, arguments())
