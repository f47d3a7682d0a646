"""Questions to a `store.Store`, answered part by part. Tables that come back are small; times are int64 ns UTC.

An answer is kept while the store has the same packets, for whoever asks again: nobody may change it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netnormal import tables
from netnormal.dashboard.filters import Filter
from netnormal.dashboard.results import Verdicts
from netnormal.dashboard.store import SECOND, Store
from netnormal.tallies import LADDER

MOST_GROUPS = 50_000  # kept of what is summed up by key; the lightest beyond are forgotten
MOST_BINS = 240
KEPT = 8  # answers to one question
TALK = ["packets_out", "packets_in", "bytes_out", "bytes_in", "failed"]
CONVERSATION = ["source", "destination", "service"]
_Question = TypeVar("_Question", bound=Callable[..., Any])


def kept(question: _Question) -> _Question:
    """`question`, whose latest answers are kept as long as the store has the same packets."""

    @functools.lru_cache(maxsize=KEPT)
    def ask(store: Store, _version: tuple[object, ...], *args: Any) -> Any:
        return question(store, *args)

    @functools.wraps(question)
    def answer(store: Store, *args: Any) -> Any:
        return ask(store, store.version, *args)

    return cast(_Question, answer)


@dataclass(frozen=True, eq=False)
class Tally:
    """What is known of the packets that match after one look at who talked with whom.

    volume : time (start of a bin of `width` ns), protocol, packets, bytes; bins without packets are left out.
    talk   : CONVERSATION, and TALK; most bytes_out first; beyond MOST_GROUPS the lightest are forgotten.
    """

    packets: int
    bytes: int
    failed: int
    hosts: int
    width: int
    volume: pd.DataFrame
    talk: pd.DataFrame


@kept
def tally(store: Store, chosen: Filter) -> Tally:
    """One look at who talked with whom: everything below that needs no more than sums comes from it."""
    width = bin_width(chosen.start or store.start, chosen.end or store.end)
    sums, hosts = dict.fromkeys(TALK, 0), set[str]()
    volumes, talk = list[pd.DataFrame](), _empty([*CONVERSATION, *TALK])
    for table in _talk(store, chosen, [*CONVERSATION, "protocol", *TALK]):
        sums = {name: sums[name] + (pc.sum(table[name]).as_py() or 0) for name in TALK}
        for end in ("source", "destination"):
            hosts |= set(pc.unique(table[end].cast(pa.string())).to_pylist())
        times = pc.multiply(pc.divide(table["second"], width), width)
        volumes.append(_grouped(table.append_column("time", times), ["time", "protocol"], TALK))
        talk = _joined([talk, _grouped(table, CONVERSATION, TALK)], CONVERSATION)
        if len(talk) > 2 * MOST_GROUPS:
            talk = talk.nlargest(MOST_GROUPS, "bytes_out")
    volume = both(_joined([_empty(["time", "protocol", *TALK]), *volumes], ["time", "protocol"]))
    return Tally(
        sums["packets_out"] + sums["packets_in"],
        sums["bytes_out"] + sums["bytes_in"],
        sums["failed"],
        len(hosts),
        width,
        volume[["time", "protocol", "packets", "bytes"]],
        _heaviest(talk, "bytes_out", CONVERSATION),
    )


def _talk(store: Store, chosen: Filter, columns: list[str]) -> Iterator[pa.Table]:
    for part in store.parts:
        if chosen.hits(part):
            yield chosen.of(store.table(part, "talk", ["second", *columns]), "second", ("source", "destination"))


def _grouped(table: pa.Table, keys: list[str], sums: list[str]) -> pd.DataFrame:
    """Sums of a part's table by keys."""
    made = table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in sums])
    return _plain(made.rename_columns({f"{name}_sum": name for name in sums}))


def _joined(frames: list[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    """Sums by keys of what has sums by keys already."""
    return pd.concat(frames, ignore_index=True).groupby(keys, as_index=False).sum()


def _empty(columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=np.int64 if name in (*TALK, "time") else object) for name in columns})


def _heaviest(table: pd.DataFrame, by: str, keys: list[str]) -> pd.DataFrame:
    return table.sort_values([by, *keys], ascending=[False] + [True] * len(keys), ignore_index=True)


def both(table: pd.DataFrame) -> pd.DataFrame:
    """`table` of TALK with packets and bytes of both directions."""
    packets, size = table["packets_out"] + table["packets_in"], table["bytes_out"] + table["bytes_in"]
    return table.assign(packets=packets, bytes=size)


