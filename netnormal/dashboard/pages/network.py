"""Which hosts there are, who talks to whom, and which hardware address stands behind which address."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd
import streamlit as st

from netnormal.dashboard import changes, charts, questions, results, story
from netnormal.dashboard import show as _show
from netnormal.dashboard.filters import Filter

MOST_HOSTS = 2000
MOST_NEW = 200
NAMED = 6  # in a sentence


def show(data: _show.Data) -> None:
    st.header("Network")
    if _show.no_store(data):
        return
    store = data.store
    assert store is not None
    found = (data.shown()[0] or []) if data.fits else []
    bindings, pairs = questions.bindings(store), questions.pairs(store, Filter())
    before = changes.baseline(data.model)
    _normal(before)
    answered = questions.answered(store)
    if before is not None:
        _changed(changes.changes(before, pairs, answered))
    st.subheader("Who asked whom")
    st.caption("Who asked most, sources of incidents first, and whom. A ring marks a source of incidents.")
    _show.chart(charts.matrix(pairs, {one.source for one in found}, _show.look()), "Which host asked which, by packets")
    st.subheader("Hosts")
    known = before.hosts if before is not None else None
    _show.table(hosts(questions.hosts(store), bindings, answered, found, known), "hosts", height=400)
    _hardware(bindings)


def _normal(before: changes.Baseline | None) -> None:
    """The baseline in a few lines."""
    st.subheader("What is normal here")
    if before is None:
        _show.empty(
            "No model yet, so nothing to compare with. Capture traffic you trust, then:", "dvc repro train_model"
        )
        return
    services = [f"{results.plain(name, 30)} ({count:,})" for name, count in before.services[:NAMED]]
    _show.facts(
        [
            ("Hosts", f"{len(before.hosts):,}, {before.inside:,} of them this network's own"),
            ("Talks", f"{len(before.pairs):,} pairs of hosts, {len(before.known.talks):,} conversations"),
            ("Servers", f"{len({host for host, _ in before.known.served}):,} hosts that answered"),
            ("Services", ", ".join(services) + (" …" if len(before.services) > NAMED else "")),
        ],
        "normal",
    )


def _changed(seen: changes.Changes) -> None:
    """What the baseline had never seen, in a sentence each; the pairs as a table."""
    st.subheader("What changed against it")
    fresh, servers = [results.plain(host, 60) for host in seen.hosts], seen.servers
    answers = [
        f"{results.plain(host, 60)} ({', '.join(names[:3])}{' …' * (len(names) > 3)})"
        for host, names in servers.items()
    ]
    _show.facts(
        [
            ("New hosts", _listed(fresh) + (f"; {seen.sought:,} more were only looked for" if seen.sought else "")),
            ("New services", _listed(answers)),
            ("New talks", f"{len(seen.talks):,} pairs of hosts that never talked in the baseline"),
            ("Not seen", f"{seen.gone:,} of the network's own hosts in the baseline"),
        ],
        "changed",
        110,
    )
    if len(seen.talks):
        with st.expander("Pairs of hosts that never talked in the baseline", key="new_pairs"):
            names = {"source": "who asked", "destination": "whom", "failed": "failed attempts"}
            _show.table(seen.talks.head(MOST_NEW).rename(columns=names), "new_talks", height=280)


def _listed(names: list[str]) -> str:
    """How many, and the first of them."""
    if not names:
        return "none"
    return f"{len(names):,}: {', '.join(names[:NAMED])}" + (" …" if len(names) > NAMED else "")


def _hardware(bindings: pd.DataFrame) -> None:
    st.subheader("Hardware addresses")
    double = story.contested(zip(bindings["mac"], bindings["ip"], strict=True))
    if double:
        st.badge("addresses used by more than one hardware address", icon=":material/warning:", color="orange")
        for ip, macs in list(double.items())[:10]:
            st.text(f"{results.plain(ip)} was used by {results.plain(', '.join(macs))}")
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


def hosts(
    seen: pd.DataFrame,
    bindings: pd.DataFrame,
    answers: Collection[tuple[str, str]],
    found: list[results.Incident],
    known: Collection[str] | None = None,
) -> pd.DataFrame:
    """A row for each host: those of incidents first, then by address. known: the baseline's hosts, if there is one."""
    heaviest = bindings.sort_values("packets", ascending=False)
    mac_of = dict(zip(heaviest["ip"][::-1], heaviest["mac"][::-1], strict=True))
    own = set(heaviest.drop_duplicates("mac")["ip"])  # what a hardware address sends most from
    addresses = bindings.groupby("mac").size()
    near = {host for host, service in answers if service in story.LINK}
    caused, met = _counted([one.source for one in found]), _counted([n for one in found for n in one.destinations])

    def role(host: str, answered: str, asked: str) -> str:
        shared = int(addresses.get(mac_of.get(host, ""), 0))
        return story.role(host, answered, asked, 0 if host in own & near else shared, host in near)

    rows = [
        {
            "Host": host,
            "Role": role(host, answered, asked),
            "In the baseline": "" if known is None else "yes" if host in known else "new",
            "Incidents caused": caused.get(host, 0),
            "Incidents met": met.get(host, 0),
            "Answers": answered,
            "Asks for": asked,
            "MAC": mac_of.get(host, ""),
            "First seen (UTC)": story.moment(first),
            "Last seen (UTC)": story.moment(last),
        }
        for host, first, last, answered, asked in seen.itertuples(index=False)
    ]
    made = pd.DataFrame(rows)
    order = ["Incidents caused", "Incidents met", "Host"]
    return made.sort_values(order, ascending=[False, False, True], ignore_index=True).head(MOST_HOSTS)


def _counted(names: list[str]) -> dict[str, int]:
    return {name: names.count(name) for name in set(names)}
