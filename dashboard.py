"""The dashboard: what was captured and what was found, in a browser, live or after the fact.

Reads   dataset/captured_data.csv, dataset/captures/   packets, also while capture.py writes them
        results/, results/live/                        what detect.py wrote
        models/, results/metrics.json
Writes  dataset/feedback.csv, suppressions.csv         your verdicts, and what you do not want to be told of, by buttons
        a cache of its own, --cache

`python dashboard.py` and `streamlit run dashboard.py` (options after --) are the same. Only this computer can open it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streamlit.web import cli

from netnormal import feedback, stage, suppressions
from netnormal.dashboard import app, store


def main(args: argparse.Namespace) -> str:
    """Started by Python: let Streamlit run this script, in this process, which has loaded what the pages need."""
    import netnormal.model  # noqa: F401 - what a page would load late

    here = str(Path(__file__).resolve())
    options = ["--server.address", "127.0.0.1", "--server.port", str(args.port), "--server.headless", "true"]
    options += ["--browser.gatherUsageStats", "false"]
    cli.main(["run", here, *options, "--", *sys.argv[1:]], prog_name="streamlit", standalone_mode=False)
    return "The dashboard has ended."


def arguments() -> argparse.ArgumentParser:
    made = stage.parser(__doc__)
    add = made.add_argument
    add("--capture", metavar="FILE", help="one packet CSV, pcap or pcapng, instead of those in --dataset")
    add("--dataset", default="dataset", metavar="FOLDER", help="what capture.py wrote (default: %(default)s)")
    add("--results", default="results", metavar="FOLDER", help="what detect.py wrote (default: %(default)s)")
    add("--model", default="models/isolation_forest.pkl", metavar="PKL", help="default: %(default)s")
    add("--suppressions", default=suppressions.FILE, metavar="FILE", help="what not to show (default: %(default)s)")
    add("--feedback", default=feedback.FILE, metavar="FILE", help="your verdicts (default: %(default)s)")
    add("--cache", default=str(store.cache_home()), metavar="FOLDER", help="default: in the user's own cache")
    add("--port", type=int, default=8501, metavar="N", help="default: %(default)s")
    return made


if __name__ == "__main__":
    if app.by_streamlit():
        app.run(arguments().parse_args())
    else:
        stage.run(main, arguments())
