"""Stage 0: packets → packet table. Reads a capture file, or listens on an interface.

Reads   --read FILE: pcap or pcapng, also gzipped (`-`: standard input); else the live interface
Writes  dataset/captured_data.csv    (docs/schemas.md#captured_data), one row per packet
        dataset/captured_data.json   the manifest: source, losses, what was not decoded, checksum
        dataset/captured_data.pcap   the packets themselves (live capture only; --no-pcap: not)

Examples
  python capture.py --read office.pcapng.gz
  sudo python capture.py --interface eth0 --duration 600
  sudo python capture.py --filter "not port 22"      (Ctrl+C ends it; what was captured is kept)
  ssh router tcpdump -c 100000 -w - | python capture.py --read -

Stage 1 reads the CSV:  python extract_features.py
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from pathlib import Path

from netnormal import frames, live, packets, stage, tables
from netnormal.manifest import Tally
from netnormal.tables import InputError


def main(args: argparse.Namespace) -> str:
    table = Path(args.output)
    stem = table.name.removesuffix(".gz").removesuffix(".csv")
    if stem == table.name.removesuffix(".gz") or (args.read and table.resolve() == Path(args.read).resolve()):
        raise InputError(table, "cannot be the output", "name a .csv or .csv.gz file with --output")
    decoder, tally = packets.Decoder(), Tally()
    with ExitStack() as files:
        source = opened(args)
        files.enter_context(source)
        # nothing is replaced before all is written; then the CSV changes first and the manifest last
        about = files.enter_context(tables.atomic(table.with_name(f"{stem}.json")))
        copy = None
        if not args.read and not args.no_pcap:
            pcap = files.enter_context(tables.atomic(table.with_name(f"{stem}.pcap")))
            copy = files.enter_context(frames.PcapWriter(pcap, source.link_types[0], source.snaplen))
        out = files.enter_context(tables.writer(table, tables.PACKETS))
        line = files.enter_context(stage.terminal.status("waiting for packets") if args.terminal else nullcontext())
        began, written = time.monotonic(), Future[None]()
        written.set_result(None)
        with ThreadPoolExecutor(1) as behind:  # the writer, while the next block is decoded
            for block in frames.limited(source, args.count, args.duration):
                tally.add(block)
                if copy:
                    copy.append(block)
                rows = decoder.decode(block)
                written.result()
                written = behind.submit(out.append, rows)
                if line:
                    rate = tally.packets / max(time.monotonic() - began, 1e-9)
                    line.update(f"{tally.packets:,} packets, {rate:,.0f} a second")
            written.result()
        told = source.about() | ({"sha256": copy.sha256()} if copy else {})
        if copy:
            copy.close()
        manifest = tally.manifest(told, decoder.undecoded, source.problems)
        about.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for problem in source.problems:
        stage.log.warning("%s: %s", source.name, problem)
    return sentence(tally, table, stem, decoder)


def opened(args: argparse.Namespace) -> frames.FileSource | live.LiveSource:
    """The source that the command line names. SIGTERM, and live also Ctrl+C, end it as if it had ended by itself."""
    if args.read:
        if args.interface or args.filter:
            raise InputError(
                "--read", "does not go with --interface or --filter", "filter files with  tcpdump -r IN -w OUT"
            )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return frames.open_capture(args.read)
    interfaces = args.interface or [live.default_interface()]
    packets.prepare()
    source = live.LiveSource(interfaces, args.filter, args.settings.capture.snaplen, args.duration)
    live.end_on_signal(source)
    stage.log.info("listening on %s%s; Ctrl+C ends it", source.name, "" if args.interface else " (the default route's)")
    return source


def sentence(tally: Tally, table: Path, stem: str, decoder: packets.Decoder) -> str:
    seconds = round((tally.end - tally.start) / 1e9)
    minutes, rest = divmod(seconds, 60)
    span = f"{minutes:,} min {rest} s" if minutes else f"{rest} s"
    undecoded = sum(decoder.undecoded.values())
    size = tally.wire_bytes
    amount = f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
    left = f"; {undecoded:,} not decoded (see {stem}.json)" if undecoded else ""
    return f"{tally.packets:,} packets ({span}, {amount}) → {table}{left}"


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


if __name__ == "__main__":
    parser = stage.parser(__doc__)
    parser.add_argument("--read", metavar="FILE", help="a capture file instead of an interface; - is standard input")
    parser.add_argument(
        "--interface", action="append", metavar="I", help="may be repeated (default: the default route's)"
    )
    parser.add_argument("--filter", metavar="BPF", help="capture only what this pcap-filter(7) expression matches")
    parser.add_argument("--count", type=positive, metavar="N", help="end after N packets")
    parser.add_argument("--duration", type=seconds, metavar="S", help="end after S seconds")
    parser.add_argument("--output", default="dataset/captured_data.csv", metavar="FILE", help="default: %(default)s")
    parser.add_argument("--no-pcap", action="store_true", help="live: keep the table only, not the packets")
    stage.run(main, parser)
