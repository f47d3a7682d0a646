"""The answer first: what happened, who did it, to whom; then the traffic."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from netnormal.dashboard import charts, questions, results, story
from netnormal.dashboard import show as _show
from netnormal.figures.words import size

WORST = 5
MOST_CULPRITS = 10


def show_health(data: _show.Data) -> None:
    """One line on whether the figures can be trusted."""
    summary = data.summary
    status = results.mapping(data.folder / "status.json") if data.live else {}
    health = results.at(summary, "health", otherwise={}) or results.at(status, "health", otherwise={})
    if not isinstance(health, dict) or not health:
        return
    reasons = [results.plain(word) for word in health.get("reasons") or []]
    lost = health.get("kernel_drops")
    words = "nobody counted lost packets" if lost is None else f"{lost:,} packets lost"
    sound = health.get("status") == "ok"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(
            "capture sound" if sound else "capture has gaps",
            icon=":material/check:" if sound else ":material/warning:",
            color="green" if sound else "orange",
        )
        st.text("; ".join([*reasons, words]), width="stretch")


def show(data: _show.Data) -> None:
    found, hidden = data.incidents()
    _incidents(data, found, hidden)
    _traffic(data)


def _incidents(data: _show.Data, found: list[results.Incident] | None, hidden: int) -> None:
    if found is None:
        st.header("No verdict yet")
        _show.empty("Nothing has been judged yet. Train a model on traffic you trust, then:", "python detect.py")
        return
    st.header(story.headline(found))
    st.text(story.who(found))
    show_health(data)
    if hidden:
        st.caption(f"{hidden:,} more hidden by suppressions.csv.")
    if data.store is not None and data.store.packets and not data.fits:
        _show.empty(
            "These results are of another capture than the packets below. Judge these packets with:",
            "python detect.py --input dataset/captured_data.csv",
        )
    if not found:
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.subheader("Worst first")
        for one in found[:WORST]:
            _show.card(one, "overview")
        if len(found) > WORST and st.button(f"All {len(found):,} incidents", key="all_incidents"):
            _show.goto("incidents")
    with right:
        st.subheader("Who did it")
        _show.table(culprits(found), "culprits")
        st.subheader("When")
        _show.chart(charts.timeline(found, _show.look()), "Incidents over time, a lane for each source and kind")


def culprits(found: list[results.Incident]) -> pd.DataFrame:
    """A row for each source, worst first."""
    rows = story.culprits(found)[:MOST_CULPRITS]
    return pd.DataFrame(
        {
            "Source": [story.name_of(one.source) for one in rows],
            "Incidents": [one.incidents for one in rows],
            "Worst": [one.worst for one in rows],
            "To whom": [", ".join(one.targets[:5]) for one in rows],
            "What": [", ".join(one.kinds) for one in rows],
        }
    )


def _traffic(data: _show.Data) -> None:
    st.subheader("Traffic")
    if _show.no_store(data):
        return
    store = data.store
    assert store is not None
    sums = questions.totals(store, questions.Filter())
    seconds = max((store.end - store.start) / 1e9, 1e-3)
    tiles = st.container(horizontal=True)
    tiles.metric("Packets", charts.counted(sums["packets"]), width="content")
    tiles.metric("Bytes", size(sums["bytes"]), width="content")
    tiles.metric("Hosts", f"{sums['hosts']:,}", width="content")
    tiles.metric("Packets/s", f"{sums['packets'] / seconds:,.4g}", width="content")
    tiles.metric("Mbit/s", f"{sums['bytes'] * 8e-6 / seconds:,.3g}", width="content")
    width = questions.bin_width(store.start, store.end)
    series, look = questions.volume(store, questions.Filter(), width), _show.look()
    left, right = st.columns(2, gap="medium")
    with left:
        st.text("Packets a second")
        _show.chart(charts.volume(series, width, "packets", look), "Packets a second by protocol")
    with right:
        st.text("Mbit a second")
        _show.chart(charts.volume(series, width, "bytes", look), "Mbit a second by protocol")
    with left:
        st.text("Protocols")
        _show.chart(charts.shares(questions.protocols(store), look), "Share of packets and bytes by protocol")
    with right:
        _rate(data, width)


def _rate(data: _show.Data, width: int) -> None:
    made = data.verdicts()
    if made is not None and data.store is not None:
        st.text("Anomalous share of the packets")
        frame = questions.judged(data.store, np.asarray(made.anomalous), width)
        _show.chart(charts.rate(frame, "anomalous", "packets", width, "anomalous"), "Anomalous share of the packets")
        return
    sums = results.scores(data.folder)
    if sums is None or not len(sums.over_time):
        return
    length = int(sums.over_time["window_s"].min())
    frame = sums.over_time[sums.over_time["window_s"] == length]
    st.text("Anomalous share of the conversations")
    _show.chart(
        charts.rate(frame, "anomalies", "rows", length * 10**9, "anomalous"), "Anomalous share of the conversations"
    )
