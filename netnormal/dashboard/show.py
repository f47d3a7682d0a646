"""Widgets that show what came from the network as text, never as Markdown or HTML; and where a reader can go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import streamlit as st

from netnormal import suppressions, tables
from netnormal.dashboard import results, story
from netnormal.dashboard.results import Incident
from netnormal.dashboard.store import Store
from netnormal.figures import LIGHT, LOOKS, Look
from netnormal.plain import plain

_BADGES = {"critical": "violet", "high": "orange", "medium": "yellow", "low": "blue"}
_FEW_ROWS = 8  # of a table that is as high as they are
_ICONS = {
    "critical": ":material/error:",
    "high": ":material/warning:",
    "medium": ":material/info:",
    "low": ":material/circle:",
}


#: Constant, so that no text from anywhere is ever part of it: less air, and the sentence of an incident in large.
STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding-top: 2.5rem; padding-bottom: 2rem; }
[class*="st-key-sentence"] [data-testid="stText"] { font-size: 1.45rem; font-weight: 600; line-height: 1.3; }
[class*="st-key-strong"] [data-testid="stText"] { font-weight: 600; }
[class*="st-key-facts"] { gap: 0.35rem; }
[class*="st-key-facts"] [data-testid="stHorizontalBlock"] { flex-wrap: nowrap; }
</style>"""


@dataclass(frozen=True)
class Files:
    """The files that a reader's clicks write to."""

    suppressions: str
    feedback: str


@dataclass
class Data:
    """What the pages look at. store: None where there is no capture; judged: a person's verdicts, id → verdict; fits:
    the results are of this capture; reading: not all of its packets are in the store yet."""

    store: Store | None
    folder: Path
    model: Path
    files: Files
    suppressed: suppressions.Suppressions
    judged: dict[str, str]
    live: bool
    why_no_store: str = ""
    reading: bool = False

    @property
    def summary(self) -> dict[str, Any]:
        return results.mapping(self.folder / "summary.json")

    @property
    def evidence(self) -> Path:
        """Where detect.py --evidence keeps packets, also while it follows."""
        return (self.folder.parent if self.live else self.folder) / "evidence"

    @property
    def status(self) -> dict[str, Any]:
        """What `detect.py --follow` says of itself."""
        return results.mapping(self.folder / "status.json") if self.live else {}

    @property
    def health(self) -> dict[str, Any]:
        """What detect.py said of the capture, see `traffic`; while following it says less, in status.json."""
        found = results.at(self.summary, "health", otherwise={})
        return found if isinstance(found, dict) else {}

    def span(self, found: Sequence[Incident]) -> tuple[int, int]:
        """First and last moment of the packets, if the results are theirs, and of the incidents [ns]."""
        moments = [time for one in found for time in (one.start, one.end)]
        if self.fits and self.store is not None:
            moments += [self.store.start, self.store.end]
        return min(moments, default=0), max(moments, default=0)

    @property
    def fits(self) -> bool:
        """Whether the results are of the packets shown; a live folder has no summary, and follows the capture."""
        if self.store is None or not self.store.packets:
            return False
        if self.live:
            named = Path(str(self.status.get("capture", "")))
            return self.store.capture.resolve() in (named.resolve(), (self.folder.parent.parent / named).resolve())
        start = self.summary.get("start")
        return (
            start is not None
            and tables.nanoseconds(start) == self.store.start
            and (self.reading or self.summary.get("packets") == self.store.packets)
        )

    def incidents(self) -> tuple[list[Incident] | None, dict[str, str]]:
        """All of them, worst first (None: detect.py has not run), and by id why those that are suppressed are."""
        found = results.incidents(self.folder)
        reasons = {one.incident_id: self.suppressed.reason(one.document) for one in found or []}
        return found, {name: plain(reason) for name, reason in reasons.items() if reason is not None}

    def shown(self) -> tuple[list[Incident] | None, int]:
        """Those to show, worst first (None: detect.py has not run), and how many are suppressed."""
        found, hidden = self.incidents()
        if found is None:
            return None, 0
        return [one for one in found if one.incident_id not in hidden], len(hidden)

    def verdicts(self) -> results.Verdicts | None:
        """What detect.py said of each packet, if it is of these packets."""
        made = results.verdicts(self.folder) if self.fits and not self.live else None
        packets = self.store.packets if self.store else 0
        return made if made is not None and (self.reading or len(made.anomalous) == packets) else None


def look() -> Look:
    """The colours for the theme that the reader has."""
    return LOOKS["dark"] if st.context.theme.type == "dark" else LIGHT


def badge(severity: str) -> None:
    st.badge(severity, icon=_ICONS[severity], color=_BADGES[severity])  # type: ignore[arg-type]


def facts(rows: Sequence[tuple[str, str]], key: str, width: int = 90) -> None:
    """Names (ours) and values (text from anywhere)."""
    with st.container(key=f"facts_{key}"):
        for name, value in rows:
            with st.container(horizontal=True, gap="small"):
                st.text(name, width=width)
                st.text(value, width="stretch")


def large(text: str, key: str) -> None:
    """The sentence that a page is about."""
    with st.container(key=f"sentence_{key}"):
        st.text(text)


def strong(text: str, key: str) -> None:
    with st.container(key=f"strong_{key}"):
        st.text(text)


def table(frame: pd.DataFrame, key: str, height: int | Literal["auto"] = "auto") -> None:
    """A table, at most `height` pixels high; numbers with the reader's separators, nothing where there is nothing."""
    text = frame.select_dtypes(exclude="number").columns
    shown = frame.assign(**{name: frame[name].fillna("") for name in text})
    if len(frame) < _FEW_ROWS:
        height = "auto"
    numbers = {name: st.column_config.NumberColumn(format="localized") for name in frame.columns.difference(text)}
    st.dataframe(shown, hide_index=True, width="stretch", key=key, height=height, column_config=numbers)


def chart(made: Any, says: str) -> None:
    """An Altair chart; `says` is what it shows, for who cannot see it."""
    st.altair_chart(made, width="stretch", alt=says)


def empty(words: str, command: str = "") -> None:
    """Why there is nothing here, and what to type."""
    with st.container(border=True):
        st.text(words)
        if command:
            st.code(command, language=None)


def problem(error: tables.InputError) -> None:
    with st.container(border=True):
        st.badge("cannot be read", icon=":material/error:", color="orange")
        st.text(results.plain(error))


def card(one: Incident, key: str, verdict: str = "", more: str = "") -> None:
    """One incident in a few lines, with a button that opens it. verdict: a person's, or why it is hidden; more: words
    of ours to add."""
    with st.container(border=True, key=f"card_{key}_{one.incident_id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            badge(one.severity)
            said = f" · {verdict}" if verdict else ""
            st.text(f"{story.moment(one.start)} UTC · {one.kind}{said}", width="stretch")
            if st.button("Open", key=f"open_{key}_{one.incident_id}", icon=":material/arrow_forward:"):
                goto("incidents", incident=one.incident_id)
        st.text(one.title)
        if more:
            st.caption(more)


def goto(page: str, **query: str) -> None:
    st.switch_page(st.session_state["pages"][page], query_params=query)


def no_store(data: Data) -> bool:
    """Says so and returns True where there are no packets to show."""
    if data.reading and data.store is not None:
        so_far = f": {data.store.packets:,} so far" if data.store.packets else ""
        st.caption(f"Reading the packets{so_far} …")
    if data.store is not None and data.store.packets:
        return False
    if data.reading:
        return True
    empty(data.why_no_store or "No packets yet.", "sudo .venv/bin/python capture.py --interface eth0")
    return True
