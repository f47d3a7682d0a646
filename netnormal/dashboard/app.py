"""What every page shares: which capture, reading it, refreshing by itself, and the way between pages."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from netnormal import feedback, suppressions, tables
from netnormal.dashboard import results, show
from netnormal.dashboard.pages import incidents, model, network, overview, traffic
from netnormal.dashboard.store import Store

PAGES = {  # no icons: a page's is also the browser's, and that would be fetched from a font server
    "overview": ("Overview", overview),
    "incidents": ("Incidents", incidents),
    "traffic": ("Traffic", traffic),
    "network": ("Network", network),
    "model": ("Model", model),
}
SOURCES = {"newest": "the newest", "live": "live: detect.py --follow", "whole": "the last whole run of detect.py"}
POLL_S = 2.0
POLL_READING_S = 0.5
PATIENCE_S = 1.0  # how long a page waits for the first packets before it shows what is there


def run(args: Any) -> None:
    """One run of the page, as Streamlit does it at each interaction. args: the options of dashboard.py."""
    _loaded()
    st.set_page_config(page_title="netnormal", layout="wide")
    st.html(show.STYLE)
    data = _chosen(args)
    made = {
        name: st.Page(partial(_page, room.show, data), title=title, url_path=name, default=name == "overview")
        for name, (title, room) in PAGES.items()
    }
    st.session_state["pages"] = made
    st.navigation(list(made.values())).run()


@functools.cache
def _loaded() -> None:
    """Streamlit collects garbage after each run of a page: what was loaded to stay need not be looked through."""
    gc.freeze()


def _page(body: Callable[[show.Data], None], data: show.Data) -> None:
    try:
        body(data)
    except tables.InputError as error:
        show.problem(error)


def captures(dataset: Path) -> dict[str, Path]:
    """What can be looked at, by name: the latest capture first, then earlier ones, newest first."""
    found = {"latest capture": dataset / "captured_data.csv"}
    for folder in sorted((dataset / "captures").glob("*/"), reverse=True):
        for table in sorted(folder.glob("*.csv")):
            found[results.plain(f"{folder.name}/{table.stem}", 80)] = table
    return found


def _chosen(args: Any) -> show.Data:
    """The sidebar, and what it chose."""
    output = Path(args.results)
    following = output / "live"
    with st.sidebar:
        known = {Path(args.capture).name: Path(args.capture)} if args.capture else captures(Path(args.dataset))
        capture = known[st.selectbox("Packets", list(known), key="capture")]
        folder = output
        if (following / "status.json").exists():
            kind = st.radio("Results", list(SOURCES), key="results", format_func=SOURCES.__getitem__)
            newer = results.signature(following / "status.json") >= results.signature(output / "incidents.json")
            folder = following if kind == "live" or (kind == "newest" and newer) else output
        refresh = st.toggle("Refresh by itself", value=True, key="refresh", help="Looks for new data every 2 seconds.")
        st.caption("Times are UTC, as in the packets.")
    store, why = _stored(capture, args.cache)
    rules, judged = suppressions.Suppressions(), dict[str, str]()
    try:
        rules = suppressions.read(args.suppressions, optional=True)
        judged = _judged(args.feedback, results.signature(Path(args.feedback)))
    except tables.InputError as error:
        show.problem(error)
    written = store.written if store is not None and store.reading else None
    reading = written is not None
    if reading or refresh:
        poll = st.fragment(_watch, run_every=POLL_READING_S if reading else POLL_S)
        poll(capture, folder, store, _seen(capture, folder) if refresh else None, written)
    files = show.Files(args.suppressions, args.feedback)
    return show.Data(store, folder, Path(args.model), files, rules, judged, folder == following, why, reading)


@functools.lru_cache(maxsize=2)
def _judged(path: str, _seen: tuple[int, int]) -> dict[str, str]:
    return feedback.verdicts(path)


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened(capture: str, cache: str) -> Store:
    return Store(Path(capture), Path(cache))


def _stored(capture: Path, cache: str) -> tuple[Store | None, str]:
    if not capture.exists():
        return None, "No capture yet."
    store = _opened(str(capture), cache)
    store.follow(PATIENCE_S)
    if store.failure is not None and not store.reading:
        return None, results.plain(store.failure)
    return store, ""


def _seen(capture: Path, folder: Path) -> tuple[tuple[int, int], ...]:
    files = (capture, folder / "incidents.json", folder / "scores.csv", folder / "status.json")
    return tuple(results.signature(path) for path in files)


def _watch(
    capture: Path, folder: Path, store: Store | None, seen: tuple[tuple[int, int], ...] | None, written: int | None
) -> None:
    """Runs the page again when a file has changed since it was `seen`, or, while the capture is read, more than
    `written` parts are there or it is read; the reader's place and choices stay."""
    changed = seen is not None and _seen(capture, folder) != seen
    further = written is not None and store is not None and (store.written != written or not store.reading)
    if changed or further:
        st.rerun()


def by_streamlit() -> bool:
    """Whether Streamlit runs this script, rather than Python."""
    return "streamlit.runtime" in sys.modules and st.runtime.exists()
