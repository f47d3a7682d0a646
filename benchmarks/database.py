"""How many packets a second --database stores: nothing else runs, rows are decoded before.

python benchmarks/database.py CAPTURE [URL…]
    without a URL: SQLite in a temporary folder, and servers of MariaDB and PostgreSQL that it starts, where installed;
    each three times. Databases of URLs are written to.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import servers

from netnormal import inputs, sinks
from netnormal.sinks import address

LEAST_PER_S = 20_000
RUNS = 3


def main() -> None:
    capture, *urls = sys.argv[1:]
    blocks = list(inputs.packet_blocks(capture))
    print(f"{sum(map(len, blocks)):,} packets, {RUNS} times; what is asked for: {LEAST_PER_S:,} packets/s")
    with ExitStack() as stack:
        if urls:
            for given in urls:
                report(address.url_of(given), blocks, None)
            return
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        report(address.url_of(f"sqlite:///{folder}/packets.db"), blocks, None)
        there = [servers.mariadb] if shutil.which("mariadbd") else []
        there += [servers.postgresql] if list(Path("/usr/lib/postgresql").glob("*/bin/postgres")) else []
        for started in there:
            with started() as server:
                report(address.url_of(server.url).set(password=servers.PASSWORD), blocks, server.pid)


def report(url: address.sa.URL, blocks: list[pd.DataFrame], pid: int | None) -> None:
    count, rates, work = sum(map(len, blocks)), [], 0.0
    for _ in range(RUNS):
        before, began = worked(pid), time.perf_counter()
        store(url, blocks)
        rates.append(count / (time.perf_counter() - began))
        work += worked(pid) - before
    known = "ours and the server's" if pid else "ours"
    shown = ", ".join(f"{rate:,.0f}" for rate in rates)
    per_second = RUNS * count / work
    print(f"{url.get_backend_name():<10} {shown} packets/s; {per_second:,.0f} a second of processor time ({known})")


def store(url: address.sa.URL, blocks: list[pd.DataFrame]) -> None:
    base = sinks.Database(url, sum(map(len, blocks)), live=False)
    base.start()
    kept = sinks.Capture("benchmark")
    later = time.time_ns() % 10**9  # so that it is another capture each run
    for block in blocks:
        for at in range(0, len(block), 10_000):
            part = block.iloc[at : at + 10_000]
            base.packets(part.assign(time=part["time"] + later), kept)
    base.close()


def worked(pid: int | None) -> float:
    """Processor time [s] of this program, and of a server and its ended children, so far."""
    ours = time.process_time()
    if pid is None:
        return ours
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return ours + sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
