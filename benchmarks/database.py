"""How many packets a second --database stores: nothing else runs, rows are decoded before.

python benchmarks/database.py CAPTURE [URL…]     without a URL: SQLite in a temporary folder. Databases are written to.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from netnormal import inputs, sinks
from netnormal.sinks import address

LEAST_PER_S = 20_000


def main() -> None:
    capture, *urls = sys.argv[1:]
    blocks = list(inputs.packet_blocks(capture))
    count = sum(map(len, blocks))
    with tempfile.TemporaryDirectory() as folder:
        for given in urls or [f"sqlite:///{folder}/packets.db"]:
            url = address.url_of(given)
            base = sinks.Database(url, count, live=False)
            base.start()
            kept, began = sinks.Capture("benchmark"), time.perf_counter()
            later = time.time_ns() % 10**9  # so that it is another capture each run
            for block in blocks:
                for at in range(0, len(block), 10_000):
                    part = block.iloc[at : at + 10_000]
                    base.packets(part.assign(time=part["time"] + later), kept)
            base.close()
            rate = count / (time.perf_counter() - began)
            print(f"{address.shown(url)}: {rate:,.0f} packets/s, {rate / LEAST_PER_S:.1f} times what is asked for")


if __name__ == "__main__":
    main()
