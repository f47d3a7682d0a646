"""Take the pictures of the dashboard and of the report that the README and the docs show, from the sample.

python docs/make_pictures.py   judges the sample in a temporary folder, and photographs what comes of it

It needs Chromium (apt-get install chromium-driver) and requirements-dev.txt. Each PNG keeps the words of its page, so
that a test can tell when a page says something else today.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, PngImagePlugin

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT / "tests"))

import browser  # noqa: E402

IMAGES = DOCS / "images"
WORDS = "words"  # the PNG's text chunk that holds what the page said
COLOURS = 128
#: what a page says beside its charts, which draw their words when they like
PAGES_TEXT = """
const charts = [...document.querySelectorAll('[data-testid=stVegaLiteChart]')];
charts.forEach(chart => chart.style.display = 'none');
const said = (document.querySelector('[data-testid=stMain]') ?? document.body).innerText;
charts.forEach(chart => chart.style.display = '');
return said;
"""


@dataclass(frozen=True)
class Shot:
    """page: of the dashboard, after its address (with a pattern in place of an incident's id), or report.html;
    words: what is on it when it is complete."""

    page: str
    words: str
    width: int = 1280
    height: int = 1000
    dark: bool = False


SHOTS = {
    "dashboard": Shot("", "Anomalous share"),
    "dashboard_incident": Shot("incidents?incident=icmp_flood", "In Wireshark", height=1150),
    "dashboard_network": Shot("network", "Hardware addresses", height=1100),
    "dashboard_phone": Shot("", "Anomalous share", width=400, height=800, dark=True),
    "report": Shot("report.html", "Made by netnormal", height=1000),
}


def judged(folder: Path) -> None:
    """The sample as the README judges it, in `folder`."""
    sample = ROOT / "dataset" / "sample"
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for script, *options in (
        ("capture.py", "--read", sample / "baseline.pcap.gz"),
        ("extract_features.py",),
        ("train_model.py",),
        ("capture.py", "--read", sample / "mixed.pcap.gz"),
        ("detect.py", "--input", "dataset/captured_data.csv"),
        ("visualize.py",),
    ):
        command = [sys.executable, ROOT / script, *options, "-q"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def address(shot: Shot, url: str, folder: Path) -> str:
    results = folder / "results"
    if shot.page == "report.html":
        return (results / shot.page).as_uri()
    page, asked, pattern = shot.page.partition("?incident=")
    if asked:
        found = json.loads((results / "incidents.json").read_text("utf-8"))
        page += asked + next(one["incident_id"] for one in found if one["pattern"] == pattern)
    return url + page


def lines_of(chromium: browser.Browser, shot: Shot, url: str, folder: Path) -> list[str]:
    """Opens the page as the picture shows it; the lines that it says."""
    chromium.resize(shot.width, shot.height)
    chromium.dark(shot.dark)
    chromium.open(address(shot, url, folder), shot.words)
    chromium.settle()
    return [" ".join(line.split()) for line in str(chromium.run(PAGES_TEXT)).splitlines() if line.strip()]


def recorded(path: Path) -> str:
    """What the page said when the picture was taken."""
    with Image.open(path) as image:
        return str(image.info.get(WORDS, ""))


def small(path: Path, words: str) -> None:
    """The picture again with few colours, which is a third of the size, and with the page's words."""
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(WORDS, words)
    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True, pnginfo=notes)


def main() -> None:
    if not browser.there():
        sys.exit(browser.MISSING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        judged(folder)
        shutil.copy(folder / "results" / "figures" / "incidents.png", IMAGES)
        dashboard = browser.Dashboard(folder, folder / "log", "--cache", folder / "cache")
        chromium = browser.Browser(folder)
        try:
            for shot_name, shot in SHOTS.items():
                words = " ".join(lines_of(chromium, shot, dashboard.url, folder))
                path = IMAGES / f"{shot_name}.png"
                chromium.picture(path)
                small(path, words)
                print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:,.0f} kB")
        finally:
            chromium.close()
            dashboard.close()


if __name__ == "__main__":
    main()
