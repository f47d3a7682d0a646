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

_BADGES = {"critical": "violet", "high": "orange", "medium": "yellow", "low": "blue"}
_ICONS = {
    "critical": ":material/error:",
    "high": ":material/warning:",
    "medium": ":material/info:",
    "low": ":material/circle:",
}


@dataclass
class Data:
    """What the pages look at. store: None where there is no capture; fits: the results are of this capture."""

    store: Store | None
    folder: Path
    model: Path
    suppressed: suppressions.Suppressions
    live: bool
    why_no_store: str = ""

    @property
    def summary(self) -> dict[str, Any]:
        return results.mapping(self.folder / "summary.json")

    @property
    def fits(self) -> bool:
        """Whether the results are of the packets shown; a live folder has no summary, and follows the capture."""
        if self.store is None or not self.store.packets:
            return False
        start = self.summary.get("start")
        return self.live or (
            start is not None
            and tables.nanoseconds(start) == self.store.start
            and self.summary.get("packets") == self.store.packets
        )

    def incidents(self) -> tuple[list[Incident] | None, int]:
        """Those to show, worst first (None: detect.py has not run), and how many are suppressed."""
        found = results.incidents(self.folder)
        if found is None:
            return None, 0
        shown = [one for one in found if self.suppressed.reason(one.document) is None]
        return shown, len(found) - len(shown)

    def verdicts(self) -> results.Verdicts | None:
        """What detect.py said of each packet, if it is of these packets."""
        made = results.verdicts(self.folder) if self.fits and not self.live else None
        return made if made is not None and self.store and len(made.anomalous) == self.store.packets else None


def look() -> Look:
    """The colours for the theme that the reader has."""
    return LOOKS["dark"] if st.context.theme.type == "dark" else LIGHT


def badge(severity: str) -> None:
    st.badge(severity, icon=_ICONS[severity], color=_BADGES[severity])  # type: ignore[arg-type]


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Names (ours) and values (text from anywhere)."""
    for name, value in rows:
        with st.container(horizontal=True, gap="small"):
            st.text(f"{name}:", width=90)
            st.text(value, width="stretch")


def table(frame: pd.DataFrame, key: str, height: int | Literal["auto"] = "auto") -> None:
    st.dataframe(frame, hide_index=True, width="stretch", key=key, height=height)


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


def card(one: Incident, key: str) -> None:
    """One incident in a few lines, with a button that opens it."""
    with st.container(border=True, key=f"card_{key}_{one.incident_id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            badge(one.severity)
            st.text(f"{story.clock(one.start)} UTC · {one.kind} · score {one.score:.2f}", width="stretch")
            if st.button("Open", key=f"open_{key}_{one.incident_id}", icon=":material/arrow_forward:"):
                goto("incidents", incident=one.incident_id)
        st.text(one.title)


def goto(page: str, **query: str) -> None:
    st.switch_page(st.session_state["pages"][page], query_params=query)


def no_store(data: Data) -> bool:
    """Says so and returns True where there are no packets to show."""
    if data.store is not None and data.store.packets:
        return False
    empty(data.why_no_store or "No packets yet.", "sudo .venv/bin/python capture.py --interface eth0")
    return True
