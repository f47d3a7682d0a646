"""Which hosts there are, who talks to whom, and which hardware address stands behind which address."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from netnormal.dashboard import charts, questions, results, story
from netnormal.dashboard import show as _show

MOST_HOSTS = 2000


def show(data: _show.Data) -> None:
    st.header("Network")
    if _show.no_store(data):
        return
    store = data.store
    assert store is not None
    found = (data.incidents()[0] or []) if data.fits else []
    bindings = questions.bindings(store)
    double = story.contested(zip(bindings["mac"], bindings["ip"], strict=True))
    if double:
        st.badge("addresses used by more than one hardware address", icon=":material/warning:", color="orange")
        for ip, macs in list(double.items())[:10]:
            st.text(f"{results.plain(ip)} was used by {results.plain(', '.join(macs))}")
    st.subheader("Who asked whom")
    st.caption("The busiest hosts, those of incidents first. A ring marks a source of incidents.")
    pairs = questions.pairs(store, questions.Filter())
    _show.chart(charts.matrix(pairs, {one.source for one in found}, _show.look()), "Which host asked which, by packets")
    st.subheader("Hosts")
    _show.table(hosts(questions.hosts(store), bindings, found), "hosts", height=400)
    st.subheader("Hardware addresses")
    seen = bindings.head(MOST_HOSTS)
    _show.table(
        pd.DataFrame(
            {
                "MAC": seen["mac"],
                "Address": seen["ip"],
                "First seen (UTC)": [story.moment(time) for time in seen["first"]],
                "Last seen (UTC)": [story.moment(time) for time in seen["last"]],
                "Packets": seen["packets"],
            }
        ),
        "bindings",
        height=320,
    )


def hosts(known: pd.DataFrame, bindings: pd.DataFrame, found: list[results.Incident]) -> pd.DataFrame:
    """A row for each host: those of incidents first, then by address."""
    heaviest = bindings.sort_values("packets", ascending=False)
    mac_of = dict(zip(heaviest["ip"][::-1], heaviest["mac"][::-1], strict=True))
    own = set(heaviest.drop_duplicates("mac")["ip"])  # what a hardware address sends most from
    addresses = bindings.groupby("mac").size()
    caused, met = _counted([one.source for one in found]), _counted([n for one in found for n in one.destinations])
    rows = [
        {
            "Host": host,
            "Role": story.role(
                host, answered, asked, 0 if host in own else int(addresses.get(mac_of.get(host, ""), 0))
            ),
            "Incidents caused": caused.get(host, 0),
            "Incidents met": met.get(host, 0),
            "Answers": answered,
            "Asks for": asked,
            "MAC": mac_of.get(host, ""),
            "First seen (UTC)": story.moment(first),
            "Last seen (UTC)": story.moment(last),
        }
        for host, first, last, answered, asked in known.itertuples(index=False)
    ]
    made = pd.DataFrame(rows)
    order = ["Incidents caused", "Incidents met", "Host"]
    return made.sort_values(order, ascending=[False, False, True], ignore_index=True).head(MOST_HOSTS)


def _counted(names: list[str]) -> dict[str, int]:
    return {name: names.count(name) for name in set(names)}