def _plain(table: pa.Table) -> pd.DataFrame:
    made = {}
    for name in table.column_names:
        cells = table[name]
        text = pa.types.is_dictionary(cells.type)
        made[name] = cells.cast(pa.string()).to_pandas().astype(object) if text else cells.to_numpy()
    return pd.DataFrame(made, copy=False)


# ---------------------------------------------------------------- the questions


def bin_width(start: int, end: int) -> int:
    """Length of a time bin [ns], a second or more, of which at most MOST_BINS lie between start and end."""
    steps = [step for step in LADDER if step >= SECOND]
    return next((step for step in steps if (end - start) // step < MOST_BINS), steps[-1])


def protocols(store: Store, chosen: Filter | None = None) -> pd.DataFrame:
    """protocol, packets, bytes; most packets first."""
    sums = tally(store, chosen or Filter()).volume.groupby("protocol", as_index=False)[["packets", "bytes"]].sum()
    return sums.sort_values("packets", ascending=False, ignore_index=True)


def conversations(store: Store, chosen: Filter, most: int = 200) -> pd.DataFrame:
    """source (who asked), destination, service, packets, bytes_out, bytes_in, failed; most bytes first."""
    return _most_bytes(tally(store, chosen).talk, ["packets"]).head(most)


def talkers(store: Store, chosen: Filter) -> pd.DataFrame:
    """host, sent_packets, sent_bytes, received_packets, received_bytes, bytes; most bytes first."""
    talk = tally(store, chosen).talk
    parts = []
    for end, out, back in (("source", "out", "in"), ("destination", "in", "out")):
        sums = talk.groupby(end, as_index=False)[TALK].sum()
        parts.append(
            pd.DataFrame(
                {
                    "host": sums[end],
                    "sent_packets": sums[f"packets_{out}"],
                    "sent_bytes": sums[f"bytes_{out}"],
                    "received_packets": sums[f"packets_{back}"],
                    "received_bytes": sums[f"bytes_{back}"],
                }
            )
        )
    table = pd.concat(parts, ignore_index=True).groupby("host", as_index=False).sum()
    table["bytes"] = table["sent_bytes"] + table["received_bytes"]
    return table.sort_values(["bytes", "host"], ascending=[False, True], ignore_index=True)


def pairs(store: Store, chosen: Filter) -> pd.DataFrame:
    """source (who asked), destination, packets, bytes, failed; most bytes first."""
    sums = tally(store, chosen).talk.groupby(["source", "destination"], as_index=False)[TALK].sum()
    return _most_bytes(sums, [])[["source", "destination", "packets", "bytes", "failed"]]


def _most_bytes(table: pd.DataFrame, then: list[str]) -> pd.DataFrame:
    order, ends = ["bytes", *then], ["source", "destination"]
    ascending = [False] * len(order) + [True] * len(ends)
    return both(table).sort_values([*order, *ends], ascending=ascending, ignore_index=True)


@kept
def hosts(store: Store) -> pd.DataFrame:
    """host, first, last [ns], asked (services it asked others for), answered (services it was asked for and answered).

    asked and answered are texts, most used first, at most four each.
    """
    seen = pd.DataFrame({"host": pd.Series(dtype=object), "first": [], "last": []}).astype({"first": int, "last": int})
    for table in _talk(store, Filter(), ["source", "destination"]):
        for end in ("source", "destination"):
            times = table.group_by(end, use_threads=False).aggregate([("second", "min"), ("second", "max")])
            more = _plain(times.rename_columns({end: "host", "second_min": "first", "second_max": "last"}))
            seen = (
                pd.concat([seen, more], ignore_index=True)
                .groupby("host", as_index=False)
                .agg({"first": "min", "last": "max"})
            )
        if len(seen) > 2 * MOST_GROUPS:  # those seen for the shortest time are forgotten
            seen = seen.loc[(seen["last"] - seen["first"]).nlargest(MOST_GROUPS).index]
    talk = tally(store, Filter()).talk
    asked = _listed(_services(talk, "source", "packets_out"), "source")
    return seen.assign(
        answered=seen["host"].map(_listed(_services(talk, "destination", "packets_in"), "destination")).fillna(""),
        asked=seen["host"].map(asked).fillna(""),
    )


def answered(store: Store) -> list[tuple[str, str]]:
    """Hosts and the services by which they answered, most used first."""
    served = _services(tally(store, Filter()).talk, "destination", "packets_in")
    return list(zip(served["destination"], served["service"], strict=True))


def _services(talk: pd.DataFrame, end: str, by: str) -> pd.DataFrame:
    """The services of each host at this end, those with most packets first."""
    sums = talk.groupby([end, "service"], as_index=False)[[by]].sum()
    return _heaviest(sums[sums[by] > 0], by, [end, "service"])


def _listed(table: pd.DataFrame, host: str) -> dict[str, str]:
    best: dict[str, list[str]] = {}
    for name, service in zip(table[host], table["service"], strict=True):
        best.setdefault(name, []).append(service)
    return {name: " ".join(words[:4]) + (" …" if len(words) > 4 else "") for name, words in best.items()}


@kept
def around(store: Store, chosen: Filter, width: int) -> pd.DataFrame:
    """time (start of a bin of `width` ns), source (who asked), destination, packets."""
    keys = ["time", "source", "destination"]
    found = [_empty([*keys, "packets_out", "packets_in"])]
    for table in _talk(store, chosen, ["source", "destination", "packets_out", "packets_in"]):
        times = pc.multiply(pc.divide(table["second"], width), width)
        found.append(_grouped(table.append_column("time", times), keys, ["packets_out", "packets_in"]))
    whole = _joined(found, keys)
    return whole.assign(packets=whole["packets_out"] + whole["packets_in"])[[*keys, "packets"]]


@kept
def bindings(store: Store) -> pd.DataFrame:
    """mac, ip, first, last [ns], packets; by who sent packets."""
    parts = [_plain(store.table(part, "bindings")) for part in store.parts]
    if not parts:
        return pd.DataFrame({"mac": [], "ip": [], "first": [], "last": [], "packets": []})
    whole = pd.concat(parts, ignore_index=True)
    sums = {"first": "min", "last": "max", "packets": "sum"}
    return whole.groupby(["mac", "ip"], as_index=False).agg(sums).nlargest(MOST_GROUPS, "packets")


@kept
def handshakes(store: Store, chosen: Filter, most: int = 20_000) -> pd.DataFrame:
    """time [ns], service, latency_s of completed TCP handshakes; of more than `most` an even sample."""
    parts = []
    for part in store.parts:
        if chosen.hits(part):
            table = store.table(part, "handshakes")
            table = table.append_column("protocol", pa.array(["TCP"] * len(table), pa.string()).dictionary_encode())
            parts.append(
                _plain(chosen.of(table, "time", ("client", "server")).select(["time", "service", "latency_s"]))
            )
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"time": [], "service": [], "latency_s": []})
    return whole.iloc[:: max(len(whole) // most, 1)]


def packets(store: Store, chosen: Filter, most: int, numbers: np.ndarray | None = None) -> pd.DataFrame:
    """The first `most` packets that match, with their columns as in the store, and `service`; of `numbers` alone."""
    found: list[pd.DataFrame] = []
    for table in packet_tables(store, chosen, numbers):
        found.append(_plain(table.slice(0, most - sum(map(len, found)))))
        if sum(map(len, found)) >= most:
            break
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def packet_tables(store: Store, chosen: Filter, numbers: np.ndarray | None = None) -> Iterator[pa.Table]:
    """The packets that match, a part at a time."""
    for part in store.parts:
        if not chosen.hits(part):
            continue
        wanted = None
        if numbers is not None:
            wanted = numbers[np.searchsorted(numbers, part.first) : np.searchsorted(numbers, part.last, "right")]
            if not len(wanted):
                continue
        table = store.table(part, "packets")
        if wanted is not None:
            table = table.filter(pc.is_in(table["packet"], pa.array(wanted)))
        yield chosen.of(table, "time", ("src_ip", "dst_ip"))


@kept
def judged(store: Store, made: Verdicts, width: int) -> pd.DataFrame:
    """time (start of a bin of `width` ns), packets, anomalous."""
    anomalous = made.anomalous
    sums: dict[int, np.ndarray] = {}
    for part in store.parts:
        table = store.table(part, "packets", ["packet", "time"])
        number, time = table["packet"].to_numpy() - 1, table["time"].to_numpy() // width
        flag = anomalous[np.minimum(number, len(anomalous) - 1)] & (number < len(anomalous))
        first = int(time.min())
        both = np.stack([np.bincount(time - first), np.bincount(time - first, weights=flag)])
        for i in np.flatnonzero(both[0]):
            sums[first + int(i)] = sums.get(first + int(i), np.zeros(2)) + both[:, i]
    keys = sorted(sums)
    return pd.DataFrame(
        {
            "time": np.array(keys, np.int64) * width,
            "packets": [int(sums[key][0]) for key in keys],
            "anomalous": [int(sums[key][1]) for key in keys],
        }
    )


def iso_columns(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with its column `time` as text."""
    return table.assign(time=[tables.iso(time) for time in table["time"]])
