"""All incidents to search, and one of them in full."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from netnormal import advice, answers
from netnormal.dashboard import charts, export, questions, results, story
from netnormal.dashboard import show as _show
from netnormal.dashboard.filters import Filter
from netnormal.dashboard.pages import verdict
from netnormal.dashboard.store import Store
from netnormal.patterns import MANY
from netnormal.tables import SEVERITIES

PER_PAGE = 20
MOST_PACKETS = 500
_MARGIN_NS = 60 * 10**9
#: columns of a packet table, and what a reader sees above them
COLUMNS = {
    "packet": "packet",
    "time": "time (UTC)",
    "src_ip": "source",
    "dst_ip": "destination",
    "service": "service",
    "length": "bytes",
    "tcp_flags": "TCP flags",
    "dns_query": "DNS name",
    "server_name": "TLS name",
}


def show(data: _show.Data) -> None:
    everything, hidden = data.incidents()
    if everything is None:
        st.header("Incidents")
        _show.empty("Nothing has been judged yet.", "python detect.py")
        return
    wanted = st.query_params.get("incident")
    one = next((one for one in everything if one.incident_id == wanted), None)
    if one is not None:
        _one(data, one, everything, hidden)
        return
    found = [one for one in everything if one.incident_id not in hidden]
    st.header(answers.headline(one.severity for one in found))
    if wanted:
        _show.empty("The incident that this address names is not among these results.")
    if hidden and st.toggle(f"Show {len(hidden):,} more that suppressions hide", key="hidden"):
        found = everything
    if not found:
        _show.empty("Nothing was unusual enough to be an incident.")
        return
    severities = st.pills("Severity", SEVERITIES, selection_mode="multi", key="severities")
    text = st.text_input("Search", key="search", placeholder="address, kind, service, id … or source:10.0.0.7")
    chosen = story.matching(found, severities, text)
    shape = st.segmented_control("Show as", ["Cards", "Table"], default="Cards", key="shape")
    st.caption(f"{len(chosen):,} of {len(found):,}")
    marks = {**data.judged, **{name: f"hidden: {reason}" for name, reason in hidden.items()}}
    if shape == "Table":
        _show.table(listed(chosen, marks), "incident_table")
        return
    pages = max(-(-len(chosen) // PER_PAGE), 1)
    page = st.number_input("Page", 1, pages, key="page") if pages > 1 else 1
    for incident in chosen[(page - 1) * PER_PAGE : page * PER_PAGE]:
        _show.card(incident, "list", marks.get(incident.incident_id, ""))


def listed(chosen: list[results.Incident], marks: dict[str, str]) -> pd.DataFrame:
    """Incidents as a table. marks: by id what a person said of it."""
    table = pd.DataFrame(
        {
            "Severity": [one.severity for one in chosen],
            "What": [one.title for one in chosen],
            "Source": [answers.name_of(one.source) for one in chosen],
            "Start (UTC)": [story.moment(one.start) for one in chosen],
            "Duration [s]": [round(one.lasts_s, 3) for one in chosen],
            "Id": [one.incident_id for one in chosen],
        }
    )
    said = [marks.get(one.incident_id, "") for one in chosen]
    return table.assign(Judged=said) if any(said) else table


def _one(data: _show.Data, one: results.Incident, found: list[results.Incident], hidden: dict[str, str]) -> None:
    if st.button("All incidents", key="back", icon=":material/arrow_back:"):
        _show.goto("incidents")
    with st.container(horizontal=True, vertical_alignment="center"):
        _show.badge(one.severity)
        st.text(f"{one.kind} · {one.incident_id}")
    _show.large(one.title, "incident")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        with st.container(border=True):
            _show.facts(story.facts(one), "incident")
        with st.container(border=True):
            verdict.buttons(data, one, hidden.get(one.incident_id))
    with right, st.container(border=True):
        told = advice.of(one.pattern)
        _show.strong("What to look at next", "next")
        st.text(told.then)
        _show.strong("What it usually means", "means")
        st.text(told.means)
    st.subheader("Why")
    if one.evidence or not one.explanation:
        st.text(one.evidence or one.reasons)
    ranged = [reason for reason in one.explanation if reason.said]
    if ranged:
        st.caption("The bar is what is usual here, the diamond is what was seen.")
        _show.chart(charts.reasons(ranged, _show.look()), "Each feature's value against its usual range")
    for reason in one.explanation:
        if not reason.said:
            st.text(f"• {reason.words}")
    if one.normal:
        _show.strong("What would have been normal", "normal")
        st.text(one.normal)
    _packets(data, one)
    st.subheader("In Wireshark")
    st.code(one.display_filter, language=None, wrap_lines=True)
    _new(data, one)
    _others(data, one, [other for other in found if other.incident_id not in hidden])


def _packets(data: _show.Data, one: results.Incident) -> None:
    store = data.store
    evidence = data.evidence / one.incident_id / "packets.pcap"
    st.subheader("Its packets")
    if evidence.is_file():
        st.download_button(
            "Evidence (PCAP)", evidence.read_bytes, f"{one.incident_id}.pcap", key="evidence", on_click="ignore"
        )
    if store is not None and data.reading and not store.packets:
        st.caption("Reading the packets …")
        return
    if store is None or not data.fits:
        _show.empty("The packets of these results are not here: choose their capture on the left.")
        return
    around = Filter(start=one.start - _MARGIN_NS, end=one.end + _MARGIN_NS)
    low, high = max(store.start, around.start or 0), min(store.end, around.end or 0)
    width = questions.bin_width(low, high)
    table = questions.around(store, around, width)
    if len(table) and ((table["source"] == one.source) | (table["destination"] == one.source)).any():
        st.caption("With whom the source spoke, a minute before and after; shaded: the incident.")
        _show.chart(charts.around(table, width, one, _show.look()), "With whom the source spoke around the incident")
    made = data.verdicts()
    numbers = made.numbers(one.incident_id) if made is not None else None
    packet_table(store, told_of(one) if numbers is None else Filter(), "incident", numbers)


def told_of(one: results.Incident) -> Filter:
    """What an incident says of its packets, for where no file says which they are: while a capture is followed."""
    service = " ".join(one.services) if len(one.services) < results.MOST_LISTED else ""
    liar = one.document["evidence"].get("hardware_address")  # in the name of others, so addresses say nothing
    if isinstance(liar, str):
        return Filter(service=service, start=one.start, end=one.end, mac=liar)
    source = one.source if one.source != MANY else ""
    whole = source and len(one.destinations) < results.MOST_LISTED
    among = frozenset({source, *one.destinations}) if whole else frozenset[str]()
    return Filter(host=source, service=service, start=one.start, end=one.end, among=among)


def packet_table(store: Store, chosen: Filter, key: str, numbers: np.ndarray | None = None) -> None:
    """The first packets that match, and all of them to download."""
    shown = questions.packets(store, chosen, MOST_PACKETS, numbers)
    if not len(shown):
        st.text("No packets.")
        return
    names = COLUMNS | ({"src_mac": "hardware source"} if (shown["service"] == "ARP").any() else {})
    table = questions.iso_columns(shown)[list(names)].dropna(axis="columns", how="all").rename(columns=names)
    _show.table(table, f"packets_{key}", height=320)
    st.caption(f"The first {len(shown):,}; a download holds up to {export.MOST_PACKETS:,}.")
    source, why = export.origin(store.capture)
    with st.container(horizontal=True):
        st.download_button(
            "Packets (CSV)", lambda: export.as_csv(store, chosen, numbers), "packets.csv", key=f"csv_{key}",
            on_click="ignore",
        )  # fmt: skip
        if source is not None:
            st.download_button(
                "Packets (PCAP)",
                lambda: export.as_pcap(source, export.numbers_of(store, chosen, numbers)),
                "packets.pcap",
                key=f"pcap_{key}",
                on_click="ignore",
            )
    if source is None:
        st.text(why)


def _new(data: _show.Data, one: results.Incident) -> None:
    """What the same host did for the first time."""
    told = results.notices(data.folder)
    own = [] if told is None else list(told["title"][told["source"] == one.source])
    if own:
        st.subheader("What is new about this source")
        for title in own[:PER_PAGE]:
            st.text(title)


def _others(data: _show.Data, one: results.Incident, found: list[results.Incident]) -> None:
    others = [other for other in found if other.source == one.source and other is not one]
    if others:
        st.subheader("What else this source did")
        for other in sorted(others, key=lambda other: other.start)[:PER_PAGE]:
            _show.card(other, "others", data.judged.get(other.incident_id, ""))
