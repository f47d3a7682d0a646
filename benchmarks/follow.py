"""Following a live capture under load: loss, how long until an incident is told, memory. Needs root on Linux.

Run     python -m benchmarks.follow CAPTURE [--rate 20000] [--seconds 300] [--baseline-seconds 90] [--first]
        CAPTURE is sent with tcpreplay, again and again, through a pair of interfaces in a namespace of its own: first
        --baseline-seconds of it, of which a model is learnt, then --seconds with  capture.py --detect --database
        (SQLite), while every 30 s another host scans 200 ports. --first: before whatever else this machine does (real
        time scheduling), where that would be in the way
Prints  every 30 s the memory of both processes and how far detection is behind; then the packets sent, stored and
        judged, and for each scan the seconds from its first packet until the terminal told of it
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.capture import ROOT, padded, pair, status

EVERY_S = 30
PORTS = 200
FIRST = ["chrt", "-r", "1"]  # what a command begins with


def script(name: str, *options: object) -> list[str]:
    return [*FIRST, sys.executable, str(ROOT / name), *map(str, options)]


def probe(source: str, target: str, port: int) -> bytes:
    """A TCP SYN in an Ethernet frame; its checksums are left empty."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    tcp = struct.pack("!HHIIBBHHH", 40_000, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), port, 0, 64, 6, 0) + ends
    return bytes.fromhex("02000000000b02000000000a0800") + ip + tcp


def send(namespace: str, capture: Path, rate: int, seconds: float) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", namespace, *FIRST, "tcpreplay", "-q", "-K", "--loop=1000000", "-i", "v0"]
    command += [f"--pps={rate}", f"--limit={int(rate * seconds)}", str(capture)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def learn(namespace: str, folder: Path, capture: Path, rate: int, seconds: float) -> None:
    """models/ in `folder`, of so many seconds of the traffic."""
    options = ("--interface", "v1", "--no-pcap", "-q")
    command = ["ip", "netns", "exec", namespace, *script("capture.py", *options)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as capturing:
        while not (folder / "dataset/captured_data.csv").exists():
            time.sleep(0.2)
        send(namespace, capture, rate, seconds).communicate()
        time.sleep(2)
        capturing.terminate()
    for stage in ("extract_features.py", "train_model.py"):
        subprocess.run(script(stage, "-q"), cwd=folder, check=True)


def scans(namespace: str, until: float, begun: dict[str, float]) -> None:
    """Every EVERY_S seconds another host scans; `begun` notes when."""
    number = 0
    program = "import socket, sys\ns = socket.socket(17, 3); s.bind(('v0', 0))\n"
    program += "for line in sys.stdin: s.send(bytes.fromhex(line))"
    while (wait := EVERY_S * number + 7 * (number % 4)) < until:
        time.sleep(max(0.0, begun[""] + wait - time.monotonic()))
        number += 1
        source = f"10.66.0.{number}"
        frames = "\n".join(probe(source, "10.66.1.1", 1 + port).hex() for port in range(PORTS))
        begun[source] = time.monotonic()
        sending = ["ip", "netns", "exec", namespace, *FIRST, sys.executable, "-c", program]
        subprocess.run(sending, input=frames, text=True, check=True)


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()[0])


def measure(namespace: str, folder: Path, capture: Path, rate: int, seconds: float) -> None:
    options = ("--interface", "v1", "--detect", "--database", "--rotate-seconds", 60, "--keep", 3)
    command = ["ip", "netns", "exec", namespace, *script("capture.py", *options)]
    told: dict[str, float] = {}
    lines: list[str] = []

    def read() -> None:
        assert running.stdout
        for line in running.stdout:
            lines.append(line)
            if found := re.search(r"(10\.66\.0\.\d+) scanned", line):
                told.setdefault(found[1], time.monotonic())

    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as running:
        reader = threading.Thread(target=read)
        reader.start()
        live = folder / "results/live/status.json"
        while not live.exists():
            time.sleep(0.2)
        time.sleep(3)
        detecting, begun = child_of(running.pid), {"": time.monotonic()}
        sending = send(namespace, capture, rate, seconds)
        scanning = threading.Thread(target=scans, args=(namespace, seconds - EVERY_S, begun))
        scanning.start()
        print("second  capture [MB, core]  detect [MB, core]  behind [s]", flush=True)
        before = status(running.pid)[1], status(detecting)[1]
        while sending.poll() is None:
            time.sleep(EVERY_S)
            (one, a), (other, b) = status(running.pid), status(detecting)
            said = json.loads(live.read_text())
            shares = (a - before[0]) / EVERY_S, (b - before[1]) / EVERY_S
            before = a, b
            print(
                f"{time.monotonic() - begun['']:6.0f}  {one:8}  {shares[0]:7.0%}  {other:8}  {shares[1]:7.0%}"
                f"  {said['lag_s']:8}  {'; '.join(said['reasons'])}",
                flush=True,
            )
        sent = int(re.search(r"Actual: (\d+) packets", sending.communicate()[0])[1])  # type: ignore[index]
        scanning.join()
        time.sleep(20)
        began = time.monotonic()
        running.terminate()
        running.wait(600)
        reader.join()
        print(f"ended in {time.monotonic() - began:.0f} s: {lines[-2].strip()}")
    sent += PORTS * (len(begun) - 1)
    with sqlite3.connect(folder / "results/packet_logs.db") as base:
        stored = base.execute("select count(*) from packets").fetchone()[0]
        scores = base.execute("select count(*) from scores").fetchone()[0]
    judged = json.loads(live.read_text())
    manifest = json.loads((folder / "dataset/captured_data.json").read_text())
    print(f"{sent:,} packets sent, {stored:,} in SQLite, {judged['packets']:,} judged, {scores:,} scores in SQLite")
    print(f"kernel drops of the last segment: {manifest['kernel_drops']}; evicted: {judged['evicted']}")
    for source, start in begun.items():
        if source:
            print(f"{source}: " + (f"{told[source] - start:.1f} s" if source in told else "not told"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--baseline-seconds", type=float, default=90)
    parser.add_argument("--first", action="store_true")
    args = parser.parse_args()
    if not args.first:
        FIRST.clear()
    with pair() as namespace, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / "params.yaml", folder)
        capture = padded(args.capture, folder)
        learn(namespace, folder, capture, args.rate, args.baseline_seconds)
        measure(namespace, folder, capture, args.rate, args.seconds)


if __name__ == "__main__":
    main()
