"""Kernel of the traffic statistics. Arrays in, arrays out; its slow twin stands in tests/reference_traffic.py."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def handshakes(key, kind, time, wait_ns):
    """Time from SYN to SYN+ACK, and which SYNs still wait. RFC 9293 3.5.

    Per packet, in capture order: `key` (int64) is the same for a SYN and the SYN+ACK that answers it; `kind` 1 SYN,
    2 SYN+ACK, 3 a SYN known to have been sent before. Returns for each packet the latency [ns] if it is the first
    SYN+ACK to a SYN sent once, 0 to `wait_ns` before, else -1 (of a repeated SYN nobody knows which was answered:
    Karn and Partridge 1987); and 0, or for the last SYN of each key still unanswered 1, or 3 if it was repeated.
    """
    n = len(key)
    size = 16
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, np.int64)  # the latest SYN with the key, or -2 - packet once it was answered
    latency = np.full(n, -1, np.int64)
    waiting = np.zeros(n, np.int8)
    for i in range(n):
        slot = (key[i] ^ (key[i] >> 29)) & (size - 1)
        while table[slot] != -1:
            there = table[slot] if table[slot] >= 0 else -2 - table[slot]
            if key[there] == key[i]:
                break
            slot = (slot + 1) & (size - 1)
        known = table[slot]
        if kind[i] != 2:
            again = kind[i] == 3 or (known >= 0 and time[i] - time[known] <= wait_ns)
            if known >= 0:
                waiting[known] = 0
            table[slot] = i
            waiting[i] = 3 if again else 1
        elif known >= 0:
            gap = time[i] - time[known]
            if waiting[known] == 1 and 0 <= gap <= wait_ns:
                latency[i] = gap
            waiting[known] = 0
            table[slot] = -2 - known
    return latency, waiting
