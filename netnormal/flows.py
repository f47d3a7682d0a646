"""Packet table → flows and conversations of one window: who asked whom, with which service, and what came of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netnormal.kernels import group as kernels
from netnormal.tables import TCP_FLAGS
from netnormal.tables.flow_columns import FLOWS, OUTCOMES

ANSWERED, REFUSED, UNANSWERED, BROADCAST, MIDSTREAM, NOTICE = range(len(OUTCOMES))
FIN, SYN, RST, ACK = (1 << TCP_FLAGS.index(letter) for letter in "FSRA")

WELL_KNOWN = 1024  # ports below belong to services (RFC 6335: system ports)
EPHEMERAL = 32768  # ports from here on are given to clients (Linux; IANA's range begins at 49152)

# Replies and the requests they answer, by ICMP type: echo, timestamp, information, address mask (RFC 792, RFC 950);
# ICMPv6 echo (RFC 4443).
ICMP_REPLIES = {0: 8, 14: 13, 16: 15, 18: 17}
ICMPV6_REPLIES = {129: 128}
MULTICAST_IPV4 = {str(first) for first in range(224, 240)}
ODD_DIGITS = set("13579bdfBDF")
ARP_REPLIES = (2, 4, 9)  # reply, reverse reply, inverse reply (RFC 826, 903, 2390)


def flows(packets: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The flows of one window.

    packets : table of tables.PACKETS in order of time; n rows.
    Returns a table of FLOWS in order of first packet, and for each packet its flow's row (int64[n]).

    The source is who initiated, by the first of these that says something: the sender of a SYN; the receiver of a
    SYN+ACK; who asks in ICMP and ARP queries and replies; a multicast or broadcast address responds; one port below
    1024 responds; one port below 32768, the other not, responds; the sender of the first packet in the window.
    Two IP fragments of a datagram fall into different flows: later ones have no ports.
    Raises ValueError if the packets are not in order of time.
    Sources: biflows and their direction, RFC 5103; unanswered attempts as evidence, Jung et al. 2004.
    """
    return directed_flows(packets)[:2]


