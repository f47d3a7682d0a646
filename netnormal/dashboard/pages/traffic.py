"""Who talked with whom, how much and when: filtered, counted, exported."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import streamlit as st

from netnormal.dashboard import charts, questions
from netnormal.dashboard import show as _show
from netnormal.dashboard.filters import Filter
from netnormal.dashboard.pages.incidents import packet_table
from netnormal.dashboard.store import Store
from netnormal.quantities import size

SECOND = 10**9
#: columns of questions.conversations, and what a reader sees above them
COLUMNS = {
    "source": "who asked",
    "destination": "whom",
    "service": "service",
    "packets": "packets",
    "bytes_out": "bytes there",
    "bytes_in": "bytes back",
    "failed": "failed attempts",
}


def show(data: _show.Data) -> None:
    st.header("Traffic")
    if _show.no_store(data):
        return
    store, look = data.store, _show.look()
    assert store is not None
    chosen = _chosen(store)
    sums = questions.tally(store, chosen)
    if not sums.packets:
        _show.empty("No packets match this filter: widen it.")
        return
    tiles = st.container(horizontal=True)
    tiles.metric("Packets", charts.counted(sums.packets), width="content")
    tiles.metric("Bytes", size(sums.bytes), width="content")
    tiles.metric("Hosts", f"{sums.hosts:,}", width="content")
    tiles.metric("Failed attempts", f"{sums.failed:,}", width="content")
    _show.chart(charts.volume(sums.volume, sums.width, "bytes", look), "Mbit a second by protocol")
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Top talkers")
        busiest = questions.talkers(store, chosen).head(10)
        busiest["said"] = [size(value) for value in busiest["bytes"]]
        busiest["mb"] = busiest["bytes"] / 1e6
        _show.chart(charts.bars(busiest, "host", "mb", "said", look), "Top talkers by bytes")
    with right:
        st.subheader("Handshakes")
        shaken = questions.handshakes(store, chosen)
        if len(shaken):
            _show.chart(charts.latency(shaken, look), "TCP handshake latency over time")
        else:
            st.text("No complete TCP handshake.")
    st.subheader("Conversations")
    st.caption("The 200 with most bytes.")
    talk = questions.conversations(store, chosen)
    _show.table(talk[list(COLUMNS)].rename(columns=COLUMNS), "conversations", height=320)
    st.subheader("Packets")
    packet_table(store, chosen, "traffic")


def _chosen(store: Store) -> Filter:
    """The filter that a reader set."""
    names = [str(name) for name in questions.protocols(store)["protocol"]]
    protocols = st.multiselect("Protocol", names, key="protocols", placeholder="all")
    left, right = st.columns(2)
    host = left.text_input("Host", key="host", placeholder="10.0.0.7, 10.0.0. or 10.0.0.0/24")
    service = right.text_input("Service", key="service", placeholder="TCP/443, 53 …")
    first, last = store.start // SECOND, store.end // SECOND + 1
    low, high = pd.Timestamp(first, unit="s").to_pydatetime(), pd.Timestamp(last, unit="s").to_pydatetime()
    form = "HH:mm:ss" if last - first < 86_400 else "MMM D, HH:mm"
    begin, end = st.slider("Time (UTC)", low, high, (low, high), timedelta(seconds=1), form, key=f"time_{first}")
    whole = (begin, end) == (low, high)
    start = None if whole else int(pd.Timestamp(begin).value)
    return Filter(tuple(protocols), host, service, start, None if whole else int(pd.Timestamp(end).value))
