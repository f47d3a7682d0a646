"""Packet table → feature table: `Windower` cuts time into windows, `window_features` describes each closed one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.special

from netnormal import tables
from netnormal.flows import (
    ACK,
    ANSWERED,
    BROADCAST,
    FIN,
    MIDSTREAM,
    NOTICE,
    RST,
    SYN,
    UNANSWERED,
    conversations,
    directed_flows,
    flag_bits,
    flows,
    requests_and_replies,
)
from netnormal.kernels import group as kernels
from netnormal.settings import ExtractFeatures
from netnormal.tables.flow_columns import FLOWS, OUTCOMES

__all__ = ["ContradictionError", "Window", "Windower", "conversations", "features_of", "flows", "window_features"]

SECOND = kernels.SECOND
FAR = 2**63 - 1  # beyond every time
SILENCE_NS = SECOND  # a packet after this much silence is a new call
FAILED, CARRIED_ON, ONE_WAY, PENDING = range(4)
CLASSES = ("failed", "answered", "one-way", "pending")  # of flows, for counting like with like
ANSWER_NS = SECOND  # an answer may take this long: TCP's first timeout (RFC 6298)
UNSPECIFIED = ("0.0.0.0", "::")  # addresses of hosts that have none yet (RFC 1122, RFC 4291)
USUAL_DNS_TYPES = (1, 12, 28, 33, 65)  # A, PTR, AAAA, SRV, HTTPS


# ---------------------------------------------------------------- windows


@dataclass
class Window:
    """The packets (tables.PACKETS, in order of time) of one closed window [start, start + window_s); start in ns.

    `since` and `until` (ns) are where sight begins and ends: the window, or less if the stream began or ended in it.
    """

    window_s: int
    start: int
    packets: pd.DataFrame
    since: int = -FAR
    until: int = FAR

    def __post_init__(self) -> None:
        self.since = max(self.since, self.start)
        self.until = min(self.until, self.start + self.window_s * SECOND)


@dataclass
class _Open:
    """A window that is open: its packets so far, how many, where the first came from, and what was left out."""

    mark: Any
    parts: list[pd.DataFrame] = field(default_factory=list)
    count: int = 0
    evicted: int = 0
    until: int = FAR


class ContradictionError(Exception):
    """A packet came for a window that `Windower.quiet` had closed."""


class Windower:
    """Cuts a stream of packets, in any blocks, into windows of several lengths, aligned to the epoch.

    A window closes once a packet `lateness_s` or more beyond its end has been seen; packets that come after that are
    late for it: left out there, and counted in `late` (once for each length). A window keeps its first
    `packets_per_window` packets; those beyond are counted in `evicted` when it closes, and sight ends there. All is
    judged packet by packet, so the windows do not depend on how the stream was cut into blocks. `packets` counts all.
    `since` is the time of the stream's first packet, `latest` the latest so far; all windows that end by `closed` are.

    To go on after a restart, push again from the block where `oldest` says that the oldest open window began, to a
    windower `resumed` from what `progress` was before that block: windows that end by `closed` do not come again.
    """

    def __init__(self, settings: ExtractFeatures) -> None:
        self.packets = self.late = self.evicted = 0
        self.since, self.latest, self.closed = FAR, -FAR, -FAR
        self._again = -FAR  # windows up to here were closed before a restart
        self._lengths = [(window_s, window_s * SECOND) for window_s in settings.windows_s]
        self.lateness_ns = round(settings.lateness_s * SECOND)
        self.most = settings.packets_per_window
        self._open: dict[tuple[int, int], _Open] = {}  # by (end, window_s)

    def push(self, packets: pd.DataFrame, mark: Any = None) -> list[Window]:
        """Take the next packets (tables.PACKETS); return the windows they closed, in order of (end, window_s).

        `mark` is anything that names this block; see `oldest`. Raises ContradictionError if a packet belongs to a
        window that `quiet` closed.
        """
        if not len(packets):
            return []
        time = packets["time"].to_numpy(np.int64)
        latest = np.maximum(np.maximum.accumulate(time), self.latest)
        if not self.packets:
            self.since = min(self.since, int(time[0]))
        for window_s, length in self._lengths:
            window = time // length
            end = (window + 1) * length
            in_time = end + self.lateness_ns > latest
            if not self.firm and (in_time & (end <= self.closed)).any():
                raise ContradictionError
            self.late += int(len(time) - in_time.sum())
            for number, rows in _runs(window, in_time):
                key = ((number + 1) * length, window_s)
                if key not in self._open:
                    self._open[key] = _Open(mark)
                self._add(self._open[key], packets.iloc[rows])
        self.packets += len(time)
        self.latest = int(latest[-1])
        return self._close(self.latest - self.lateness_ns, FAR)

    def quiet(self, now: int) -> list[Window]:
        """No packet came, but it is `now` (ns): close the windows that ended `lateness_s` ago as the next would."""
        return self._close(now - self.lateness_ns, FAR)

    def flush(self) -> list[Window]:
        """The stream has ended: close what is open."""
        return self._close(FAR, self.latest + 1)

    def due(self, now: int) -> bool:
        """Would `quiet` close a window that has packets?"""
        return any(end <= now - self.lateness_ns for end, _ in self._open)

    @property
    def firm(self) -> bool:
        """Has a packet, not only `quiet`, said that what is closed is over?"""
        return self.closed <= max(self.latest - self.lateness_ns, -FAR)

    @property
    def judged(self) -> int:
        """All windows that end by then (ns) have been given, before a restart or after."""
        return max(self.closed, self._again)

    @property
    def oldest(self) -> Any:
        """The mark of the first block that a window still open has packets of; None if there is none."""
        return next((window.mark for window in self._open.values()), None)

    def progress(self) -> dict[str, int]:
        """What `resumed` needs, before a block is pushed."""
        return {"packets": self.packets, "late": self.late, "since": self.since, "latest": self.latest}

    def resumed(self, progress: dict[str, int], closed: int, evicted: int) -> None:
        """Go on as if what came before the block with this `progress` had been pushed, and `closed` all until then."""
        self.packets, self.late = int(progress["packets"]), int(progress["late"])
        self.since, self.latest = int(progress["since"]), int(progress["latest"])
        self.evicted, self._again = int(evicted), int(closed)

    def _add(self, window: _Open, packets: pd.DataFrame) -> None:
        room = self.most - window.count
        if len(packets) > room:
            window.evicted += len(packets) - room
            window.until = min(window.until, int(packets["time"].iloc[room]))
            packets = packets.iloc[:room]
        if len(packets):
            window.parts.append(packets)
            window.count += len(packets)

    def _close(self, time: int, until: int) -> list[Window]:
        """The windows that end by `time`; sight ends at `until`."""
        closed = []
        for end, window_s in sorted(key for key in self._open if key[0] <= time):
            window = self._open.pop((end, window_s))
            if end <= self._again:
                continue
            self.evicted += window.evicted
            packets = tables.concat(window.parts)
            times = packets["time"].to_numpy()
            if (np.diff(times) < 0).any():
                packets = packets.iloc[np.argsort(times, kind="stable")]
            sight = min(until, window.until)
            closed.append(Window(window_s, end - window_s * SECOND, packets, self.since, sight))
        self.closed = max(self.closed, time)
        return closed


def _runs(window: np.ndarray, keep: np.ndarray) -> list[tuple[int, slice | np.ndarray]]:
    """(window, its rows) for each window in which there are rows to keep; a slice where they are neighbours."""
    if keep.all() and (np.diff(window) >= 0).all():
        starts = np.flatnonzero(np.diff(window, prepend=window[0] - 1))
        ends = np.append(starts[1:], len(window))
        return [(int(window[a]), slice(int(a), int(b))) for a, b in zip(starts, ends, strict=True)]
    rows = np.flatnonzero(keep)
    order = rows[np.argsort(window[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(window[order])) + 1
    return [(int(window[part[0]]), part) for part in np.split(order, cuts) if len(part)]


# ---------------------------------------------------------------- features


def window_features(window: Window) -> pd.DataFrame:
    """One row of features per conversation of a closed window.

    Returns a table of tables.FEATURES, sorted by (source, destination, service). The meaning, unit, reason and source
    of each feature stand in tables.FEATURE_COLUMNS; one without meaning for a conversation is empty (NaN), never 0.
    Context (`source_`, `destination_`) counts conversations alike: the flows of the same protocol and the same class
    (CLASSES). A conversation is of the class that most of its flows are of (in a tie, failed), so that a probe sees
    the scan it is part of, and the scanner's own innocent name lookups do not.
    Pure: it depends on nothing but the window.
    """
    return _of_equal_windows([window])


def features_of(windows: list[Window]) -> pd.DataFrame:
    """The rows of `window_features` for each of several windows, in order of (end, window_s) and key.

    The windows are in that order, as Windower gives them. Those of one length are computed together, which saves most
    of the time where many have few packets; the rows are the same.
    """
    if not windows:
        return tables.empty(tables.FEATURES)
    lengths = sorted({window.window_s for window in windows})
    parts = [_of_equal_windows([w for w in windows if w.window_s == length]) for length in lengths]
    rows = tables.concat(parts)
    end = rows["window_start"].to_numpy() + rows["window_s"].to_numpy() * SECOND
    return rows.iloc[np.lexsort([rows["window_s"].to_numpy(), end])].reset_index(drop=True)


def _of_equal_windows(windows: list[Window]) -> pd.DataFrame:
    """The rows of windows of one length, in order of their start."""
    window_s = windows[0].window_s
    packets = tables.concat(window.packets for window in windows)
    of_packet = np.repeat(np.arange(len(windows)), [len(window.packets) for window in windows])
    flow_table, flow, outward = directed_flows(packets, of_packet)
    of_flow = _first_of(of_packet, flow, len(flow_table))
    keys, conversation = conversations(flow_table, of_flow)
    n = len(keys)
    start = np.array([window.start for window in windows])[_first_of(of_flow, conversation, n)]
    patience = min(ANSWER_NS, window_s * SECOND // 10)
    begin = np.array([window.since + patience for window in windows])[of_flow]
    deadline = np.array([window.until - patience for window in windows])[of_flow]

    f = {column.name: flow_table[column.name].to_numpy() for column in FLOWS if column.kind != "text"}
    row = conversation[flow]  # of each packet
    sums = {
        name: _sum(conversation, f[name], n)
        for name in ("packets_out", "packets_in", "bytes_out", "bytes_in", "payload_out", "payload_in")
    }
    first, last = np.full(n, FAR), np.full(n, -FAR)
    np.minimum.at(first, conversation, f["first_packet"])
    np.maximum.at(last, conversation, f["last_packet"])
    kind = _classes(f, deadline)
    votes = np.bincount(conversation * len(CLASSES) + kind, minlength=len(CLASSES) * n).reshape(n, len(CLASSES))
    kind_of_row = votes.argmax(axis=1)  # in a tie the first: failed
    protocol = _first_of(flow_table["protocol"].array.codes.astype(np.int64), conversation, n)
    is_ip = _any(row, packets["payload"].to_numpy() >= 0, n)

    columns: dict[str, object] = {
        "window_s": np.full(n, window_s, np.int64),
        "window_start": start,
        **{name: keys[name].array for name in ("source", "destination", "service")},
        "kind": _kinds(protocol, kind_of_row, flow_table["protocol"].array.categories),
        "packets": (sums["packets_out"] + sums["packets_in"]).astype(np.int64),
        "bytes": (sums["bytes_out"] + sums["bytes_in"]).astype(np.int64),
        "first_packet": first,
        "last_packet": last,
        "conversation_duration_s": (last - first) / SECOND,
        "conversation_odd_macs_ratio": _odd_macs(packets, flow_table, flow, outward, of_packet, row, n),
    }
    columns |= _of_flows(f, kind, conversation, sums, is_ip, n)
    columns |= _of_packets(packets, f, flow, outward, row, (begin, deadline), n)
    columns |= _of_names(packets, row, n)
    columns |= _context(flow_table, f, of_flow, kind, kind_of_row, conversation, is_ip, n)
    return pd.DataFrame({name: columns[name] for name in tables.FEATURES.names}, copy=False)


def _classes(f: dict[str, np.ndarray], deadline: np.ndarray) -> np.ndarray:
    """Class of each flow.

    What goes on since before the window counts as answered: its attempt is not in sight. An attempt after its
    `deadline` (ns) that is not answered yet is pending: its answer may lie beyond the window's end.
    """
    by_outcome = np.full(len(OUTCOMES), FAILED)
    by_outcome[[ANSWERED, MIDSTREAM]] = CARRIED_ON
    by_outcome[[BROADCAST, NOTICE]] = ONE_WAY
    half_open = f["half_open"] > 0
    kind = np.where(half_open, FAILED, by_outcome[f["outcome"]])
    given_up = half_open & ((f["flags_out"] | f["flags_in"]) & RST != 0)
    waits = ((f["outcome"] == UNANSWERED) | half_open) & ~given_up
    return np.where(waits & (f["first_packet"] >= deadline), PENDING, kind)


def _kinds(protocol: np.ndarray, kind: np.ndarray, protocols: pd.Index) -> pd.Categorical:
    words = [f"{word} {name}" for word in protocols.tolist() for name in CLASSES]
    return pd.Categorical.from_codes(protocol * len(CLASSES) + kind, words)  # type: ignore[call-overload]


def _of_flows(
    f: dict[str, np.ndarray],
    kind: np.ndarray,
    conversation: np.ndarray,
    sums: dict[str, np.ndarray],
    is_ip: np.ndarray,
    n: int,
) -> dict[str, np.ndarray]:
    """Features of the conversation's own flows."""
    count = _sum(conversation, None, n)
    failures = _sum(conversation, kind == FAILED, n)
    asking = _sum(conversation, (kind == FAILED) | (kind == CARRIED_ON), n)
    payload = sums["payload_out"] + sums["payload_in"]
    shaken = ~np.isnan(f["handshake_s"])
    return {
        "conversation_flows_count": count,
        "conversation_failed_count": failures,
        "conversation_failed_ratio": _ratio(failures, asking),
        "conversation_most_open_count": _most_open(conversation, f, n),
        "conversation_packets_out_count": sums["packets_out"],
        "conversation_packets_in_count": sums["packets_in"],
        "conversation_payload_out_bytes": _where(is_ip, sums["payload_out"]),
        "conversation_payload_in_bytes": _where(is_ip, sums["payload_in"]),
        "conversation_upload_ratio": _ratio(sums["payload_out"], payload),
        "conversation_peak_flows_per_s": _peak(conversation, f["first_packet"], n),
        "conversation_flow_duration_mean_s": _sum(conversation, (f["last_packet"] - f["first_packet"]) / SECOND, n)
        / count,
        "conversation_handshake_mean_s": _ratio(
            _sum(conversation[shaken], f["handshake_s"][shaken], n), _sum(conversation[shaken], None, n)
        ),
        "conversation_turns_mean_count": _where(payload > 0, _sum(conversation, f["turns"], n) / count),
        "conversation_payload_per_flow_bytes": _where(payload > 0, payload / count),
    }


