"""The answer first: what happened, who did it, to whom; then the traffic."""

from __future__ import annotations

import time

import pandas as pd
import streamlit as st

from netnormal import advice, answers
from netnormal.dashboard import charts, questions, results, story
from netnormal.dashboard import show as _show
from netnormal.dashboard.filters import Filter
from netnormal.quantities import size

WORST = 5
MOST_CULPRITS = 5
LANES = 10  # of the picture of when it happened
SECOND = 10**9
#: periods that a reader can look back, in s
PERIODS = {"10 minutes": 600, "hour": 3600, "day": 86_400, "week": 604_800}
LIVE_PERIOD = "hour"
ALL = "whole time"


def show_health(data: _show.Data) -> None:
    """One line on whether the figures can be trusted; while following also whether they still come."""
    if data.live:
        sound, name, words = story.liveness(data.status, time.time())
    elif data.health:
        sound = data.health.get("status") == "ok"
        name = "capture sound" if sound else "capture has gaps"
        lost = results.number(data.health.get("kernel_drops"), -1)
        reasons = [results.plain(word) for word in data.health.get("reasons") or []]
        words = "; ".join([*reasons, "nobody counted lost packets" if lost < 0 else f"{lost:,.0f} packets lost"])
    else:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        icon = ":material/check:" if sound else ":material/warning:"
        st.badge(name, icon=icon, color="green" if sound else "orange")
        st.text(words, width="stretch")


def show(data: _show.Data) -> None:
    found, hidden = data.shown()
    _incidents(data, found, hidden)
    _notices(data)
    _traffic(data)


def _incidents(data: _show.Data, found: list[results.Incident] | None, hidden: int) -> None:
    if found is None:
        st.header("No verdict yet")
        _show.empty("Nothing has been judged yet. Train a model on traffic you trust, then:", "python detect.py")
        return
    span = data.span(found)
    found, period = _of_period(found, span, data.live)
    st.header(answers.headline(one.severity for one in found) + (f" in the last {period}" if period else ""))
    st.text(answers.who(found))
    show_health(data)
    if hidden:
        st.caption(f"{hidden:,} more hidden by suppressions.")
    if data.store is not None and data.store.packets and not data.fits:
        _show.empty(
            "These results are of another capture than the packets below. Judge these packets with:",
            f"python detect.py --input {data.store.capture}",
        )
    if not found:
        return
    st.subheader("When")
    chart = charts.timeline(found, _show.look(), None if period else span, LANES)
    _show.chart(chart, "Incidents over time, a lane for each source and kind")
    lanes = len({(one.source, one.kind) for one in found})
    if lanes > LANES:
        st.caption(f"The worst {LANES} of {lanes:,} lanes.")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.subheader("Worst first")
        for one in found[:WORST]:
            told = f"How sure: {answers.basis(one.pattern)}. Next: {advice.of(one.pattern).then}"
            _show.card(one, "overview", data.judged.get(one.incident_id, ""), told)
        if len(found) > WORST and st.button(f"All {len(found):,} incidents", key="all_incidents"):
            _show.goto("incidents")
    with right:
        st.subheader("Who did it")
        culprits = answers.culprits(found)
        for number, culprit in enumerate(culprits[:MOST_CULPRITS]):
            _culprit(culprit, number)
        if len(culprits) > MOST_CULPRITS:
            st.caption(f"and {len(culprits) - MOST_CULPRITS:,} more sources")


def _of_period(found: list[results.Incident], span: tuple[int, int], live: bool) -> tuple[list[results.Incident], str]:
    """The incidents of the last period, if the reader chose one; what is live begins with the last hour."""
    shorter = [name for name, seconds in PERIODS.items() if seconds * SECOND < span[1] - span[0]]
    if not shorter:
        return found, ""
    usual = LIVE_PERIOD if live and LIVE_PERIOD in shorter else ALL
    chosen = st.segmented_control("Incidents of the last", [*shorter, ALL], default=usual, key="period") or ALL
    if chosen == ALL:
        return found, ""
    return [one for one in found if one.end >= span[1] - PERIODS[chosen] * SECOND], chosen


def _culprit(one: answers.Culprit, number: int) -> None:
    """A source, what it did and to whom."""
    with st.container(border=True, key=f"culprit_{number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            _show.badge(one.worst)
            _show.strong(answers.name_of(one.source), f"culprit_{number}")
            many = f"{one.incidents:,} incident{'s' if one.incidents > 1 else ''}"
            if st.button(many, key=f"of_{number}", icon=":material/search:", help="Show its incidents"):
                st.session_state["search"] = f"source:{one.source}"
                _show.goto("incidents")
        st.text(", ".join(one.kinds))
        st.caption("To whom")
        st.text(answers.listed(one.targets, 4) or "nobody in particular")


def _notices(data: _show.Data) -> None:
    told = results.notices(data.folder)
    if told is None or not len(told):
        return
    with st.expander(f"New, but no incident: {len(told):,} notices", key="notices"):
        st.caption(
            "What the baseline had never seen, and calls too few to be told from a beacon. No alarm: most networks see "
            "such things every day. Worth a look where an incident names the same host."
        )
        first = [story.moment(start) for start in told["start"]]
        _show.table(
            pd.DataFrame({"First (UTC)": first, "What": told["title"], "Host": told["source"]}), "notices_table"
        )


def _traffic(data: _show.Data) -> None:
    st.subheader("Traffic")
    if _show.no_store(data):
        return
    store = data.store
    assert store is not None
    sums, look = questions.tally(store, Filter()), _show.look()
    seconds = max((store.end - store.start) / 1e9, 1e-3)
    tiles = st.container(horizontal=True)
    tiles.metric("Packets", charts.counted(sums.packets), width="content")
    tiles.metric("Bytes", size(sums.bytes), width="content")
    tiles.metric("Hosts", f"{sums.hosts:,}", width="content")
    tiles.metric("Packets/s", f"{sums.packets / seconds:,.4g}", width="content")
    tiles.metric("Mbit/s", f"{sums.bytes * 8e-6 / seconds:,.3g}", width="content")
    if (made := data.verdicts()) is not None and not data.reading:
        tiles.metric("Anomalous", f"{made.anomalous.mean():.1%}", width="content", help="of the packets")
    lost = results.number(results.mapping(store.capture.with_suffix(".json")).get("kernel_drops"), -1)
    tiles.metric("Lost", "unknown" if lost < 0 else f"{lost:,.0f}", width="content", help="packets, by the kernel")
    left, right = st.columns(2, gap="medium")
    with left:
        st.text("Packets a second")
        _show.chart(charts.volume(sums.volume, sums.width, "packets", look), "Packets a second by protocol")
    with right:
        st.text("Mbit a second")
        _show.chart(charts.volume(sums.volume, sums.width, "bytes", look), "Mbit a second by protocol")
    with left:
        st.text("Protocols")
        _show.chart(charts.shares(questions.protocols(store), look), "Share of packets and bytes by protocol")
    with right:
        _rate(data, sums.width)


def _rate(data: _show.Data, width: int) -> None:
    made = data.verdicts()
    if made is not None and data.store is not None:
        st.text("Anomalous share of the packets")
        frame = questions.judged(data.store, made, width)
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
