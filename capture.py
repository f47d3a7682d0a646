"""Stage 0: packets → packet table. Reads a capture file, or listens on an interface.

Reads   --read FILE: pcap or pcapng, also gzipped (`-`: standard input); else the live interface
Writes  dataset/captured_data.csv    (docs/schemas.md#captured_data), one row per packet
        dataset/captured_data.json   the manifest: source, losses, what was not decoded, checksum
        dataset/captured_data.pcap   the packets themselves (live, and --anonymize; --no-pcap: not)
        dataset/captures/            earlier live captures, and the segments of a long one (--rotate-…)

Examples
  python capture.py --read office.pcapng.gz
  sudo python capture.py --interface eth0 --duration 600
  sudo python capture.py --filter "not port 22"      (Ctrl+C ends it; what was captured is kept)
  sudo python capture.py --interface any --rotate-seconds 3600 --keep 24
  sudo python capture.py --interface eth0 --detect   (judged as it comes, by the model that was trained before)
  python capture.py --read office.pcapng --anonymize key --output shared.csv   (and shared.pcap)
  ssh router tcpdump -c 100000 -w - | python capture.py --read -

Stage 1 reads the CSV:  python extract_features.py
"""

from __future__ import annotations

from netnormal import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from rich.text import Text

from netnormal import anonymize, beside, earlier, frames, live, live_table, packets, recorder, sinks, stage, tables
from netnormal.manifest import Tally, sentence
from netnormal.tables import InputError


def main(args: argparse.Namespace) -> str:
    if args.list_interfaces:
        return live_table.interfaces(live.interfaces.listed(1.0))
    table = Path(args.output)
    with interrupts.Interrupts() as signals:
        return read(args, table, signals) if args.read else listen(args, table, signals)


def read(args: argparse.Namespace, table: Path, signals: interrupts.Interrupts) -> str:
    """A capture file → table and manifest, which replace what lies there when all is written."""
    stem = table.name.removesuffix(".gz").removesuffix(".csv")
    if stem == table.name.removesuffix(".gz") or Path(args.read).resolve() == table.resolve():
        raise InputError(table, "cannot be the output", "name another .csv or .csv.gz file with --output")
    if args.interface or args.filter or args.append:
        raise InputError(
            "--read", "does not go with --interface, --filter or --append", "filter with  tcpdump -r IN -w OUT"
        )
    if args.rotate_seconds or args.rotate_mb or args.keep:
        raise InputError("--read", "does not go with --rotate-seconds, --rotate-mb or --keep", "leave them out")
    if args.detect is not None:
        raise InputError("--read", "does not go with --detect", f"afterwards run  python detect.py --input {args.read}")
    key = anonymize.read_key(args.anonymize) if args.anonymize else None
    pcap, packed = table.with_name(f"{stem}.pcap"), None
    if key and Path(args.read).resolve() == pcap.resolve():
        raise InputError(pcap, "would be replaced by its anonymised copy", "name another file with --output")
    decoder, tally = packets.Decoder(), Tally(whole=key is None)
    if key and args.database:
        raise InputError("--anonymize", "does not go with --database", "read the anonymised pcap into it afterwards")
    base = sinks.database_of(args, args.settings.capture.database_rows, live=False)
    if base:
        base.start()
    with ExitStack() as files:
        files.enter_context(sinks.closing([base] if base else []))
        source: Any = files.enter_context(frames.open_capture(args.read, waiting=signals.check))
        source = anonymize.Anonymized(source, key) if key else source
        kept = sinks.Capture(source.name, lambda: frames.checksum(args.read))
        about = files.enter_context(tables.atomic(table.with_name(f"{stem}.json")))  # changes last
        out = files.enter_context(tables.writer(table, tables.PACKETS))
        part = files.enter_context(tables.atomic(pcap)) if key and not args.no_pcap else None
        line = files.enter_context(stage.terminal.status("reading") if args.terminal else nullcontext())
        written = Future[None]()
        written.set_result(None)
        with ThreadPoolExecutor(1) as behind:  # the writer, while the next block is decoded
            for block in frames.limited(source, args.count, args.duration):
                signals.check()
                tally.add(block)
                if part and len(block):
                    packed = packed or files.enter_context(frames.PcapWriter(part, int(block.link_type[0]), 0))
                    if (block.link_type != packed.link_type).any():
                        raise InputError(args.read, "has several link types", "leave out the pcap with --no-pcap")
                    packed.append(block)
                rows = decoder.decode(block)
                written.result()
                written = behind.submit(out.append, rows)
                if base:
                    base.packets(rows, kept)
                if line:
                    line.update(f"{tally.packets:,} packets")
            written.result()
        if part and not packed:
            packed = files.enter_context(frames.PcapWriter(part, 1, 0))
        checksum = {"sha256": packed.sha256()} if packed else {}
        manifest = tally.manifest({**source.about(), **checksum}, decoder.undecoded, source.problems)
        signals.then(lambda: None)  # too late to replace nothing: the files belong together
        about.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
        if base:
            base.ended(kept, manifest["sha256"])
        earlier.spare_live_capture(table, Path(args.read))
    for problem in source.problems:
        stage.log.warning("%s: %s", source.name, problem)
    return sentence(tally, table, sum(decoder.undecoded.values()))