def _of_packets(
    packets: pd.DataFrame,
    f: dict[str, np.ndarray],
    flow: np.ndarray,
    outward: np.ndarray,
    of_packet: np.ndarray,
    judged: tuple[np.ndarray, np.ndarray],
    n: int,
) -> dict[str, np.ndarray]:
    """Features of the conversation's own packets; `judged` is the time in which each flow's
    missing requests and replies count.
    """
    time, payload = packets["time"].to_numpy(), packets["payload"].to_numpy()
    flags, ttl = flag_bits(packets["tcp_flags"]), packets["ttl"].to_numpy()
    is_out = outward > 0
    filled_out, filled_in = is_out & (payload > 0), ~is_out & (payload > 0)
    tcp = flags >= 0
    odd = (flags & (SYN | ACK | RST) == 0) | ((flags & SYN != 0) & (flags & (FIN | RST) != 0))
    is_tcp, is_ip = _any(of_packet, tcp, n), _any(of_packet, ttl >= 0, n)

    gaps, mean, squares = kernels.call_gaps(of_packet, time, outward, SILENCE_NS, n)
    # Of few gaps, some are regular by chance: take the upper 95 % confidence bound of their variance.
    variance = _ratio(squares, scipy.special.chdtri(np.maximum(gaps - 1, 1), 0.95))
    regular = 1 / (1 + _ratio(np.sqrt(variance), mean))

    request, reply, _ = requests_and_replies(packets)
    is_dns, answers = packets["dns_type"].to_numpy() >= 0, packets["dns_rcode"].to_numpy() >= 0
    request, reply = request | (is_dns & ~answers), reply | answers
    waiting, unasked = kernels.unmatched(flow, time, request, reply, *judged, len(f["outcome"]))
    asks = _any(of_packet, (request | reply) & (f["outcome"][flow] != BROADCAST), n)
    per_flow = _first_of(of_packet, flow, len(f["outcome"]))
    return {
        "conversation_peak_packets_per_s": _peak(of_packet, time, n),
        "conversation_payload_out_mean_bytes": _mean(of_packet[filled_out], payload[filled_out], n),
        "conversation_payload_in_mean_bytes": _mean(of_packet[filled_in], payload[filled_in], n),
        "conversation_payload_out_entropy_bits": _spread(of_packet[filled_out], payload[filled_out], n)[1],
        "conversation_regularity_ratio": _where(gaps >= 3, regular),
        "conversation_rst_count": _where(is_tcp, _sum(of_packet, tcp & (flags & RST != 0), n)),
        "conversation_odd_flags_count": _where(is_tcp, _sum(of_packet, tcp & odd, n)),
        "conversation_empty_ratio": _ratio(_sum(of_packet, tcp & (payload == 0), n), _sum(of_packet, tcp, n)),
        "conversation_fragments_count": _where(is_ip, _sum(of_packet, packets["fragment"].to_numpy() > 0, n)),
        "conversation_ttls_count": _positive(_spread(of_packet[is_out & (ttl >= 0)], ttl[is_out & (ttl >= 0)], n)[0]),
        "conversation_unanswered_count": _where(asks, _sum(per_flow, waiting, n)),
        "conversation_unasked_count": _where(asks, _sum(per_flow, unasked, n)),
    }


