"""Stage 0: packets → packet table. Reads a capture file, or listens on an interface.

Reads   --read FILE: pcap or pcapng, also gzipped (`-`: standard input); else the live interface
Writes  dataset/captured_data.csv    (docs/schemas.md#captured_data), one row per packet
        dataset/captured_data.json   the manifest: source, losses, what was not decoded, checksum
        dataset/captured_data.pcap   the packets themselves (live capture only; --no-pcap: not)
        dataset/captures/            earlier live captures, and the segments of a long one (--rotate-…)

Examples
  python capture.py --read office.pcapng.gz
  sudo python capture.py --interface eth0 --duration 600
  sudo python capture.py --filter "not port 22"      (Ctrl+C ends it; what was captured is kept)
  sudo python capture.py --interface any --rotate-seconds 3600 --keep 24
  ssh router tcpdump -c 100000 -w - | python capture.py --read -

Stage 1 reads the CSV:  python extract_features.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from pathlib import Path

from netnormal import frames, live, live_table, packets, recorder, sinks, stage, tables
from netnormal.manifest import Tally
from netnormal.tables import InputError


def main(args: argparse.Namespace) -> str:
    if args.list_interfaces:
        return live_table.interfaces(live.interfaces.listed(1.0))
    table = Path(args.output)
    stem = table.name.removesuffix(".gz").removesuffix(".csv")
    if stem == table.name.removesuffix(".gz") or (args.read and table.resolve() == Path(args.read).resolve()):
        raise InputError(table, "cannot be the output", "name a .csv or .csv.gz file with --output")
    return read(args, table, stem) if args.read else listen(args, table)


def read(args: argparse.Namespace, table: Path, stem: str) -> str:
    """A capture file → table and manifest, which replace what lies there when all is written."""
    if args.interface or args.filter:
        raise InputError(
            "--read", "does not go with --interface or --filter", "filter files with  tcpdump -r IN -w OUT"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    decoder, tally = packets.Decoder(), Tally()
    base = database(args, live=False)
    if base:
        base.start()
    with ExitStack() as files:
        files.enter_context(sinks.closing([base] if base else []))
        source = files.enter_context(frames.open_capture(args.read))
        kept = sinks.Capture(source.name, lambda: checksum(args.read))
        about = files.enter_context(tables.atomic(table.with_name(f"{stem}.json")))  # changes last
        out = files.enter_context(tables.writer(table, tables.PACKETS))
        line = files.enter_context(stage.terminal.status("reading") if args.terminal else nullcontext())
        written = Future[None]()
        written.set_result(None)
        with ThreadPoolExecutor(1) as behind:  # the writer, while the next block is decoded
            for block in frames.limited(source, args.count, args.duration):
                tally.add(block)
                rows = decoder.decode(block)
                written.result()
                written = behind.submit(out.append, rows)
                if base:
                    base.packets(rows, kept)
                if line:
                    line.update(f"{tally.packets:,} packets")
            written.result()
        manifest = tally.manifest(source.about(), decoder.undecoded, source.problems)
        about.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
        if base:
            base.ended(kept, manifest["sha256"])
        recorder.spare_live_capture(table, Path(args.read))
    for problem in source.problems:
        stage.log.warning("%s: %s", source.name, problem)
    return sentence(tally, table, stem, sum(decoder.undecoded.values()))


def database(args: argparse.Namespace, live: bool) -> sinks.Database | None:
    """What --database names, not started yet."""
    return None if args.database is None else sinks.database_of(args, args.settings.capture.database_rows, live)


def checksum(path: str) -> str | None:
    if not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listen(args: argparse.Namespace, table: Path) -> str:
    """A live interface → table, pcap and manifest, which are whole at every moment."""
    if table.suffix != ".csv":
        raise InputError(
            table, "cannot be the output of a live capture", "name a .csv file, and compress it afterwards"
        )
    setting = args.settings.capture
    names, why = args.interface, ""
    if not names:
        name, why = live.interfaces.default()
        names, why = [name], f" ({why})"
    snaplen, buffer_bytes = args.snaplen or setting.snaplen, setting.buffer_mb << 20
    megabytes = args.rotate_mb and int(args.rotate_mb * 1e6)
    plan = recorder.Plan(table, not args.no_pcap, args.rotate_seconds, megabytes, args.keep, setting.drop_share)
    base = database(args, live=True)
    with live.LiveSource(names, args.filter, snaplen, args.duration, args.source, buffer_bytes) as source:
        source.prepare()
        recorder.prepare(source.link_types[0])
        user = live.rights.drop(args.user, [args.log_file] if args.log_file else [])
        _, found = recorder.put_away(table)
        if found:
            stage.log.info(found)
        if base:
            base.start()
        source.start()
        live.end_on_signal(source)
        with (
            sinks.closing([base] if base else []),
            recorder.Recorder(plan, source, base) as recording,
            live_table.LiveTable(stage.terminal, args.terminal, f"{source.name} → {table}") as screen,
        ):
            stage.log.info("listening on %s%s%s; Ctrl+C ends it", source.name, why, f" as {user}" if user else "")
            for block in frames.limited(source, args.count, args.duration):
                recording.put(block)
                screen.show(recording.state)
    for problem in source.problems:
        stage.log.warning("%s", problem)
    if not args.quiet:
        stage.terminal.print(live_table.table(recording.state))
    said = sentence(recording, table, table.stem, recording.undecoded)
    if source.lost:
        print(said)
        raise InputError(f"interface {', '.join(source.lost)}", "went down while capturing", "what came before is kept")
    return said


def sentence(tally: Tally | recorder.Recorder, table: Path, stem: str, undecoded: int) -> str:
    seconds = round((tally.end - tally.start) / 1e9)
    minutes, rest = divmod(seconds, 60)
    span = f"{minutes:,} min {rest} s" if minutes else f"{rest} s"
    size = tally.wire_bytes
    amount = f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
    left = f"; {undecoded:,} not decoded (see {stem}.json)" if undecoded else ""
    return f"{tally.packets:,} packets ({span}, {amount}) → {table}{left}"


def number(low: float, kind: type[int] | type[float], what: str) -> type:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not low <= value < 1e9 or value == 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what}")
        return value

    return parse  # type: ignore[return-value]


if __name__ == "__main__":
    parser = stage.parser(__doc__)
    count, seconds = number(1, int, "whole number from 1"), number(0, float, "number above 0")
    parser.add_argument("--read", metavar="FILE", help="a capture file instead of an interface; - is standard input")
    parser.add_argument("--interface", action="append", metavar="I", help="may be repeated; any: all of them")
    parser.add_argument("--list-interfaces", action="store_true", help="show what there is to listen on, and end")
    parser.add_argument("--filter", metavar="BPF", help="capture only what this pcap-filter(7) expression matches")
    parser.add_argument("--count", type=count, metavar="N", help="end after N packets")
    parser.add_argument("--duration", type=seconds, metavar="S", help="end after S seconds")
    parser.add_argument("--output", default="dataset/captured_data.csv", metavar="FILE", help="default: %(default)s")
    alive = parser.add_argument_group("live capture")
    alive.add_argument("--no-pcap", action="store_true", help="keep the table only, not the packets")
    alive.add_argument(
        "--snaplen", type=number(64, int, "number of bytes from 64"), metavar="BYTES", help="of each frame"
    )
    linux = sys.platform.startswith("linux")
    alive.add_argument(
        "--source", choices=("ring", "scapy"), default="ring" if linux else "scapy", help="%(default)s here"
    )
    alive.add_argument("--user", metavar="NAME", help="whom to become once listening (default: who called sudo)")
    alive.add_argument("--rotate-seconds", type=seconds, metavar="S", help="start new files every S seconds")
    alive.add_argument("--rotate-mb", type=seconds, metavar="MB", help="start new files when they have MB megabytes")
    alive.add_argument("--keep", type=count, metavar="N", help="with --rotate: delete all but the last N of this run")
    sinks.options(parser)
    stage.run(main, parser)
