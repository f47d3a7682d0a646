"""Live capture: loss against rate, for our ring, tcpdump, dumpcap and scapy, with equal buffers. Needs root on Linux.

Run     python benchmarks/capture.py CAPTURE [--rates 50000 100000] [--seconds 30] [--tools ours tcpdump dumpcap scapy]
        CAPTURE is sent with tcpreplay, again and again, through a pair of interfaces in a namespace of its own; records
        that were cut short are filled up to their length on the wire
Prints  a line per rate and tool: sent, kept and lost packets, memory at start, middle and end, processor time
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def measure(namespace: str, tool: str, capture: Path, rate: int, seconds: float) -> dict[str, object]:
    inside = ["ip", "netns", "exec", namespace]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        shutil.copy(ROOT / "params.yaml", folder)
        with subprocess.Popen([*inside, *TOOLS[tool]], cwd=folder, stderr=subprocess.DEVNULL) as tooling:
            started = time.monotonic()
            while not (folder / "kept.pcap").exists() and time.monotonic() - started < 60:
                time.sleep(0.1)
            time.sleep(2)
            first = status(tooling.pid)
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
        with frames.open_capture(folder / "kept.pcap") as source:
            kept = sum(len(block) for block in source)
        return {
            "rate": round(int(sent[1]) / float(sent[3])),
            "tool": tool,
            "sent": int(sent[1]),
            "mbytes": round(int(sent[2]) / 1e6),
            "kept": kept,
            "lost": max(1 - kept / int(sent[1]), 0.0),
            "rss": [first[0], middle[0], last[0]],
            "cpu": (last[1] - first[1]) / float(sent[3]),
        }


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--rates", type=int, nargs="+", default=[1000, 5000, 50_000, 100_000, 150_000, 200_000])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    args = parser.parse_args()
    namespace = f"nnbench{os.getpid()}"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        off = "net.ipv6.conf.all.disable_ipv6=1"  # the namespace itself sends nothing
        subprocess.run(["ip", "netns", "exec", namespace, "sysctl", "-qw", off], check=True)
        for words in ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up"):
            subprocess.run(["ip", "-n", namespace, *words.split()], check=True)
        print("packets/s  tool          sent     MB      kept     lost  memory [MB]    processor", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            capture = padded(args.capture, Path(folder))
            for rate in args.rates:
                for tool in args.tools:
                    m = measure(namespace, tool, capture, rate, args.seconds)
                    memory = " ".join(f"{mb:4}" for mb in m["rss"])  # type: ignore[attr-defined]
                    line = f"{m['rate']:9,}  {tool:8} {m['sent']:9,} {m['mbytes']:6,} {m['kept']:9,}  {m['lost']:7.3%}"
                    print(f"{line}  {memory}   {m['cpu']:7.0%}", flush=True)
    finally:
        subprocess.run(["ip", "netns", "del", namespace], check=True)


if __name__ == "__main__":
    main()
