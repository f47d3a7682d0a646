"""What a capture is made of, summed up in one pass: `results/summary.json`, and the most active hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from netnormal import tables
from netnormal.kernels.traffic import handshakes

SECOND = 1_000_000_000
#: Packets summed up at one go, counted from the first one, so that nothing depends on how the input was cut.
STRIDE = 1 << 18
MOST_NAMED = 20  # talkers and services in the summary
#: Addresses whose packets are counted. At twice as many the quieter half is forgotten (lossy counting, Manku and
#: Motwani 2002): a flood with a new source in each packet does not fill the memory, and who is heavy stays.
MOST_TALKERS = 200_000
MOST_DISTINCT = 10_000_000  # distinct addresses counted exactly, 8 bytes each; beyond it the count says `at least`
MOST_SERVICES = 10_000  # services whose handshakes are timed apart; beyond it the rarer half is forgotten
MOST_WAITING = 1_000_000  # SYNs that wait for an answer, the latest
SYN_WAIT_NS = 127 * SECOND  # for how long: Linux gives up after six repeats, 127 s (tcp_syn_retries)
STEPS_PER_DECADE = 231  # of latency: steps of 1 %
MOST_BINS = 300  # of the series; bins as long as in BINS_S
BINS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 21_600, 86_400, 604_800, 2_592_000)
PAGE_S = 256  # seconds counted together in memory
#: Packet sizes as RMON has them (RFC 2819, etherStatsPkts…Octets); the upper end belongs to the range [bytes].
SIZE_ENDS = (64, 127, 255, 511, 1023, 1518)
NOT_DECODED = "not decoded"
ODD_SHARE = 0.01  # of the packets: more duplicates, or more frames that an adapter joined, change what is counted
UNDECODED_SHARE = 0.01  # of the packets: more than this and the statistics do not speak for the network


class TrafficStatistics:
    """`add` blocks of packets in capture order, any sizes; `summary` at the end. See docs/schemas.md#summary.

    Memory is bounded by time (16 bytes for each second with traffic) and by the constants above, not by packets.
    """

    def __init__(self) -> None:
        self._strides = _Strides()
        self._sums = _Sums()

    def add(self, packets: pd.DataFrame) -> None:
        """Take the next packets (tables.PACKETS)."""
        for stride in self._strides.push(packets):
            self._sums.add(stride)

    def summary(self, manifest: Mapping[str, Any] | None = None, late_packets: int = 0) -> dict[str, Any]:
        """All statistics, for JSON. manifest: captured_data.json, where there is one; late_packets: `Windower.late`."""
        for rest in self._strides.rest():
            self._sums.add(rest)
        return self._sums.summary() | {"health": self._sums.health(manifest or {}, late_packets)}


def top_talkers(blocks: Iterable[pd.DataFrame], count: int) -> list[str]:
    """The `count` addresses with the most packets, sent and received, in blocks of tables.PACKETS; busiest first."""
    strides, talkers = _Strides(), _Talkers()
    for block in blocks:
        for stride in strides.push(block):
            talkers.add(stride)
    for rest in strides.rest():
        talkers.add(rest)
    return [name for name, _ in talkers.ranked(count, "packets_sent", "packets_received")]


#: What of a packet is counted.
_USED = ["time", "length", "protocol", "undecoded", "src_ip", "dst_ip", "src_mac", "tcp_flags", "src_port", "dst_port"]


class _Strides:
    """Cuts blocks of any sizes into tables of STRIDE packets, with the columns _USED."""

    def __init__(self) -> None:
        self._kept: list[pd.DataFrame] = []
        self._count = 0

    def push(self, packets: pd.DataFrame) -> Iterator[pd.DataFrame]:
        start = 0
        used = packets[_USED].copy()  # so that the rest of the block can go
        while start < len(packets):
            part = used.iloc[start : start + STRIDE - self._count]
            start += len(part)
            self._kept.append(part)
            self._count += len(part)
            if self._count == STRIDE:
                yield from self.rest()

    def rest(self) -> Iterator[pd.DataFrame]:
        """What is left, if there is any."""
        if self._kept:
            table = tables.concat(self._kept)
            self._kept, self._count = [], 0
            yield table


class _Sums:
    """Everything counted so far; each `add` takes a stride."""

    def __init__(self) -> None:
        self.packets, self.bytes = 0, 0
        self.start, self.end = np.iinfo(np.int64).max, -1
        self.last = -1
        self.backward_steps, self.largest_backward_step = 0, 0
        self.pages: dict[int, np.ndarray] = {}  # PAGE_S seconds each: packets, bytes
        self.protocols: dict[str, np.ndarray] = {}  # packets, bytes
        self.undecoded: dict[str, int] = {}
        self.sizes = np.zeros(len(SIZE_ENDS) + 1, np.int64)
        self.largest = 0
        self.distinct = {name: _Distinct() for name in ("src_ip", "dst_ip", "ip", "mac")}
        self.talkers = _Talkers()
        self.latencies = _Latencies()

    def add(self, packets: pd.DataFrame) -> None:
        time, length = packets["time"].to_numpy(np.int64), packets["length"].to_numpy(np.int64)
        self.packets += len(time)
        self.bytes += int(length.sum())
        self.start, self.end = min(self.start, int(time.min())), max(self.end, int(time.max()))
        steps = np.diff(time, prepend=self.last if self.last >= 0 else time[0])
        self.last = int(time[-1])
        self.backward_steps += int((steps < 0).sum())
        self.largest_backward_step = max(self.largest_backward_step, int(-steps.min()))
        self._add_seconds(time // SECOND, length)
        ones = np.ones_like(length)
        protocols = packets["protocol"].array
        if NOT_DECODED not in protocols.categories:
            protocols = protocols.add_categories(NOT_DECODED)
        protocols = protocols.fillna(NOT_DECODED)
        for name, sums in zip(*_by_word(protocols, ones, length), strict=True):
            self.protocols[name] = self.protocols.get(name, 0) + sums
        for name, sums in zip(*_by_word(packets["undecoded"].array, ones), strict=True):
            self.undecoded[name] = self.undecoded.get(name, 0) + int(sums[0])
        self.sizes += np.bincount(np.searchsorted(SIZE_ENDS, length), minlength=len(self.sizes))
        self.largest = max(self.largest, int(length.max()))
        for column, sets in (("src_ip", ("src_ip", "ip")), ("dst_ip", ("dst_ip", "ip")), ("src_mac", ("mac",))):
            words = packets[column].array
            hashes = pd.util.hash_array(np.asarray(words.categories.take(_used(words)), object))
            for name in sets:
                self.distinct[name].add(hashes)
        self.talkers.add(packets)
        self.latencies.add(packets)

    def _add_seconds(self, second: np.ndarray, length: np.ndarray) -> None:
        pages = second // PAGE_S
        starts = np.flatnonzero(np.diff(pages, prepend=pages[0] - 1))  # few: packets come in order of time
        page, at = np.unique(pages[starts], return_inverse=True)
        at = np.repeat(at, np.diff(starts, append=len(pages)))
        slot = at * PAGE_S + second % PAGE_S
        counts = np.bincount(slot, minlength=len(page) * PAGE_S).reshape(-1, PAGE_S)
        sizes = np.bincount(slot, length, len(page) * PAGE_S).astype(np.int64).reshape(-1, PAGE_S)
        for number, packets, octets in zip(page.tolist(), counts, sizes, strict=True):
            known = self.pages.setdefault(number, np.zeros((2, PAGE_S), np.int64))
            known += np.stack([packets, octets])

    def summary(self) -> dict[str, Any]:
        duration = (self.end - self.start) / SECOND if self.packets else 0.0
        span = max(duration, 1.0)  # a rate over less than a second says nothing
        seconds = np.concatenate([*self.pages.values(), np.zeros((2, 1), np.int64)], axis=1)
        return {
            "start": tables.iso(self.start) if self.packets else None,
            "end": tables.iso(self.end) if self.packets else None,
            "duration_s": duration,
            "packets": self.packets,
            "bytes": self.bytes,
            "throughput": {
                "mean_packets_per_s": self.packets / span,
                "mean_mbit_per_s": self.bytes * 8e-6 / span,
                "peak_packets_per_s": int(seconds[0].max()),
                "peak_mbit_per_s": float(seconds[1].max() * 8e-6),
                "series": self._series(),
            },
            "handshake_latency": self.latencies.summary(),
            "protocols": [
                {
                    "protocol": name,
                    "packets": int(packets),
                    "bytes": int(octets),
                    "packet_share": packets / self.packets,
                    "byte_share": octets / max(self.bytes, 1),
                }
                for name, (packets, octets) in sorted(self.protocols.items(), key=lambda item: (-item[1][0], item[0]))
            ],
            "distinct": {
                "ip_addresses": len(self.distinct["ip"]),
                "source_ip_addresses": len(self.distinct["src_ip"]),
                "destination_ip_addresses": len(self.distinct["dst_ip"]),
                "sending_hardware_addresses": len(self.distinct["mac"]),
                "exact": not any(known.full for known in self.distinct.values()),
            },
            "talkers": self.talkers.summary(),
            "packet_sizes": {
                "mean_bytes": self.bytes / self.packets if self.packets else None,
                "largest_bytes": self.largest,
                "up_to_bytes": [*SIZE_ENDS, None],
                "packets": self.sizes.tolist(),
            },
        }

    def _series(self) -> dict[str, Any]:
        """Packets and bytes over time, in bins of the shortest length that needs no more than MOST_BINS."""
        if not self.packets:
            return {"bin_s": 1, "start": None, "packets": [], "bytes": []}
        first, last = self.start // SECOND, self.end // SECOND
        bin_s = next((s for s in BINS_S if last // s - first // s < MOST_BINS), (last - first) // MOST_BINS + 1)
        base = first // bin_s
        series = np.zeros((2, last // bin_s - base + 1), np.int64)
        for page, counts in self.pages.items():
            used = np.flatnonzero(counts[0])
            np.add.at(series.T, (page * PAGE_S + used) // bin_s - base, counts[:, used].T)
        start = tables.iso(base * bin_s * SECOND)
        return {"bin_s": bin_s, "start": start, "packets": series[0].tolist(), "bytes": series[1].tolist()}

    def health(self, manifest: Mapping[str, Any], late_packets: int) -> dict[str, Any]:
        """`status` ok or degraded, the `reasons` in words, and the numbers behind them."""
        undecoded = sum(self.undecoded.values())
        share = undecoded / self.packets if self.packets else 0.0
        lost = {name: manifest.get(name) for name in ("kernel_drops", "interface_drops")}
        reasons = []
        if share > UNDECODED_SHARE:
            worst = max(self.undecoded, key=lambda reason: (self.undecoded[reason], reason))
            reasons.append(f"{share:.1%} of the packets could not be decoded to the end, most for: {worst}")
        if late_packets:
            reasons.append(f"{late_packets:,} packets came too late for their windows and are in no feature")
        if self.largest_backward_step >= SECOND:
            back = self.largest_backward_step / SECOND
            reasons.append(f"the clock went back {self.backward_steps:,} times, by up to {back:,.3g} s")
        bearable = manifest.get("drop_share_limit") or 0.0
        for name, words in (("kernel_drops", "the kernel"), ("interface_drops", "the interface")):
            count = lost[name] or 0
            if count > bearable * (count + (manifest.get("packets") or self.packets)):
                reasons.append(f"{words} lost {count:,} packets, which nobody has seen")
        whole = max(manifest.get("packets") or self.packets, 1)
        odd = {name: manifest.get(name) for name in ("duplicate_packets", "oversized_packets")}
        for name, words in (
            ("duplicate_packets", "were captured twice: the capture point sees their way in two places"),
            ("oversized_packets", "are longer than the wire allows: the adapter joined them (offloading)"),
        ):
            odd_share = (odd[name] or 0) / whole
            if odd_share > ODD_SHARE:
                reasons.append(f"{odd_share:.1%} of the packets {words}")
        reasons += [str(problem) for problem in manifest.get("problems", [])]
        if not self.packets:
            reasons.append("the capture has no packets")
        return {
            "status": "degraded" if reasons else "ok",
            "reasons": reasons,
            "undecoded_packets": undecoded,
            "undecoded_share": share,
            "undecoded_by_reason": dict(sorted(self.undecoded.items(), key=lambda item: (-item[1], item[0]))),
            "late_packets": late_packets,
            "backward_steps": self.backward_steps,
            "largest_backward_step_s": self.largest_backward_step / SECOND,
            **lost,
            **odd,
        }


class _Distinct:
    """Distinct values by their 64-bit hash: among ten million, two share one with a chance of 3 in a million."""

    def __init__(self) -> None:
        self._hashes = np.zeros(0, np.uint64)
        self.full = False

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, hashes: np.ndarray) -> None:
        if not self.full:
            merged = np.sort(np.concatenate([self._hashes, hashes]), kind="stable")  # np.unique is slow on hashes
            self._hashes = merged[np.diff(merged, prepend=~merged[:1]) != 0]
            self.full = len(self._hashes) > MOST_DISTINCT
            self._hashes = self._hashes[:MOST_DISTINCT] if self.full else self._hashes


class _Talkers:
    """Packets and bytes by address, sent and received."""

    COLUMNS = ("packets_sent", "bytes_sent", "packets_received", "bytes_received")

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.sums = np.zeros((1024, len(self.COLUMNS)), np.int64)
        self.forgotten, self.error = 0, 0

    def add(self, packets: pd.DataFrame) -> None:
        length = packets["length"].to_numpy(np.int64)
        ones = np.ones_like(length)
        for at, column in ((0, "src_ip"), (2, "dst_ip")):
            names, sums = _by_word(packets[column].array, ones, length)
            known = self.rows
            rows = np.array([known.setdefault(name, len(known)) for name in names], np.int64)
            if len(known) > len(self.sums):
                room = max(len(known), 2 * len(self.sums)) - len(self.sums)
                self.sums = np.concatenate([self.sums, np.zeros((room, len(self.COLUMNS)), np.int64)])
            self.sums[rows, at : at + 2] += sums
        if len(self.rows) > 2 * MOST_TALKERS:
            self._forget()

    def _forget(self) -> None:
        """Keep the busier half. Whoever comes back has lost at most as many packets as the busiest one forgotten."""
        names = list(self.rows)
        total = self.sums[: len(names), 0] + self.sums[: len(names), 2]
        order = np.lexsort([np.arange(len(names)), -total])
        kept = np.sort(order[:MOST_TALKERS])
        self.error += int(total[order[MOST_TALKERS]])
        self.forgotten += len(names) - MOST_TALKERS
        self.rows = {names[row]: i for i, row in enumerate(kept)}
        self.sums = np.concatenate([self.sums[kept], np.zeros_like(self.sums[:MOST_TALKERS])])

    def ranked(self, most: int, *columns: str) -> list[tuple[str, np.ndarray]]:
        """The `most` names with the largest sum of these columns, and their sums; equal ones by name."""
        used = self.sums[: len(self.rows)]
        total = used[:, [self.COLUMNS.index(name) for name in columns]].sum(axis=1)
        least = max(np.sort(total)[-most:].min(initial=0), 1)
        enough = np.flatnonzero(total >= least)
        names = list(self.rows)
        order = sorted(enough.tolist(), key=lambda row: (-total[row], names[row]))
        return [(names[row], used[row]) for row in order[:most]]

    def summary(self) -> dict[str, Any]:
        def rows(column: str) -> list[dict[str, Any]]:
            most = self.ranked(MOST_NAMED, column)
            return [{"address": name, **dict(zip(self.COLUMNS, sums.tolist(), strict=True))} for name, sums in most]

        return {
            "sources_by_packets": rows("packets_sent"),
            "sources_by_bytes": rows("bytes_sent"),
            "destinations_by_packets": rows("packets_received"),
            "destinations_by_bytes": rows("bytes_received"),
            "forgotten_addresses": self.forgotten,
            "packets_missing_at_most": self.error,
        }


class Handshakes:
    """Finds the SYN-ACKs that answer a SYN, and how long after it, in blocks of tables.PACKETS in capture order."""

    def __init__(self) -> None:
        self._waiting = pd.DataFrame({"key": np.zeros(0, np.int64), "time": np.zeros(0, np.int64), "kind": 0})

    def push(self, packets: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
        """The handshake packets among the next ones, and for each its latency [ns]; -1: it answers none."""
        letters = packets["tcp_flags"].array
        kinds = [("S" in w) * (1 + ("A" in w)) if not set("RF") & set(w) else 0 for w in letters.categories]
        kind = np.array([*kinds, 0], np.int8)[letters.codes]
        part = packets.iloc[np.flatnonzero(kind)]
        kind = kind[kind > 0]
        ends = []
        for side in ("src", "dst"):
            words = part[f"{side}_ip"].array
            used, of_packet = np.unique(words.codes, return_inverse=True)
            hashes = pd.util.hash_array(np.asarray(words.categories.take(used[used >= 0]), object))
            if len(hashes) < len(used):  # the first is the empty cell's
                hashes = np.append(np.uint64(0), hashes)
            ends.append(hashes[of_packet] * np.uint64(0x9E3779B97F4A7C15) + part[f"{side}_port"].to_numpy(np.uint64))
        client, server = (np.where(kind == 2, a, b) for a, b in (ends[::-1], ends))
        key = (client ^ (server * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(1))).view(np.int64)
        before = len(self._waiting)
        keys = np.concatenate([self._waiting["key"].to_numpy(), key])
        times = np.concatenate([self._waiting["time"].to_numpy(), part["time"].to_numpy(np.int64)])
        kind = np.concatenate([self._waiting["kind"].to_numpy(), kind]).astype(np.int8)
        latency, waiting = handshakes(keys, kind, times, SYN_WAIT_NS)
        open_ = np.flatnonzero((waiting > 0) & (times >= times.max(initial=0) - SYN_WAIT_NS))[-MOST_WAITING:]
        self._waiting = pd.DataFrame({"key": keys[open_], "time": times[open_], "kind": waiting[open_]})
        return part, latency[before:]


class _Latencies:
    """Handshake latencies, in all and by the service that answered."""

    def __init__(self) -> None:
        self.steps = np.zeros(1, np.int64)
        self.longest = 0
        self.services: dict[tuple[str, int], tuple[dict[int, int], int]] = {}  # steps → handshakes; the longest
        self._handshakes = Handshakes()

    def add(self, packets: pd.DataFrame) -> None:
        self._count(*self._handshakes.push(packets))

    def _count(self, packets: pd.DataFrame, latency: np.ndarray) -> None:
        rows = np.flatnonzero(latency >= 0)
        if not len(rows):
            return
        found = latency[rows]
        step = np.floor(np.log10(np.maximum(found, 1)) * STEPS_PER_DECADE).astype(np.int64)
        total = np.bincount(step, minlength=len(self.steps))
        total[: len(self.steps)] += self.steps
        self.steps, self.longest = total, max(self.longest, int(found.max()))
        address = packets["src_ip"].array
        server = address.codes[rows].astype(np.int64) << 16 | packets["src_port"].to_numpy(np.int64)[rows]
        order = np.argsort(server, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(server[order])) + 1):
            code, port = divmod(int(server[members[0]]), 1 << 16)
            counts, longest = self.services.get((str(address.categories[code]), port), ({}, 0))
            for one in step[members].tolist():
                counts[one] = counts.get(one, 0) + 1
            longest = max(longest, int(found[members].max()))
            self.services[(str(address.categories[code]), port)] = (counts, longest)
        if len(self.services) > 2 * MOST_SERVICES:
            self.services = dict(self._busiest(MOST_SERVICES))

    def _busiest(self, count: int) -> list[tuple[tuple[str, int], tuple[dict[int, int], int]]]:
        return sorted(self.services.items(), key=lambda item: (-sum(item[1][0].values()), item[0]))[:count]

    def summary(self) -> dict[str, Any]:
        services = []
        for (address, port), (counts, longest) in self._busiest(MOST_NAMED):
            steps = np.zeros(max(counts) + 1, np.int64)
            steps[list(counts)] = list(counts.values())
            services.append({"address": address, "service": f"TCP/{port}", **_quantiles(steps, longest)})
        return _quantiles(self.steps, self.longest) | {"services": services}


def _quantiles(steps: np.ndarray, longest: int) -> dict[str, Any]:
    """Count, median, 95th percentile (nearest rank, to 1 %) and maximum (exact) of latencies."""
    count = int(steps.sum())
    if not count:
        return {"count": 0, "median_s": None, "p95_s": None, "max_s": None}
    ranks = np.searchsorted(np.cumsum(steps), [np.ceil(0.5 * count), np.ceil(0.95 * count)])
    values = np.minimum(10.0 ** ((ranks + 0.5) / STEPS_PER_DECADE), longest) / SECOND
    return {"count": count, "median_s": float(values[0]), "p95_s": float(values[1]), "max_s": longest / SECOND}


def _used(words: pd.Categorical) -> np.ndarray:
    """Numbers of the categories that a cell has."""
    return np.flatnonzero(np.bincount(words.codes.astype(np.int64) + 1, minlength=1)[1:])


def _by_word(words: pd.Categorical, *weights: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The words used, and for each the sums of each weight over its cells (int64[words, weights])."""
    used, codes = _used(words), words.codes.astype(np.int64) + 1
    sums = [np.bincount(codes, weight, 1)[1:][used].astype(np.int64) for weight in weights]
    return [str(word) for word in words.categories.take(used)], np.stack(sums, axis=1)
