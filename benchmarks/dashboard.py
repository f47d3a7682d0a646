"""How long does a reader of the dashboard wait? Measured in a headless Chromium, on a capture of a million packets.

    python -m benchmarks.dashboard [FOLDER] [--packets 1000000]

Makes the capture in FOLDER (a temporary one, unless named; a second run uses what is there): the sample's packets again
and again, judged by detect.py with a model of its baseline. Then it starts dashboard.py with an empty cache, and again
with the cache it made, and prints how long each page takes from the address to the last chart (the first page: to the
incidents, to the first figures of traffic, and to all of it), how long each interaction takes, and the most memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from netnormal import frames
from tests import browser

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "dataset" / "sample"
GAP_NS = 60 * 10**9  # between one round of the sample and the next


def make(folder: Path, packets: int) -> None:
    """A judged capture of so many packets in `folder`."""

    def run(script: str, *options: object) -> None:
        subprocess.run([sys.executable, ROOT / script, *map(str, options), "-q"], cwd=folder, check=True)

    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    run("capture.py", "--read", SAMPLE / "baseline.pcap.gz")
    run("extract_features.py")
    run("train_model.py")
    repeated(folder / "large.pcap", packets)
    run("capture.py", "--read", "large.pcap")
    run("detect.py", "--input", "dataset/captured_data.csv")


def repeated(path: Path, packets: int) -> None:
    """The sample's two captures in turn, each round later than the one before."""
    writer, shift, last = None, 0, 0
    while writer is None or writer.packets < packets:
        first = None
        for name in ("baseline", "mixed"):
            with frames.open_capture(SAMPLE / f"{name}.pcap.gz") as blocks:
                for block in blocks:
                    writer = writer or frames.PcapWriter(path, int(block.link_type[0]), 262_144)
                    first = int(block.time[0]) if first is None else first
                    block.time += shift
                    last = int(block.time.max())
                    writer.append(block.select(slice(0, packets - writer.packets)))
        shift += last - (first + shift) + GAP_NS
    writer.close()


def memory_mb(process: int) -> float:
    """The most that the process had in memory at any time."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def timed(what: str, act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    seconds = time.perf_counter() - start
    print(f"| {what} | {seconds:.2f} |", flush=True)
    return seconds


def visit(folder: Path, place: Path, cold: bool) -> None:
    print(f"\n| with {'an empty cache' if cold else 'the cache'} | s |\n|---|---|")
    dashboard: list[browser.Dashboard] = []
    timed("python dashboard.py, until it listens", lambda: dashboard.append(
        browser.Dashboard(folder, place / "log", "--cache", place / "cache")))  # fmt: skip
    (served,) = dashboard
    chromium = browser.Browser(place)
    driver = chromium.driver
    chromium.open(f"{served.url}_stcore/health", "ok")  # Chromium itself has started

    def first_page() -> None:
        start = time.perf_counter()
        driver.get(served.url)
        for words, what in (("Worst first", "the incidents"), ("Mbit a second", "figures of traffic")):
            chromium.wait(words, still=False)
            print(f"| first page: {what} | {time.perf_counter() - start:.2f} |")

    first_page()
    timed("… and until nothing more comes", lambda: settled(chromium))
    for page, words in (("incidents", "incidents:"), ("traffic", "Packets (CSV)"), ("network", "Hardware addresses"),
                        ("model", "Against labels"), ("", "Anomalous share")):  # fmt: skip
        title = (page or "overview").title()
        timed(f"to {title} by the menu", lambda t=title, w=words: (chromium.click(t, "a"), chromium.wait(w)))  # type: ignore[misc]
    chromium.click("Traffic", "a")
    chromium.wait("Packets (CSV)")
    before = metric(chromium)
    timed("only UDP", lambda: (chromium.all("[data-testid='stMultiSelect'] input")[0].send_keys("UDP\n"),
                               changed(chromium, before)))  # fmt: skip
    before = metric(chromium)
    timed("only one host", lambda: (chromium.all("input[aria-label='Host']")[0].send_keys("192.168.37.80\n"),
                                    changed(chromium, before)))  # fmt: skip
    chromium.click("Overview", "a")
    chromium.wait("Worst first")
    timed("an incident", lambda: (chromium.click("Open"), chromium.wait("In Wireshark")))
    print(f"| most memory of the dashboard [MB] | {memory_mb(served.process.pid):,.0f} |")
    chromium.close()
    served.close()


def settled(chromium: browser.Browser) -> None:
    chromium.wait("Reading the packets", absent=True)
    chromium.wait("Anomalous share")


def metric(chromium: browser.Browser) -> str:
    return str(chromium.run("return document.querySelector('[data-testid=stMetricValue]')?.innerText ?? ''"))


def changed(chromium: browser.Browser, before: str) -> None:
    browser.until(lambda: metric(chromium) not in ("", before), "nothing changes", 60)
    chromium.wait("Packets (CSV)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--packets", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "results" / "incidents.json").exists():
            make(folder, args.packets)
        csv = folder / "dataset" / "captured_data.csv"
        print(f"{args.packets:,} packets, {csv.stat().st_size / 1e6:,.0f} MB of CSV")
        place = Path(temporary) / "browser"
        for cold in (True, False):
            place.mkdir(exist_ok=True)
            visit(folder, place, cold)


if __name__ == "__main__":
    main()
