"""Live capture: loss against rate, for our ring, tcpdump, dumpcap and scapy, with equal buffers. Needs root on Linux.

Run     python benchmarks/capture.py CAPTURE [--rates 150000 200000] [--seconds 30] [--tools ours tcpdump] [--write]
        CAPTURE is sent with tcpreplay, again and again, through a pair of interfaces in a namespace of its own; records
        that were cut short are filled up to their length on the wire
Prints  a line per rate and tool: sent, kept and lost packets, memory at start, middle and end, processor time
Writes  with --write: docs/performance.md and its picture
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from netnormal import frames

BUFFER_MB = 64
SCAPY = """
import csv, signal, sys
from scapy.all import IP, TCP, UDP, AsyncSniffer, PcapWriter
rows, pcap = csv.writer(open("rows.csv", "w")), PcapWriter("kept.pcap")
def keep(p):
    pcap.write(p)
    ip, port = p.getlayer(IP), p.getlayer(TCP) or p.getlayer(UDP)
    rows.writerow([p.time, len(p), ip and ip.src, ip and ip.dst, port and port.sport, port and port.dport])
sniffer = AsyncSniffer(iface="v1", prn=keep, store=False)
sniffer.start()
signal.sigwait({signal.SIGINT})
sniffer.stop()
"""
UNHEARD: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
SLOW = (1000, 2000)  # packets/s, for scapy
LONG = 100_000  # packets/s, for us alone, twice as long
TOOLS = {
    "ours": [sys.executable, str(ROOT / "capture.py"), "--interface", "v1", "--output", "kept.csv", "-q"],
    "tcpdump": ["tcpdump", "-n", "-i", "v1", "-B", str(BUFFER_MB * 1024), "-w", "kept.pcap", "-Z", "root"],
    "dumpcap": ["dumpcap", "-q", "-i", "v1", "-B", str(BUFFER_MB), "-P", "-w", "kept.pcap"],
    "scapy": [sys.executable, "-c", SCAPY],
}


def status(pid: int) -> tuple[int, float]:
    """Memory [MB] and processor time [s] of a process."""
    rss = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(rss[1]) // 1024 if rss else 0, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """One step. rate: packets/s really sent; rss: memory at start, middle and end [MB]; cpu: of one core; load: of the
    whole machine before, the average of a minute."""

    rate: int
    tool: str
    seconds: float
    sent: int
    kept: int
    rss: tuple[int, int, int]
    cpu: float
    load: float

    @property
    def lost(self) -> float:
        return max(1 - self.kept / self.sent, 0.0)

    @property
    def cost_us(self) -> float:
        return self.cpu * self.seconds / self.sent * 1e6

    def line(self) -> str:
        memory = " ".join(f"{mb:4}" for mb in self.rss)
        start = f"{self.rate:9,}  {self.tool:8} {self.sent:9,} {self.kept:9,}  {self.lost:7.3%}  {memory}"
        return f"{start}  {self.cpu:5.0%}  {self.cost_us:6.1f}  {self.load:5.1f}"

    def row(self) -> str:
        lost = f"{self.lost:.2%}" if self.kept < self.sent else "0"
        name = "`capture.py`" if self.tool == "ours" else self.tool
        memory = ", ".join(map(str, self.rss))
        cells = (f"{self.rate:,}", name, f"{self.seconds:.0f} s", f"{self.sent:,}", lost, memory, f"{self.cpu:.0%}")
        return f"| {' | '.join(cells)} | {self.cost_us:.1f} | {self.load:.1f} |"


def measure(
    namespace: str, tool: str, capture: Path, rate: int, seconds: float, first: list[str], place: Path | None
) -> Measured:
    """first: words before each command, for instance to give it a priority. place: where the files go."""
    inside = [*first, "ip", "netns", "exec", namespace]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        folder.chmod(0o777)
        shutil.copy(ROOT / "params.yaml", folder)
        with subprocess.Popen([*inside, *TOOLS[tool]], cwd=folder, **UNHEARD) as tooling:
            started = time.monotonic()
            while not (folder / "kept.pcap").exists() and time.monotonic() - started < 60:
                time.sleep(0.1)
            time.sleep(2)
            before = status(tooling.pid)
            sender = [*inside, "tcpreplay", "-q", "-K", "--loop=1000000", "-i", "v0", f"--pps={rate}"]
            sender += [f"--limit={int(rate * seconds)}", str(capture)]
            with subprocess.Popen(sender, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sending:
                time.sleep(seconds / 2)
                middle = status(tooling.pid)
                said = sending.communicate()[0]
            last = status(tooling.pid)
            time.sleep(2)
            tooling.send_signal(2)
            tooling.wait(120)
        sent = re.search(r"Actual: (\d+) packets \((\d+) bytes\) sent in ([\d.]+)", said)
        assert sent, said
        assert rate in SLOW or int(sent[2]) > BUFFER_MB << 20, "fewer bytes than the buffer holds"
        with frames.open_capture(folder / "kept.pcap") as source:
            kept = sum(len(block) for block in source)
        took = float(sent[3])
        rss = (before[0], middle[0], last[0])
        return Measured(
            round(int(sent[1]) / took), tool, took, int(sent[1]), kept, rss, (last[1] - before[1]) / took, load
        )


def padded(capture: Path, folder: Path) -> Path:
    """The capture unzipped, its cut records filled up to their length on the wire (at most 1514 bytes)."""
    import numpy as np

    out = folder / "send.pcap"
    with frames.open_capture(capture) as source, frames.PcapWriter(out, 1, 262_144) as writer:
        for block in source:
            size = np.clip(block.length, block.captured, 1514)
            size[block.captured > 1514] = 1514
            offset = np.cumsum(size) - size
            data = np.zeros(int(size.sum()), np.uint8)
            for to, at, count in zip(offset, block.offset, np.minimum(block.captured, size), strict=True):
                data[to : to + count] = block.data[at : at + count]
            writer.append(frames.Frames(data, offset, size, size, block.time, block.link_type))
    return out


# ---------------------------------------------------------------- docs/performance.md

PAGE = """# How much traffic a live capture holds

