"""Packets summed up into the small tables that pictures are made of, block by block, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from netnormal.tables import InputError
from netnormal.traffic import STEPS_PER_DECADE, Handshakes

#: Lengths of a time bin [ns]; each divides the next, so that finer bins can be joined without a rest.
LADDER = tuple(
    round(seconds * 1e9)
    for seconds in (0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 86_400, 864_000)
)
MAX_BINS = 240  # of a time axis: more are too narrow to see
MAX_HOSTS = 1_000_000  # remembered; beyond it those with fewest packets are forgotten
SCORE_STEP = 0.02


class Tally:
    """Sums by key. With `time` among the keys it is a bin's start, and bins grow until at most MAX_BINS span it.

    What `table` returns depends on all rows pushed, not on how they were cut into blocks.
    """

    def __init__(self, keys: list[str], sums: list[str]) -> None:
        self.keys, self.sums = keys, sums
        self._total = pd.DataFrame()
        self._step = 0

    @property
    def bin_s(self) -> float:
        return LADDER[self._step] / 1e9

    def push(self, rows: pd.DataFrame) -> None:
        """Add `rows`, which have the key and sum columns (time in ns)."""
        if not len(rows):
            return
        if "time" in self.keys:
            times = rows["time"]
            low, high = int(times.min()), int(times.max())
            if len(self._total):
                low, high = min(low, int(self._total["time"].min())), max(high, int(self._total["time"].max()))
            step = self._step
            while step < len(LADDER) - 1 and high // LADDER[step] - low // LADDER[step] >= MAX_BINS:
                step += 1
            if step > self._step and len(self._total):
                self._total = self._grouped(self._binned(self._total, step))
            self._step = step
            rows = self._binned(rows, step)
        parts = [self._grouped(rows)]
        if len(self._total):
            parts.insert(0, self._total)
        self._total = self._grouped(pd.concat(parts, ignore_index=True)) if len(parts) > 1 else parts[0]

    def forget(self, most: int, by: str) -> None:
        """Keep only the `most` keys with the largest sum of `by`, if there are more than twice as many."""
        if len(self._total) > 2 * most:
            kept = self._total.sort_values([by, *self.keys], ascending=[False] + [True] * len(self.keys))
            self._total = kept.head(most).sort_values(self.keys, ignore_index=True)

    def table(self) -> pd.DataFrame:
        """One row per key, in order of the keys; int64 sums."""
        if not len(self._total):
            return pd.DataFrame({name: pd.Series(dtype=np.int64) for name in (*self.keys, *self.sums)})
        return self._total

    def _binned(self, rows: pd.DataFrame, step: int) -> pd.DataFrame:
        return rows.assign(time=rows["time"] // LADDER[step] * LADDER[step])

    def _grouped(self, rows: pd.DataFrame) -> pd.DataFrame:
        made = rows.groupby(self.keys, observed=True, sort=True, as_index=False)[self.sums].sum()
        text = [key for key in self.keys if isinstance(made[key].dtype, pd.CategoricalDtype)]
        return made.astype(dict.fromkeys(text, "object")).sort_values(self.keys, ignore_index=True)


class Tallies:
    """What pictures need beyond `traffic.TrafficStatistics`: sums over time, by label and by exact length."""

    def __init__(self) -> None:
        self.traffic = Tally(["time"], ["packets", "bytes", "anomalous_packets", "anomalous_bytes"])
        self.throughput = Tally(["time", "protocol"], ["bytes"])
        self.sources = Tally(["host"], ["packets", "bytes", "anomalous_packets"])
        self.destinations = Tally(["host"], ["packets", "bytes", "anomalous_packets"])
        self.sizes = Tally(["length", "protocol"], ["packets"])
        self.scores = Tally(["time", "score"], ["packets", "anomalous_packets"])
        self.latencies = Tally(["time", "step"], ["handshakes"])
        self._handshakes = Handshakes()
        self.packets, self.bytes, self.anomalous = 0, 0, 0
        self.start, self.end = -1, -1

    def push(self, packets: pd.DataFrame, labels: pd.DataFrame) -> None:
        """Add a block of tables.PACKETS and the rows of tables.LABELLED_PACKETS for the same packets."""
        anomalous = (labels["label"] == "anomalous").to_numpy()
        length = packets["length"].to_numpy()
        protocol = packets["protocol"].cat.add_categories(["not decoded"]).fillna("not decoded")
        rows = pd.DataFrame(
            {
                "time": packets["time"],
                "protocol": protocol,
                "length": length,
                "packets": 1,
                "bytes": length,
                "anomalous_packets": anomalous.astype(np.int64),
                "anomalous_bytes": np.where(anomalous, length, 0),
                "score": np.floor(labels["score"].to_numpy() / SCORE_STEP + 1e-9) * SCORE_STEP,
            }
        )
        for tally in (self.traffic, self.throughput, self.sizes, self.scores):
            tally.push(rows)
        for tally, column in ((self.sources, "src_ip"), (self.destinations, "dst_ip")):
            tally.push(rows.assign(host=packets[column]))
            tally.forget(MAX_HOSTS, "packets")
        self._shake_hands(packets)
        self.packets += len(rows)
        self.bytes += int(length.sum())
        self.anomalous += int(anomalous.sum())
        if len(rows):
            low, high = int(packets["time"].min()), int(packets["time"].max())
            self.start, self.end = min(low, self.start) if self.start >= 0 else low, max(high, self.end)

    def handshakes(self) -> pd.DataFrame:
        """time (start of a bin), latency_s, handshakes; see `figures.handshakes`."""
        table = self.latencies.table()
        return table.assign(latency_s=10.0 ** ((table["step"] + 0.5) / STEPS_PER_DECADE) / 1e9)

    def _shake_hands(self, packets: pd.DataFrame) -> None:
        part, latency = self._handshakes.push(packets)
        rows = np.flatnonzero(latency >= 0)
        step = np.floor(np.log10(np.maximum(latency[rows], 1)) * STEPS_PER_DECADE).astype(np.int64)
        self.latencies.push(pd.DataFrame({"time": part["time"].to_numpy()[rows], "step": step, "handshakes": 1}))

    def every_bin(self) -> pd.DataFrame:
        """The table of `traffic` with the bins in which there was nothing."""
        table = self.traffic.table()
        if not len(table):
            return table
        width = round(self.traffic.bin_s * 1e9)
        times = np.arange(int(table["time"].iloc[0]), int(table["time"].iloc[-1]) + width, width)
        return table.set_index("time").reindex(times, fill_value=0).rename_axis("time").reset_index()


@dataclass(frozen=True)
class Found:
    """The anomalies summed up: `table` as for `figures.anomalies`; `threshold`, the lowest of their scores (or NaN)."""

    table: pd.DataFrame
    threshold: float


def conversations(anomalies: Iterable[pd.DataFrame]) -> Found:
    """Distinct anomalous conversations by their source and protocol, from blocks of tables.ANOMALIES."""
    keys = ["host", "protocol", "destination", "service"]
    tally, threshold = Tally(keys, ["rows"]), np.nan
    for block in anomalies:
        protocol = block["service"].astype(object).str.split("/").str[0]
        tally.push(
            pd.DataFrame(
                {
                    "host": block["source"].astype(object),
                    "protocol": protocol,
                    "destination": block["destination"].astype(object),
                    "service": block["service"].astype(object),
                    "rows": 1,
                }
            )
        )
        threshold = np.nanmin([threshold, block["score"].min()]) if len(block) else threshold
    table = tally.table().groupby(["host", "protocol"], as_index=False, sort=True).size()
    return Found(table.rename(columns={"size": "conversations"}), float(threshold))


def labelled(
    packets: Iterable[pd.DataFrame], labels: Iterable[pd.DataFrame], where: object
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Blocks of a capture's packets, each with the rows of labelled_packets.csv (`where`) for the same packets.

    Raises InputError if the two files are not of the same capture.
    """
    remedy = "run  python detect.py  on this capture, or name the other one with --capture"
    source = iter(labels)
    kept: list[pd.DataFrame] = []
    for block in packets:
        while sum(map(len, kept)) < len(block):
            more = next(source, None)
            if more is None:
                raise InputError(where, "has fewer packets than the capture", remedy)
            kept.append(more)
        rows = pd.concat(kept, ignore_index=True) if len(kept) > 1 else kept[0]
        mine = rows.head(len(block)).reset_index(drop=True)
        if not np.array_equal(mine["packet"], block["packet"]):
            raise InputError(where, "names other packets than the capture", remedy)
        kept = [rows.iloc[len(block) :]]
        yield block, mine
    if sum(map(len, kept)) or next(source, None) is not None:
        raise InputError(where, "has more packets than the capture", remedy)