def _of_names(packets: pd.DataFrame, of_packet: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Features of the DNS queries and responses in the conversation."""
    name, kind = packets["dns_query"].array.codes, packets["dns_type"].to_numpy()
    rcode, payload = packets["dns_rcode"].to_numpy(), packets["payload"].to_numpy()
    asked = np.flatnonzero((kind >= 0) & (rcode < 0))
    answered = np.flatnonzero(rcode >= 0)
    group = of_packet[asked]
    queries = _sum(group, None, n)

    used, code = np.unique(name[asked], return_inverse=True)
    words = [""] * int((used < 0).any()) + packets["dns_query"].array.categories.take(used[used >= 0]).tolist()
    letters = pa.array(map(tables.name_bytes, words), pa.binary())
    offsets = np.frombuffer(letters.buffers()[1], np.int32, len(words) + 1).astype(np.int64)
    data = np.frombuffer(letters.buffers()[2] or b"", np.uint8)
    size = np.diff(offsets)
    domains: dict[str, int] = {}
    domain = [domains.setdefault(".".join(word.rsplit(".", 2)[-2:]), len(domains)) for word in words]
    code = code.astype(np.int64)
    _, first = kernels.pair_ids(group, code)
    below, first_below = kernels.pair_ids(group[first], np.array(domain, np.int64)[code[first]])
    names_below = np.bincount(below, minlength=len(first_below))
    return {
        "conversation_dns_queries_count": _positive(queries),
        "conversation_dns_names_count": _positive(_sum(group[first], None, n)),
        "conversation_dns_names_per_domain_count": _positive(
            kernels.peaks(group[first][first_below], names_below, n).astype(np.float64)
        ),
        "conversation_dns_name_mean_bytes": _mean(group, size[code], n),
        "conversation_dns_name_max_bytes": _where(queries > 0, kernels.peaks(group, size[code], n)),
        "conversation_dns_name_entropy_bits": _mean(group, kernels.name_bits(offsets, data)[code], n),
        "conversation_dns_odd_types_ratio": _mean(group, ~np.isin(kind[asked], USUAL_DNS_TYPES), n),
        "conversation_dns_failed_ratio": _mean(of_packet[answered], rcode[answered] > 0, n),
        "conversation_dns_answer_mean_bytes": _mean(of_packet[answered], payload[answered], n),
    }


def _context(
    flow_table: pd.DataFrame,
    f: dict[str, np.ndarray],
    of_window: np.ndarray,
    kind: np.ndarray,
    kind_of_row: np.ndarray,
    conversation: np.ndarray,
    is_ip: np.ndarray,
    n: int,
) -> dict[str, np.ndarray]:
    """What the source does and the destination undergoes, over the flows of the same protocol and class."""
    alike = kind == kind_of_row[conversation]
    source, destination, service, protocol = (
        flow_table[name].array.codes.astype(np.int64) for name in ("source", "destination", "service", "protocol")
    )
    found: dict[str, np.ndarray] = {}
    for side, own, peer, sent, got in (
        ("source", source, destination, "out", "in"),
        ("destination", destination, source, "in", "out"),
    ):
        own_in_window, _ = kernels.pair_ids(own, of_window)
        all_of_it, first = kernels.pair_ids(own_in_window, protocol)
        group, _ = kernels.pair_ids(all_of_it, kind)
        m = int(group.max()) + 1 if len(group) else 0
        row = _first_of(group[alike], conversation[alike], n)  # each conversation's group
        peers, peers_bits = _spread(group, peer, m)
        services, services_bits = _spread(group, service, m)
        count = _sum(group, None, m)
        share = _ratio(_sum(all_of_it, kind == FAILED, len(first)), _sum(all_of_it, None, len(first)))
        of_group = {
            "flows_count": count,
            "services_count": services,
            "peak_flows_per_s": _peak(group, f["first_packet"], m),
            "failed_ratio": np.where(
                _first_of(kind, group, m) == FAILED, share[_first_of(all_of_it, group, m)], np.nan
            ),
        }
        if side == "source":
            of_group |= {
                "destinations_count": peers,
                "destinations_entropy_bits": peers_bits,
                "services_entropy_bits": services_bits,
                "packets_out_count": _sum(group, f["packets_out"], m),
            }
        else:
            of_group |= {
                "sources_count": peers,
                "sources_entropy_bits": peers_bits,
                "packets_in_count": _sum(group, f["packets_out"], m),
                "most_open_count": _most_open(group, f, m),
            }
        found |= {f"{side}_{name}": values[row] for name, values in of_group.items()}
        for name, direction in ((f"{side}_payload_out_bytes", sent), (f"{side}_payload_in_bytes", got)):
            found[name] = _where(is_ip, _sum(group, f[f"payload_{direction}"], m)[row])
        if side == "source":
            for name, other, counted in (
                ("source_services_at_destination_count", destination, service),
                ("source_destinations_of_service_count", service, destination),
            ):
                narrow, first = kernels.pair_ids(group, other)
                different = _spread(narrow, counted, len(first))[0]
                found[name] = different[_first_of(narrow[alike], conversation[alike], n)]
    return found


def _odd_macs(
    packets: pd.DataFrame,
    flow_table: pd.DataFrame,
    flow: np.ndarray,
    outward: np.ndarray,
    of_window: np.ndarray,
    of_packet: np.ndarray,
    n: int,
) -> np.ndarray:
    """Share of packets from another hardware address than most packets of their sender in the window."""
    known: dict[str, int] = {}
    source, destination = (
        np.array([known.setdefault(word, len(known)) for word in flow_table[name].array.categories.tolist()], np.int64)[
            flow_table[name].array.codes
        ]
        for name in ("source", "destination")
    )
    sender = np.where(outward > 0, source[flow], destination[flow])
    mac = packets["src_mac"].array.codes.astype(np.int64)
    shared = [known[word] for word in UNSPECIFIED if word in known]
    here = (mac >= 0) & ~np.isin(sender, shared)
    sender, senders = kernels.pair_ids(sender[here], of_window[here])
    pair, first = kernels.pair_ids(sender, mac[here])
    owner, count = sender[first], np.bincount(pair, minlength=len(first))
    usual = np.zeros(len(senders), np.int64)
    order = np.lexsort((-np.arange(len(first)), count))  # the most frequent last, of equals the one seen first
    usual[owner[order]] = order
    return _mean(of_packet[here], pair != usual[sender], n)


# ---------------------------------------------------------------- groups


def _sum(group: np.ndarray, values: np.ndarray | None, n: int) -> np.ndarray:
    """Sum per group, as floats; without `values`, the number of rows."""
    return np.bincount(group, values, n).astype(np.float64)


def _mean(group: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    return _ratio(_sum(group, values, n), _sum(group, None, n))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; empty where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _where(applies: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(applies, values, np.nan)


def _positive(values: np.ndarray) -> np.ndarray:
    return _where(values > 0, values)


def _any(group: np.ndarray, true: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(group[true], minlength=n) > 0


def _first_of(values: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    """The value of each group in which all rows have the same one."""
    out = np.zeros(n, np.int64)
    out[group] = values
    return out


def _spread(group: np.ndarray, values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of different values per group, and their entropy in bits (empty for a group without rows)."""
    pairs, first = kernels.pair_ids(group, values)
    owner = group[first]
    rows = _sum(group, None, n)
    share = np.bincount(pairs, minlength=len(first)) / rows[owner]
    return _sum(owner, None, n), _where(rows > 0, _sum(owner, -share * np.log2(share), n))


def _peak(group: np.ndarray, time: np.ndarray, n: int) -> np.ndarray:
    """Most rows per group within one second (seconds begin with the clock's)."""
    pairs, first = kernels.pair_ids(group, time // SECOND)
    return kernels.peaks(group[first], np.bincount(pairs, minlength=len(first)), n).astype(np.float64)


def _most_open(group: np.ndarray, f: dict[str, np.ndarray], n: int) -> np.ndarray:
    """Most TCP flows per group open at one time; empty without TCP."""
    tcp = f["first_flags"] >= 0
    end = f["last_packet"][tcp]
    most = kernels.most_open(group[tcp], f["first_packet"][tcp], end, np.argsort(end, kind="stable"), n)
    return _positive(most.astype(np.float64))