`{command}`
sends the sample (frames filled up to their length on the wire, about 600 bytes on average) with tcpreplay through a
pair of interfaces in a namespace of its own, to each program in turn. All had a buffer of {buffer} MiB. `capture.py`
wrote CSV and pcap, tcpdump and dumpcap only a pcap; scapy's `AsyncSniffer` wrote a pcap and a CSV row per packet.
{priority}

Measured on {cores} virtual cores, shared with the sender and with other work; load is the machine's before each step:

| packets/s sent | program | for | sent | lost | memory at start, middle, end [MB] | of one core | µs/packet | load |
|---|---|---|---|---|---|---|---|---|
{rows}

![Loss against rate](images/capture_loss.png)

{verdict}

The memory at the start has the compiled decoder and the ring ({buffer} MiB); it grows by the blocks that wait to be
written, and then stays. A quiet network (two packets a second) costs {quiet:.1%} of one core.
"""
PRIORITY = "Sender and program had real-time priority: other work on the machine waited."
FOLDER = "Files went to memory, so that the disk is not measured."
KNOCKING = """
import socket, time
s = socket.socket(17, 3)
s.bind(("v0", 0))
while True:
    s.send(bytes(60))
    time.sleep(0.5)
"""


def verdict(steps: list[Measured]) -> str:
    """The highest rate without loss of each program, and how ours compares."""
    best = {tool: max((m.rate for m in steps if m.tool == tool and m.kept >= m.sent), default=0) for tool in TOOLS}
    words = [f"{tool} {rate:,}" for tool, rate in best.items() if rate and tool != "ours"]
    text = (
        f"Highest rate without loss: `capture.py` {best['ours']:,} packets a second; {', '.join(words) or 'no other'}."
    )
    if best["tcpdump"]:
        text += (
            f" That is {best['ours'] / best['tcpdump']:.2f} of what tcpdump, which decodes nothing, held in this run."
        )
    return text


def draw(steps: list[Measured], path: Path) -> None:
    """Loss against rate, a line per program."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for tool, mark in zip(TOOLS, "osx+", strict=True):
        points = sorted((m.rate, 100 * m.lost) for m in steps if m.tool == tool)
        if points:
            axes.plot(*zip(*points, strict=True), marker=mark, label="capture.py" if tool == "ours" else tool)
    axes.set_xscale("log")
    axes.set_xticks(ticks := [1000, 2000, 10_000, 50_000, 100_000, 300_000], [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("packets sent per second")
    axes.set_ylabel("lost [%]")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def quiet(namespace: str) -> float:
    """Processor time of capture.py where two packets a second come in, of one core."""
    inside = ["ip", "netns", "exec", namespace]
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(ROOT / "params.yaml", name)
        with (
            subprocess.Popen([*inside, sys.executable, "-c", KNOCKING]) as sending,
            subprocess.Popen([*inside, *TOOLS["ours"]], cwd=name, **UNHEARD) as tooling,
        ):
            time.sleep(8)
            before = status(tooling.pid)[1]
            time.sleep(30)
            after = status(tooling.pid)[1]
            tooling.send_signal(2)
            tooling.wait(60)
            sending.kill()
    return (after - before) / 30


@contextlib.contextmanager
def pair() -> Iterator[str]:
    """A network namespace with two interfaces, v0 and v1, that hear each other; its name."""
    namespace = f"nnbench{os.getpid()}"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        off = "net.ipv6.conf.all.disable_ipv6=1"  # the namespace itself sends nothing
        subprocess.run(["ip", "netns", "exec", namespace, "sysctl", "-qw", off], check=True)
        for words in ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up"):
            subprocess.run(["ip", "-n", namespace, *words.split()], check=True)
        yield namespace
    finally:
        subprocess.run(["ip", "netns", "del", namespace], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--rates", type=int, nargs="+", default=[150_000, 200_000, 250_000, 300_000])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument(
        "--folder", type=Path, help="where the files go, for instance /dev/shm: then no disk is measured"
    )
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument(
        "--realtime", action="store_true", help="other work on this machine waits while packets are sent"
    )
    parser.add_argument("--write", action="store_true", help="measure all that docs/performance.md tells, and write it")
    args = parser.parse_args()
    tools = [tool for tool in args.tools if tool in ("ours", "scapy") or shutil.which(tool)]
    fast = [tool for tool in tools if tool != "scapy"]
    plan = [(rate, args.seconds, tool) for rate in args.rates for tool in fast]
    if args.write:
        slow = [(rate, args.seconds, "scapy") for rate in SLOW if "scapy" in tools]
        plan = [*slow, (LONG, 2 * args.seconds, "ours"), *plan]
    first = ["chrt", "--rr", "1"] if args.realtime else []
    steps: list[Measured] = []
    with pair() as namespace:
        print("packets/s  tool          sent      kept     lost  memory [MB]     core  us/each  load", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            capture = padded(args.capture, Path(folder))
            for rate, seconds, tool in plan:
                steps.append(measure(namespace, tool, capture, rate, seconds, first, args.folder))
                print(steps[-1].line(), flush=True)
        print(verdict(steps))
        if args.write:
            options = f" --rates {' '.join(map(str, args.rates))}{' --realtime' if first else ''}"
            options += f" --folder {args.folder}" if args.folder else ""
            draw(steps, ROOT / "docs" / "images" / "capture_loss.png")
            page = PAGE.format(
                command=f"python benchmarks/capture.py {args.capture}{options} --write",
                buffer=BUFFER_MB,
                priority="\n".join([PRIORITY] * bool(first) + [FOLDER] * bool(args.folder)),
                cores=os.cpu_count(),
                rows="\n".join(step.row() for step in steps),
                verdict=textwrap.fill(verdict(steps), 120, break_on_hyphens=False),
                quiet=quiet(namespace),
            )
            path = ROOT / "docs" / "performance.md"
            _, *others = re.split(r"(?m)^(?=# )", path.read_text("utf-8").removeprefix("# "))  # by other benchmarks
            path.write_text("\n".join([page, *others]), "utf-8")


if __name__ == "__main__":
    main()
