"""How fast a capture becomes a packet table, and how that compares with tshark and scapy in the same run.

Makes a capture of 1,000,000 packets by repeating ../shared/data/lab/set1 (or --input) with shifted times, runs
`capture.py --read` on it twice (the first run may compile the kernels), and lets the others read a slice of it.

python benchmarks/decode.py [--packets N] [--input FILE…]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from netnormal import frames  # noqa: E402

SLICE = 20_000
_FIELDS = ["frame.number", "frame.time_epoch", "frame.len", "frame.cap_len", "eth.src", "eth.dst", "ip.src", "ip.dst"]
_FIELDS += ["ipv6.src", "ipv6.dst", "ip.proto", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "ip.ttl"]
_FIELDS += ["tcp.flags", "tcp.window_size_value", "dns.qry.name"]


def tile(inputs: list[Path], packets: int, target: Path) -> None:
    """Write `packets` packets to `target`: the inputs one after the other, again and again, time always going on."""
    shift = last = 0
    with frames.PcapWriter(target, 1, 262_144) as out:
        while out.packets < packets:
            for path in inputs:
                with frames.open_capture(path) as source:
                    start = None
                    for block in frames.limited(source, packets - out.packets, None):
                        start = int(block.time[0]) if start is None else start
                        block.time = block.time - start + shift
                        last = int(block.time[-1])
                        out.append(block)
                shift = last + 1_000_000
                if out.packets >= packets:
                    break


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    lab = ROOT.parent / "shared" / "data" / "lab" / "set1"
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--input", type=Path, nargs="+", default=[lab / "A.pcap.gz", lab / "B.pcap.gz"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, part, table = (Path(folder) / name for name in ("whole.pcap", "part.pcap", "table.csv"))
        tile(args.input, args.packets, whole)
        tile(args.input, SLICE, part)
        read = [sys.executable, "capture.py", "--output", str(table), "--read"]
        runs = [seconds([*read, str(whole)]) for _ in range(3)]
        ours = args.packets / min(runs[1:])
        print(
            f"capture.py --read  {ours:>10,.0f} packets/s  {args.packets:,} packets, {whole.stat().st_size >> 20:,} MiB"
        )
        print(f"  in {runs[0]:.2f} s the first time, then {' and '.join(f'{run:.2f} s' for run in runs[1:])}")
        print(f"  table: {table.stat().st_size / 1e6:,.0f} MB")
        scapy = "import sys; from scapy.all import PcapReader; sum(1 for _ in PcapReader(sys.argv[1]))"
        others = {"scapy PcapReader": [sys.executable, "-c", scapy, str(part)]}
        if tshark := shutil.which("tshark"):
            fields = [word for name in _FIELDS for word in ("-e", name)]
            others["tshark -T fields"] = [tshark, "-n", "-r", str(part), "-T", "fields", *fields]
        for name, command in others.items():
            rate = SLICE / seconds(command)
            print(
                f"{name:<18} {rate:>10,.0f} packets/s  {SLICE:,} packets; capture.py: {ours / rate:,.0f} times as fast"
            )


if __name__ == "__main__":
    main()