def directed_flows(
    packets: pd.DataFrame, window: np.ndarray | None = None
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """As `flows`, and for each packet whether its flow's initiator sent it: 1, else 0 (int64[n]).

    With `window`, each packet's window number (int64[n]), flows of different windows are different flows.
    """
    time = _ints(packets, "time")
    if len(time) > 1 and (np.diff(time) < 0).any():
        raise ValueError("packets of a window must be in order of time")
    (src, dst), endpoints = _endpoints(packets)
    protocol = _ints(packets, "protocol")
    protocols = packets["protocol"].array.categories
    src_port, dst_port = _ints(packets, "src_port"), _ints(packets, "dst_port")
    flags = flag_bits(packets["tcp_flags"])
    request, reply, kind = requests_and_replies(packets)

    # One direction of a 5-tuple is as good as the other: order its ends, so that both give one key. Requests and
    # replies name the asker, so theirs are ordered by it.
    src_end, dst_end = src << 17 | (src_port + 1), dst << 17 | (dst_port + 1)
    fixed = request | reply
    reverse = np.where(fixed, reply, src_end > dst_end).astype(np.int64)
    low, high = np.where(reverse, dst_end, src_end), np.where(reverse, src_end, dst_end)
    ends, _ = kernels.pair_ids(low, high)
    if window is not None:
        ends, _ = kernels.pair_ids(ends, window)
    flow, first = kernels.pair_ids(ends, (protocol + 1) << 10 | (kind + 1) << 1 | fixed)
    n = len(first)

    to_group = _is_group(packets["dst_mac"]) | _names_group(endpoints)[dst]
    syn = np.where((flags >= 0) & (flags & SYN != 0), np.where(flags & ACK != 0, 2, 1), 0)
    initiator = kernels.directions(flow, reverse, _initiator_by_port(low, high, endpoints), fixed, syn, n)
    initiator[(low == high)[first]] = 0  # to itself: nobody else can have begun
    outward = (reverse == initiator[flow]).astype(np.int64)
    sums = kernels.flow_sums(
        flow, outward, time, _ints(packets, "length"), np.maximum(_ints(packets, "payload"), 0), flags, to_group, n
    )
    column = {name: sums[:, i].copy() for i, name in enumerate(kernels.FLOW_SUMS)}

    source = np.where(initiator, high[first], low[first])
    destination = np.where(initiator, low[first], high[first])
    is_arp = np.append(protocols.isin(["ARP"]), False)[protocol[first]]
    service, services = _services(protocol[first], protocols, (destination & 0x1FFFF) - 1, kind[first])
    used, words = _compact(protocol[first], protocols)
    both = (column["syn_time"] >= 0) & (column["syn_ack_time"] >= column["syn_time"])
    table = {
        "source": _text(source >> 17, endpoints),
        "destination": _text(destination >> 17, endpoints),
        "service": _text(service, services),
        "protocol": _text(used, words),
        "src_port": (source & 0x1FFFF) - 1,
        "dst_port": (destination & 0x1FFFF) - 1,
        **{name: column[name] for name in FLOWS.names if name in column},
        "half_open": (both & (column["flags_out"] & ACK == 0)).astype(np.int64),
        "handshake_s": np.where(both, (column["syn_ack_time"] - column["syn_time"]) / 1e9, np.nan),
        "outcome": _outcomes(column, is_arp, source == destination, (kind[first] >= 0) & ~fixed[first]),
    }
    return pd.DataFrame({name: table[name] for name in FLOWS.names}, copy=False), flow, outward


def conversations(flow_table: pd.DataFrame, window: np.ndarray | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """Flows with the same source, destination and service are one conversation.

    Returns the table of their keys (source, destination, service), sorted by them, and for each flow its
    conversation's row (int64). With `window`, each flow's window number, the flows of different windows are different
    conversations, sorted by window first.
    """
    names = ["source", "destination", "service"]
    codes = [flow_table[name].array.codes.astype(np.int64) for name in names]
    ends, _ = kernels.pair_ids(codes[0], codes[1])
    if window is not None:
        ends, _ = kernels.pair_ids(ends, window)
    conversation, first = kernels.pair_ids(ends, codes[2])
    keys = flow_table[names].iloc[first]
    by = [_ranks(keys[name].array) for name in reversed(names)]
    order = np.lexsort(by if window is None else [*by, window[first]])
    row = np.empty(len(first), np.int64)
    row[order] = np.arange(len(first))
    return keys.iloc[order].reset_index(drop=True), row[conversation]


def requests_and_replies(packets: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per packet: is it a query, or a reply, of ICMP, ICMPv6 or ARP (bool), and the query's ICMP type (else -1)."""
    kind, operation = _ints(packets, "icmp_type"), _ints(packets, "arp_operation")
    protocol, words = _ints(packets, "protocol"), packets["protocol"].array.categories
    request, reply = np.zeros(len(kind), bool), np.zeros(len(kind), bool)
    for name, replies in (("ICMP", ICMP_REPLIES), ("ICMPv6", ICMPV6_REPLIES)):
        here = (protocol == words.get_loc(name)) if name in words else np.zeros(len(kind), bool)
        request |= here & np.isin(kind, list(replies.values()))
        reply |= here & np.isin(kind, list(replies))
    asked = kind.copy()
    for reply_type, query_type in (ICMP_REPLIES | ICMPV6_REPLIES).items():
        asked[reply & (kind == reply_type)] = query_type
    is_arp = (protocol == words.get_loc("ARP")) if "ARP" in words else np.zeros(len(kind), bool)
    answer = is_arp & np.isin(operation, ARP_REPLIES)
    return request | (is_arp & ~answer), reply | answer, asked


def flag_bits(letters: pd.Series) -> np.ndarray:
    """TCP flags as bits, FIN 1, SYN 2 … in the order of tables.TCP_FLAGS; -1 without a TCP header."""
    values = [
        sum(1 << TCP_FLAGS.find(letter) for letter in word if letter != "-")
        for word in letters.array.categories.tolist()
    ]
    return np.array([*values, -1], np.int64)[letters.array.codes]


# ---------------------------------------------------------------- helpers


def _ints(table: pd.DataFrame, name: str) -> np.ndarray:
    column = table[name].array
    values = column.codes if isinstance(column, pd.Categorical) else column.to_numpy()
    return np.ascontiguousarray(values, np.int64)


def _endpoints(packets: pd.DataFrame) -> tuple[list[np.ndarray], list[str]]:
    """Sender and receiver of each packet as numbers of addresses: IP, else MAC, else `-`."""
    known: dict[str, int] = {}
    ends = []
    for side in ("src", "dst"):
        ip, mac = _ints(packets, f"{side}_ip"), _ints(packets, f"{side}_mac")
        end = np.full(len(ip), -1, np.int64)
        for codes, name, here in ((ip, "ip", ip >= 0), (mac, "mac", (ip < 0) & (mac >= 0))):
            if here.any():
                words = packets[f"{side}_{name}"].array.categories
                end[here] = _number(codes[here], words, known)
        if (end < 0).any():
            end[end < 0] = known.setdefault("-", len(known))
        ends.append(end)
    return ends, list(known)


def _number(codes: np.ndarray, words: pd.Index, known: dict[str, int]) -> np.ndarray:
    """The numbers in `known` of the words with `codes`; new words are added."""
    used = np.flatnonzero(np.bincount(codes, minlength=1))
    numbers = np.zeros(int(used[-1]) + 1, np.int64)
    numbers[used] = [known.setdefault(word, len(known)) for word in words.take(used).tolist()]
    return numbers[codes]


def _compact(codes: np.ndarray, words: pd.Index) -> tuple[np.ndarray, list[str]]:
    """Codes and words without the words that no code uses; an empty code becomes the word `-`."""
    known: dict[str, int] = {}
    compact = np.full(len(codes), -1, np.int64)
    if (codes >= 0).any():
        compact[codes >= 0] = _number(codes[codes >= 0], words, known)
    if (codes < 0).any():
        compact[codes < 0] = known.setdefault("-", len(known))
    return compact, list(known)


def _text(codes: np.ndarray, words: list[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, pd.Index(words, dtype="str"), validate=False)


def _ranks(column: pd.Categorical) -> np.ndarray:
    """Of each value its category's place in the order of code points."""
    order = pc.array_sort_indices(pa.array(column.categories, pa.string())).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[column.codes]


def _is_group(mac: pd.Series) -> np.ndarray:
    """Is the hardware address a multicast or broadcast one: the lowest bit of its first byte (IEEE 802)."""
    return np.array([*(word[1:2] in ODD_DIGITS for word in mac.array.categories.tolist()), False])[mac.array.codes]


def _names_group(endpoints: list[str]) -> np.ndarray:
    """Is the address (IP or MAC) a multicast or broadcast one: 224.0.0.0/4, 255.255.255.255, ff00::/8, group MAC."""

    def group(word: str) -> bool:
        if "." in word and ":" not in word:
            return word.split(".", 1)[0] in MULTICAST_IPV4 or word == "255.255.255.255"
        if word.count(":") == 5 and "::" not in word:
            return word[1:2] in ODD_DIGITS
        return word.startswith("ff") and ":" in word[:5]

    return np.array([group(word) for word in endpoints], bool)


def _initiator_by_port(low: np.ndarray, high: np.ndarray, endpoints: list[str]) -> np.ndarray:
    """Which end the addresses and ports say initiated: 0 the low one, 1 the high one, -1 they do not say."""
    group = _names_group(endpoints)
    ports = np.stack([(low & 0x1FFFF) - 1, (high & 0x1FFFF) - 1])
    with_ports = (ports >= 0).all(axis=0)
    known = np.full(len(low), -1, np.int64)
    for is_service in (ports < EPHEMERAL, ports < WELL_KNOWN):  # the later, stronger one overwrites
        one = with_ports & (is_service[0] != is_service[1])
        known[one] = is_service[0][one]
    ends = np.stack([group[low >> 17], group[high >> 17]])
    one = ends[0] != ends[1]
    known[one] = ends[0][one]
    return known


def _services(
    protocol: np.ndarray, protocols: pd.Index, port: np.ndarray, kind: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """The service of each flow as a number, and the names: protocol, and the port or ICMP type where there is one."""
    number = np.where(port >= 0, port, kind)
    service, first = kernels.pair_ids(protocol, number)
    words = [*protocols.tolist(), "-"]
    names = [
        words[p] if value < 0 else f"{words[p]}/{value}"
        for p, value in zip(protocol[first], number[first], strict=True)
    ]
    return service, names


def _outcomes(
    flow: dict[str, np.ndarray], is_arp: np.ndarray, to_itself: np.ndarray, is_notice: np.ndarray
) -> np.ndarray:
    out = flow["flags_out"]
    is_tcp = flow["first_flags"] >= 0
    # A probe opens (SYN), or carries none of the flags that every packet of a connection has, or is one bare ACK.
    # Anything else that a reset answers is the end of a connection whose start lies before the window.
    bare_ack = (flow["packets_out"] == 1) & (out == ACK)
    probe = is_tcp & ((out & SYN != 0) | (out & (ACK | RST) == 0) | bare_ack)
    only_reset = is_tcp & (flow["rst_in"] == flow["packets_in"]) & (flow["payload_in"] == 0)
    outcome = np.where(flow["packets_in"] > 0, ANSWERED, UNANSWERED)
    outcome[(outcome == ANSWERED) & only_reset & probe] = REFUSED
    outcome[is_tcp & (flow["packets_in"] == 0) & (out & SYN == 0) & (out & (ACK | RST) != 0)] = MIDSTREAM
    outcome[flow["packets_out"] == 0] = MIDSTREAM
    outcome[is_notice] = NOTICE
    outcome[np.where(is_arp, to_itself, flow["to_group"] > 0)] = BROADCAST
    return outcome
