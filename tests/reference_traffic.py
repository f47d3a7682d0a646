"""Slow, obvious twins of the traffic statistics: plain Python, a packet at a time, nothing forgotten."""

from __future__ import annotations

import math
from collections import Counter

SECOND = 1_000_000_000
LETTERS_OF_AN_END = set("RF")


def handshakes(key, kind, time, wait_ns):
    latency, waiting = [-1] * len(key), [0] * len(key)
    for i in range(len(key)):
        before = [j for j in range(i) if key[j] == key[i]]
        last = before[-1] if before else None
        open_syn = last if last is not None and kind[last] != 2 else None
        if kind[i] != 2:
            again = kind[i] == 3 or (open_syn is not None and time[i] - time[open_syn] <= wait_ns)
            waiting[i] = 3 if again else 1
        elif open_syn is not None and waiting[open_syn] == 1 and 0 <= time[i] - time[open_syn] <= wait_ns:
            latency[i] = time[i] - time[open_syn]
        if open_syn is not None:
            waiting[open_syn] = 0
    return latency, waiting


def quantile(values, q):
    """Nearest rank."""
    return sorted(values)[max(math.ceil(q * len(values)), 1) - 1]


def latencies(packets, wait_ns):
    """Latency [ns] and (address, port) of the server of each handshake whose SYN was sent once."""
    syns, found = {}, []
    for p in packets.to_dict("records"):
        letters = p["tcp_flags"]
        if not isinstance(letters, str) or "S" not in letters or LETTERS_OF_AN_END & set(letters):
            continue
        here, there = (str(p["src_ip"]), p["src_port"]), (str(p["dst_ip"]), p["dst_port"])
        if "A" not in letters:
            earlier = syns.get((here, there), [])
            syns[here, there] = [*earlier, p["time"]] if earlier and p["time"] - earlier[-1] <= wait_ns else [p["time"]]
        else:
            sent = syns.pop((there, here), [])
            if len(sent) == 1 and 0 <= p["time"] - sent[0] <= wait_ns:
                found.append((p["time"] - sent[0], here))
    return found


def per_second(packets):
    count, size = Counter(), Counter()
    for time, length in zip(packets["time"], packets["length"], strict=True):
        count[time // SECOND] += 1
        size[time // SECOND] += length
    return count, size


def talkers(packets):
    """address → packets sent, bytes sent, packets received, bytes received"""
    sums = {}
    for p in packets.to_dict("records"):
        for at, name in ((0, p["src_ip"]), (2, p["dst_ip"])):
            if isinstance(name, str):
                row = sums.setdefault(name, [0, 0, 0, 0])
                row[at] += 1
                row[at + 1] += p["length"]
    return sums
