"""Questions to a `store.Store`, answered part by part. Tables that come back are small; times are int64 ns UTC."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netnormal import tables
from netnormal.dashboard.store import SECOND, Part, Store
from netnormal.tallies import LADDER

MOST_GROUPS = 50_000  # kept of what is summed up by key; the lightest beyond are forgotten
MOST_BINS = 240
TALK = ["packets_out", "packets_in", "bytes_out", "bytes_in", "failed"]


@dataclass(frozen=True)
class Filter:
    """Which packets. host: an address or a network (10.0.0.0/8); service: TCP/443, TCP, or a port; times in ns.

    start and end are both included; on tables of seconds their whole seconds are.
    """

    protocols: tuple[str, ...] = ()
    host: str = ""
    service: str = ""
    start: int | None = None
    end: int | None = None

    def hits(self, part: Part) -> bool:
        return (self.start is None or part.end >= self.start) and (self.end is None or part.start <= self.end)

    def of(self, table: pa.Table, clock: str, ends: tuple[str, str]) -> pa.Table:
        """The rows of `table` that match; `ends` are the columns that name hosts."""
        mask = None
        second = SECOND if clock == "second" else 1
        tests = []
        if self.start is not None:
            tests.append(pc.greater_equal(table[clock], self.start // second * second))
        if self.end is not None:
            tests.append(pc.less_equal(table[clock], self.end))
        if self.protocols:
            tests.append(_among(table["protocol"], self.protocols))
        if self.service.strip():
            tests.append(_matching(table["service"], lambda word: of_service(word, self.service)))
        if self.host.strip():
            wanted = _Hosts(self.host)
            tests.append(pc.or_(*(_matching(table[name], wanted.has) for name in ends)))
        for test in tests:
            mask = test if mask is None else pc.and_(mask, test)
        return table if mask is None else table.filter(mask)


class _Hosts:
    """What a person typed for a host: one address, the beginning of one, or a network in CIDR notation."""

    def __init__(self, text: str) -> None:
        self.text = text.strip().lower()
        self.network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
        if "/" in self.text:
            try:
                self.network = ipaddress.ip_network(self.text, strict=False)
            except ValueError:
                self.network = None

    def has(self, name: str) -> bool:
        if self.network is not None:
            try:
                return ipaddress.ip_address(name) in self.network
            except ValueError:
                return False
        return name == self.text or (self.text.endswith((".", ":")) and name.startswith(self.text))


def of_service(service: str, wanted: str) -> bool:
    """Does TCP/443 match what a person typed: TCP/443, tcp, 443, several with commas or blanks?"""
    protocol, _, port = service.lower().partition("/")
    return any(word in (service.lower(), protocol, port) for word in wanted.lower().replace(",", " ").split())


def _matching(words: pa.ChunkedArray, test: Callable[[str], bool]) -> pa.ChunkedArray:
    """Which cells of a dictionary column pass `test`, which is asked once for each distinct word."""
    masks = []
    for chunk in words.chunks:
        right = np.array([*map(test, chunk.dictionary.to_pylist()), False], bool)
        masks.append(pa.array(right[chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)]))
    return pa.chunked_array(masks, pa.bool_())


def _among(words: pa.ChunkedArray, wanted: tuple[str, ...]) -> pa.ChunkedArray:
    return _matching(words, set(wanted).__contains__)


def _talk(store: Store, chosen: Filter, columns: list[str]) -> Iterator[pa.Table]:
    needed = set(columns) | {"second"} | ({"protocol"} if chosen.protocols else set())
    needed |= {"service"} if chosen.service.strip() else set()
    needed |= {"source", "destination"} if chosen.host.strip() else set()
    for part in store.parts:
        if chosen.hits(part):
            yield chosen.of(store.table(part, "talk", sorted(needed)), "second", ("source", "destination"))


def _sums(store: Store, chosen: Filter, keys: list[str], sums: list[str], by: str) -> pd.DataFrame:
    """Sums of the talk table by keys, heaviest in `by` first."""
    whole = pd.DataFrame({name: pd.Series(dtype=object if name in keys else np.int64) for name in [*keys, *sums]})
    for table in _talk(store, chosen, [*keys, *sums]):
        frame = _plain(table.select([*keys, *sums]))
        frame = frame.groupby(keys, observed=True, as_index=False)[sums].sum()
        whole = pd.concat([whole, frame], ignore_index=True).groupby(keys, as_index=False)[sums].sum()
        if len(whole) > 2 * MOST_GROUPS:
            whole = whole.nlargest(MOST_GROUPS, by)
    return whole.sort_values([by, *keys], ascending=[False] + [True] * len(keys), ignore_index=True)


def _plain(table: pa.Table) -> pd.DataFrame:
    made = {}
    for name in table.column_names:
        cells = table[name]
        text = pa.types.is_dictionary(cells.type)
        made[name] = cells.cast(pa.string()).to_pandas().astype(object) if text else cells.to_numpy()
    return pd.DataFrame(made, copy=False)


# ---------------------------------------------------------------- the questions


def totals(store: Store, chosen: Filter) -> dict[str, int]:
    """packets, bytes, failed, hosts (distinct ends of the conversations), conversations that match."""
    numbers = {"packets": 0, "bytes": 0, "failed": 0}
    hosts: set[str] = set()
    for table in _talk(store, chosen, ["source", "destination", *TALK]):
        sums = {name: pc.sum(table[name]).as_py() or 0 for name in TALK}
        numbers["packets"] += sums["packets_out"] + sums["packets_in"]
        numbers["bytes"] += sums["bytes_out"] + sums["bytes_in"]
        numbers["failed"] += sums["failed"]
        for name in ("source", "destination"):
            hosts |= set(pc.unique(table[name].cast(pa.string())).to_pylist())
    return numbers | {"hosts": len(hosts)}


def protocols(store: Store, chosen: Filter | None = None) -> pd.DataFrame:
    """protocol, packets, bytes; most packets first."""
    table = _sums(store, chosen or Filter(), ["protocol"], TALK, "packets_out")
    table["packets"], table["bytes"] = table.packets_out + table.packets_in, table.bytes_out + table.bytes_in
    return table[["protocol", "packets", "bytes"]].sort_values("packets", ascending=False, ignore_index=True)


def bin_width(start: int, end: int) -> int:
    """Length of a time bin [ns], a second or more, of which at most MOST_BINS lie between start and end."""
    steps = [step for step in LADDER if step >= SECOND]
    return next((step for step in steps if (end - start) // step < MOST_BINS), steps[-1])


def volume(store: Store, chosen: Filter, width: int) -> pd.DataFrame:
    """time (start of a bin of `width` ns), protocol, packets, bytes; bins without packets are left out."""
    whole = pd.DataFrame({"time": pd.Series(dtype=np.int64), "protocol": pd.Series(dtype=object)})
    whole["packets"] = whole["bytes"] = pd.Series(dtype=np.int64)
    for table in _talk(store, chosen, ["protocol", *TALK]):
        frame = _plain(table.select(["second", "protocol", *TALK]))
        frame = pd.DataFrame(
            {
                "time": frame["second"] // width * width,
                "protocol": frame["protocol"],
                "packets": frame["packets_out"] + frame["packets_in"],
                "bytes": frame["bytes_out"] + frame["bytes_in"],
            }
        )
        whole = pd.concat([whole, frame], ignore_index=True)
        whole = whole.groupby(["time", "protocol"], as_index=False)[["packets", "bytes"]].sum()
    return whole


def conversations(store: Store, chosen: Filter, most: int = 200) -> pd.DataFrame:
    """source (who asked), destination, service, packets, bytes_out, bytes_in, failed; most bytes first."""
    table = _sums(store, chosen, ["source", "destination", "service"], TALK, "bytes_out")
    table["bytes"] = table["bytes_out"] + table["bytes_in"]
    table["packets"] = table["packets_out"] + table["packets_in"]
    return table.sort_values(["bytes", "packets"], ascending=False, ignore_index=True).head(most)


def talkers(store: Store, chosen: Filter) -> pd.DataFrame:
    """host, sent_packets, sent_bytes, received_packets, received_bytes, bytes; most bytes first."""
    pairs = _sums(store, chosen, ["source", "destination"], TALK, "bytes_out")
    parts = []
    for end, out, back in (("source", "out", "in"), ("destination", "in", "out")):
        parts.append(
            pd.DataFrame(
                {
                    "host": pairs[end],
                    "sent_packets": pairs[f"packets_{out}"],
                    "sent_bytes": pairs[f"bytes_{out}"],
                    "received_packets": pairs[f"packets_{back}"],
                    "received_bytes": pairs[f"bytes_{back}"],
                }
            )
        )
    table = pd.concat(parts, ignore_index=True).groupby("host", as_index=False).sum()
    table["bytes"] = table["sent_bytes"] + table["received_bytes"]
    return table.sort_values(["bytes", "host"], ascending=[False, True], ignore_index=True)


def pairs(store: Store, chosen: Filter) -> pd.DataFrame:
    """source (who asked), destination, packets, bytes, failed; most bytes first."""
    table = _sums(store, chosen, ["source", "destination"], TALK, "bytes_out")
    table["bytes"] = table["bytes_out"] + table["bytes_in"]
    table["packets"] = table["packets_out"] + table["packets_in"]
    return table[["source", "destination", "packets", "bytes", "failed"]].sort_values(
        ["bytes", "source"], ascending=[False, True], ignore_index=True
    )


def hosts(store: Store) -> pd.DataFrame:
    """host, first, last [ns], asked (services it asked others for), answered (services it was asked for and answered).

    asked and answered are texts, most used first, at most four each.
    """
    times: dict[str, tuple[int, int]] = {}
    for part in store.parts:
        table = store.table(part, "talk", ["second", "source", "destination"])
        for end in ("source", "destination"):
            seen = table.group_by(end).aggregate([("second", "min"), ("second", "max")])
            for name, low, high in zip(*(seen[c].to_pylist() for c in (end, "second_min", "second_max")), strict=True):
                known = times.get(name, (low, high))
                times[name] = (min(low, known[0]), max(high, known[1]))
        if len(times) > 2 * MOST_GROUPS:  # those seen for the shortest time
            longest = sorted(times, key=lambda name: times[name][0] - times[name][1])[:MOST_GROUPS]
            times = {name: times[name] for name in longest}
    served = _sums(store, Filter(), ["destination", "service"], ["packets_in"], "packets_in")
    asked = _sums(store, Filter(), ["source", "service"], ["packets_out"], "packets_out")
    served = served[served["packets_in"] > 0]
    table_of = pd.DataFrame(
        {
            "host": list(times),
            "first": [low for low, _ in times.values()],
            "last": [high for _, high in times.values()],
        }
    )
    table_of["answered"] = table_of["host"].map(_listed(served, "destination")).fillna("")
    table_of["asked"] = table_of["host"].map(_listed(asked, "source")).fillna("")
    return table_of


def answered(store: Store) -> list[tuple[str, str]]:
    """Hosts and the services by which they answered, most used first."""
    served = _sums(store, Filter(), ["destination", "service"], ["packets_in"], "packets_in")
    served = served[served["packets_in"] > 0]
    return list(zip(served["destination"], served["service"], strict=True))


def _listed(table: pd.DataFrame, host: str) -> dict[str, str]:
    best: dict[str, list[str]] = {}
    for name, service in zip(table[host], table["service"], strict=True):
        best.setdefault(name, []).append(service)
    return {name: " ".join(words[:4]) + (" …" if len(words) > 4 else "") for name, words in best.items()}


def around(store: Store, chosen: Filter, width: int) -> pd.DataFrame:
    """time (start of a bin of `width` ns), source (who asked), destination, packets."""
    parts = []
    for table in _talk(store, chosen, ["source", "destination", "packets_out", "packets_in"]):
        frame = _plain(table.select(["second", "source", "destination", "packets_out", "packets_in"]))
        frame["time"], frame["packets"] = frame["second"] // width * width, frame["packets_out"] + frame["packets_in"]
        parts.append(frame.groupby(["time", "source", "destination"], as_index=False)[["packets"]].sum())
    if not parts:
        return pd.DataFrame({"time": [], "source": [], "destination": [], "packets": []})
    whole = pd.concat(parts, ignore_index=True)
    return whole.groupby(["time", "source", "destination"], as_index=False)[["packets"]].sum()


def bindings(store: Store) -> pd.DataFrame:
    """mac, ip, first, last [ns], packets; by who sent packets."""
    parts = [_plain(store.table(part, "bindings")) for part in store.parts]
    if not parts:
        return pd.DataFrame({"mac": [], "ip": [], "first": [], "last": [], "packets": []})
    whole = pd.concat(parts, ignore_index=True)
    sums = {"first": "min", "last": "max", "packets": "sum"}
    return whole.groupby(["mac", "ip"], as_index=False).agg(sums).nlargest(MOST_GROUPS, "packets")


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


def judged(store: Store, anomalous: np.ndarray, width: int) -> pd.DataFrame:
    """time (start of a bin of `width` ns), packets, anomalous; `anomalous` is bool by packet number - 1."""
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