def listen(args: argparse.Namespace, table: Path, signals: interrupts.Interrupts) -> str:
    """A live interface → table, pcap and manifest, which are whole at every moment."""
    if table.suffix != ".csv":
        raise InputError(
            table, "cannot be the output of a live capture", "name a .csv file, and compress it afterwards"
        )
    if args.append and (args.rotate_seconds or args.rotate_mb):
        raise InputError("--append", "does not go with --rotate-seconds or --rotate-mb", "leave out one of them")
    if args.keep and not (args.rotate_seconds or args.rotate_mb):
        raise InputError("--keep", "bounds nothing without segments", "add --rotate-seconds or --rotate-mb")
    if args.anonymize and (args.append or args.database):
        raise InputError("--anonymize", "does not go with --append or --database", "leave out one of them")
    key = anonymize.read_key(args.anonymize) if args.anonymize else None
    setting = args.settings.capture
    names, why = args.interface, ""
    if not names:
        name, why = live.interfaces.default()
        names, why = [name], f" ({why})"
    snaplen, buffer_bytes = args.snaplen or setting.snaplen, setting.buffer_mb << 20
    megabytes = args.rotate_mb and int(args.rotate_mb * 1e6)
    plan = recorder.Plan(table, not args.no_pcap, args.rotate_seconds, megabytes, args.keep, setting.drop_share)
    base = sinks.database_of(args, setting.database_rows, live=True)  # what it loads, it loads as root
    with live.LiveSource(names, args.filter, snaplen, args.duration, args.source, buffer_bytes) as opened:
        source: Any = anonymize.Anonymized(opened, key) if key else opened
        source.prepare()
        recorder.prepare(source.link_types[0])
        live_table.prepare()
        user = live.rights.drop(args.user, [args.log_file] if args.log_file else [])
        signals.then(source.stop)
        if base:
            base.start()
        before = earlier.continued(table, plan.pcap, source.about(), source.longest_frame) if args.append else None
        found = before.said if before else earlier.put_away(table)[1]
        if found:
            stage.log.info(found)
        source.start()
        with (
            live.rights.reading_as(user),
            beside.Detecting(table, *_detection(args), signals) if args.detect is not None else nullcontext(),
            sinks.closing([base] if base else []),
            recorder.Recorder(plan, source, before, [base.live_packets(source.name)] if base else []) as recording,
            live_table.LiveTable(stage.terminal, args.terminal, f"{source.name} → {table}") as screen,
        ):
            stage.log.info("listening on %s%s%s; Ctrl+C ends it", source.name, why, f" as {user}" if user else "")
            for block in frames.limited(source, args.count, args.duration):
                recording.put(block)
                screen.show(recording.state)
            for problem in source.problems:  # said now: the rest may take its time
                stage.log.warning("%s", problem)
    if not args.quiet:
        stage.terminal.print(live_table.table(recording.state))
    said = sentence(recording, table, recording.undecoded)
    if source.lost:
        print(said)
        raise InputError(f"interface {', '.join(source.lost)}", "went down while capturing", "what came before is kept")
    return said


def _detection(args: argparse.Namespace) -> tuple[list[str], dict[str, str], Callable[[str], None]]:
    """The options of detect.py beside us, its environment, and how to show what it says."""
    options = ["--params", args.params, *(["--quiet"] if args.quiet else []), *shlex.split(args.detect)]
    options += ["--log-file", args.log_file] if args.log_file else []
    if args.database is not None:
        options += ["--database", *([args.database] if args.database else [])]
        options += ["--keep-days", str(args.keep_days)] if args.keep_days else []
    environment = {"FORCE_COLOR": "1"} if args.terminal else {}

    def say(line: str) -> None:
        if args.terminal:
            stage.terminal.print(Text.from_ansi(line), soft_wrap=True)
        else:
            print(line, flush=True)

    return options, environment, say


def arguments() -> argparse.ArgumentParser:
    parser = stage.parser(__doc__)
    count, seconds = stage.number(1, int, "whole number from 1"), stage.number(0, float, "number above 0")
    parser.add_argument("--read", metavar="FILE", help="a capture file instead of an interface; - is standard input")
    parser.add_argument("--interface", action="append", metavar="I", help="may be repeated; any: all of them")
    parser.add_argument("--list-interfaces", action="store_true", help="show what there is to listen on, and end")
    parser.add_argument("--filter", metavar="BPF", help="capture only what this pcap-filter(7) expression matches")
    parser.add_argument("--count", type=count, metavar="N", help="end after N packets")
    parser.add_argument("--duration", type=seconds, metavar="S", help="end after S seconds")
    parser.add_argument("--output", default="dataset/captured_data.csv", metavar="FILE", help="default: %(default)s")
    parser.add_argument("--no-pcap", action="store_true", help="keep the table only, not the packets")
    secret = "replace addresses by keyed pseudonyms and cut payloads, to share it; 32 bytes of your own"
    parser.add_argument("--anonymize", metavar="KEYFILE", help=secret)
    alive = parser.add_argument_group("live capture")
    snap = stage.number(64, int, "number of bytes from 64")
    alive.add_argument("--append", action="store_true", help="continue the earlier capture, do not move it away")
    alive.add_argument("--snaplen", type=snap, metavar="BYTES", help="of each frame")
    kind = "ring" if sys.platform.startswith("linux") else "scapy"
    alive.add_argument("--source", choices=("ring", "scapy"), default=kind, help="%(default)s here")
    alive.add_argument("--user", metavar="NAME", help="whom to become once listening (default: who called sudo)")
    alive.add_argument("--rotate-seconds", type=seconds, metavar="S", help="start new files every S seconds")
    alive.add_argument("--rotate-mb", type=seconds, metavar="MB", help="start new files when they have MB megabytes")
    alive.add_argument("--keep", type=count, metavar="N", help="with --rotate: delete all but the last N of this run")
    beside_us = (
        "judge what comes by the trained model, too: starts detect.py --follow, with these further options of it"
    )
    alive.add_argument("--detect", nargs="?", const="", metavar="OPTIONS", help=beside_us)
    sinks.options(parser)
    return parser


if __name__ == "__main__":
    sys.argv[1:] = beside.joined(sys.argv[1:])
    stage.run(main, arguments())
