"""How long does a reader of the dashboard wait? Measured in a headless Chromium, on a capture of a million packets.

    python -m benchmarks.dashboard [FOLDER] [--packets 1000000]

Makes the capture in FOLDER (a temporary one, unless named; a second run uses what is there): the sample's packets again
and again, judged by detect.py with a model of its baseline. Then it starts dashboard.py with an empty cache, and again
with the cache it made, and prints what a reader waits, by the browser's own clock: from the address to the incidents,
to the first figures of traffic and to all of it; from a click to the last words of the page that comes. Last the most
memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
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


#: Run in each new page: when words of WORDS were first there [ms after the address was asked for].
FIRST_SEEN = """
window.seen = {};
setInterval(() => WORDS.filter(words => !(words in window.seen) && document.body?.textContent.includes(words))
  .forEach(words => window.seen[words] = performance.now()), 20)
"""
#: Arguments: words, and the figure before. From the next click or Enter to when the words are there, the figure is
#: another, and nothing that is out of date is left [ms].
WAITED = """
const [words, before] = arguments;
const ready = () => document.body.textContent.includes(words) && !document.querySelector("[data-stale='true']") &&
  (before === null || ![before, undefined].includes(document.querySelector('[data-testid=stMetricValue]')?.innerText));
window.waited = null;
let started = false;
const begin = event => {
  if (started || (event.type == 'keydown' && event.key != 'Enter')) return;
  started = true;
  const start = performance.now();
  const timer = setInterval(() => {
    if (ready()) { clearInterval(timer); window.waited = performance.now() - start; }
  }, 10);
};
for (const kind of ['click', 'keydown']) addEventListener(kind, begin, {capture: true});
"""


class Visit:
    """A reader of the dashboard in `folder`; `seconds`: what was waited for → how long."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.seconds: dict[str, float] = {}
        start = time.perf_counter()
        self.dashboard = browser.Dashboard(folder, place / "log", "--cache", place / "cache")
        self.seconds["`python dashboard.py`, until it listens"] = time.perf_counter() - start
        self.chromium = browser.Browser(place)
        self.chromium.open(f"{self.dashboard.url}_stcore/health", "ok")  # Chromium itself has started

    def first_page(self) -> None:
        words = {"Worst first": "to the incidents", "Mbit a second": "to the first figures of traffic"}
        script = f"const WORDS = {json.dumps(list(words))};{FIRST_SEEN}"
        self.chromium.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        start = time.perf_counter()
        self.chromium.driver.get(self.dashboard.url)
        for each, what in words.items():
            self.chromium.wait(each, still=False)
            browser.until(partial(self._seen, each), each, browser.PATIENCE_S)
            self.seconds[f"first page, {what}"] = self._seen(each) / 1000
        self.chromium.wait("Reading the packets", absent=True)
        self.chromium.wait("Anomalous share")
        self.seconds["... and to all packets read, and nothing more to come"] = time.perf_counter() - start

    def _seen(self, words: str) -> float:
        return float(self.chromium.run("return window.seen")[words] or 0)

    def wait(self, what: str, act: Callable[[], object], words: str, other_figure: bool = False) -> None:
        """From what `act` clicks or types to the words, and to another figure in the first tile if so wanted."""
        figure = "document.querySelector('[data-testid=stMetricValue]').innerText"
        before = self.chromium.run(f"return {figure}") if other_figure else None
        self.chromium.driver.execute_script(WAITED, words, before)
        act()
        browser.until(lambda: self.chromium.run("return window.waited"), f"{what}: nothing comes", browser.PATIENCE_S)
        self.seconds[what] = self.chromium.run("return window.waited") / 1000
        self.chromium.wait(words)

    def look_around(self) -> None:
        chromium = self.chromium
        for title, words in (
            ("Incidents", "Show as"),
            ("Traffic", "Packets (CSV)"),
            ("Network", "Hardware addresses"),
            ("Model", "Against labels"),
            ("Overview", "Anomalous share"),
        ):
            self.wait(f"{title}, by the menu", partial(chromium.click, title, "a"), words)
        chromium.click("Traffic", "a")
        chromium.wait("Packets (CSV)")
        (protocols,) = chromium.all("[data-testid='stMultiSelect'] input")
        self.wait("only UDP", lambda: protocols.send_keys("UDP\n"), "Packets (CSV)", other_figure=True)
        (host,) = chromium.all("input[aria-label='Host']")
        self.wait("only one host", lambda: host.send_keys("192.168.37.80\n"), "Packets (CSV)", other_figure=True)
        chromium.click("Overview", "a")
        chromium.wait("Worst first")
        self.wait("an incident, by its button", lambda: chromium.click("Open"), "In Wireshark")
        self.seconds["most memory of the dashboard [MB]"] = memory_mb(self.dashboard.process.pid)

    def close(self) -> None:
        self.chromium.close()
        self.dashboard.close()


def visit(folder: Path, place: Path) -> dict[str, float]:
    made = Visit(folder, place)
    made.first_page()
    made.look_around()
    made.close()
    return made.seconds


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
        print(f"{args.packets:,} packets, {csv.stat().st_size / 1e6:,.0f} MB of CSV; load {os.getloadavg()[0]:.1f}\n")
        place = Path(temporary) / "browser"
        place.mkdir()
        cold, warm = (visit(folder, place) for _ in range(2))
        print("| | with an empty cache [s] | with the cache [s] |\n|---|---|---|")
        for what, seconds in cold.items():
            print(f"| {what} | {seconds:,.3g} | {warm[what]:,.3g} |")
        print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
