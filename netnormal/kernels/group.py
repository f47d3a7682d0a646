"""Grouping: numbers for keys, and sums, peaks and sequences per group. Arrays in, arrays out.

Keys, groups and times are int64 arrays; a group is a number from 0 to n-1. Each kernel's slow twin stands in
tests/reference.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
SECOND = 1_000_000_000


@njit(cache=True)
def pair_ids(a, b):
    """A number for each distinct pair (a[i], b[i]), in order of first appearance, and where each appears first."""
    n = len(a)
    size = 16
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, np.int64)
    ids = np.empty(n, np.int64)
    first = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        # multiplicative hash of 31-bit halves: products stay below 2**62, so nothing overflows without numba either
        x = (a[i] & 0x7FFFFFFF) * 0x5E3779B1 ^ (b[i] & 0x7FFFFFFF) * 0x45EBCA77
        x ^= ((a[i] >> 31) & 0x7FFFFFFF) * 0x42B2AE35 ^ ((b[i] >> 31) & 0x7FFFFFFF) * 0x27D4EB2F
        slot = (x ^ (x >> 29)) & (size - 1)
        while True:
            known = table[slot]
            if known < 0:
                table[slot] = count
                first[count] = i
                ids[i] = count
                count += 1
                break
            if a[first[known]] == a[i] and b[first[known]] == b[i]:
                ids[i] = known
                break
            slot = (slot + 1) & (size - 1)
    return ids, first[:count].copy()


@njit(cache=True)
def peaks(group, values, n_groups):
    """The largest of `values` (0 or more) per group; 0 for a group without any."""
    peak = np.zeros(n_groups, np.int64)
    for i in range(len(group)):
        peak[group[i]] = max(peak[group[i]], values[i])
    return peak


@njit(cache=True)
def directions(flow, reverse, known, fixed, syn, n_flows):
    """Who initiated each flow: 0 its first end, 1 its second end. RFC 5103 calls this the biflow direction.

    Per packet, in time order: `reverse` 1 if sent by the second end; `syn` 1 for SYN, 2 for SYN+ACK, else 0;
    `fixed` 1 if the first end asked by the packet's own type; `known` what the ports say: the initiating end 0 or 1,
    else -1. The first that says something wins: a SYN, a SYN+ACK, the type, the ports, the first packet's sender.
    """
    weight = np.zeros(n_flows, np.int64)
    initiator = np.zeros(n_flows, np.int64)
    for i in range(len(flow)):
        f = flow[i]
        if syn[i] == 1:
            evidence, end = 5, reverse[i]
        elif syn[i] == 2:
            evidence, end = 4, 1 - reverse[i]
        elif fixed[i]:
            evidence, end = 3, 0
        elif known[i] >= 0:
            evidence, end = 2, known[i]
        else:
            evidence, end = 1, reverse[i]
        if evidence > weight[f]:
            weight[f] = evidence
            initiator[f] = end
    return initiator


@njit(cache=True)
def flow_sums(flow, outward, time, length, payload, flags, is_group, n_flows):
    """Sums per flow, packets in time order; `outward` 1 if sent by the initiator, `flags` -1 without TCP header.

    Returns int64[n_flows, 17], columns named by FLOW_SUMS; times are -1 where the event did not happen.
    """
    sums = np.zeros((n_flows, 17), np.int64)
    last_side = np.full(n_flows, -1, np.int64)
    for f in range(n_flows):
        sums[f, 0] = -1
        sums[f, 10] = -1
        sums[f, 14] = -1
        sums[f, 15] = -1
    for i in range(len(flow)):
        f = flow[i]
        inward = 1 - outward[i]
        row = sums[f]
        if row[0] < 0:
            row[0] = time[i]
            row[10] = flags[i]
        row[1] = time[i]
        row[2 + inward] += 1
        row[4 + inward] += length[i]
        row[6 + inward] += payload[i]
        if payload[i] > 0:
            if last_side[f] >= 0 and last_side[f] != inward:
                row[16] += 1
            last_side[f] = inward
        if outward[i] and is_group[i]:
            row[13] = 1
        if flags[i] < 0:
            continue
        row[8 + inward] |= flags[i]
        if flags[i] & SYN and not flags[i] & ACK and outward[i]:
            row[11] += 1
            if row[14] < 0:
                row[14] = time[i]
        if flags[i] & SYN and flags[i] & ACK and inward and row[15] < 0:
            row[15] = time[i]
        if flags[i] & RST and inward:
            row[12] += 1
    return sums


FLOW_SUMS = (
    "first_packet",
    "last_packet",
    "packets_out",
    "packets_in",
    "bytes_out",
    "bytes_in",
    "payload_out",
    "payload_in",
    "flags_out",
    "flags_in",
    "first_flags",
    "syn_out",
    "rst_in",
    "to_group",
    "syn_time",
    "syn_ack_time",
    "turns",
)


@njit(cache=True)
def most_open(group, start, end, order_of_ends, n_groups):
    """The largest number of intervals [start, end] open at once per group; `start` ascending, `order_of_ends` sorts."""
    now = np.zeros(n_groups, np.int64)
    most = np.zeros(n_groups, np.int64)
    closed = 0
    for i in range(len(group)):
        while end[order_of_ends[closed]] < start[i]:
            now[group[order_of_ends[closed]]] -= 1
            closed += 1
        now[group[i]] += 1
        most[group[i]] = max(most[group[i]], now[group[i]])
    return most


@njit(cache=True)
def call_gaps(group, time, outward, silence, n_groups):
    """Count, mean [s] and sum of squared deviations [s²] of the gaps between calls per group. Welford 1962.

    A call is a packet by the initiator after at least `silence` ns without a packet of the group; packets in time
    order. What comes before the first packet is not known, so that one is no call.
    """
    last = np.full(n_groups, -1, np.int64)
    call = np.full(n_groups, -1, np.int64)
    count = np.zeros(n_groups, np.int64)
    mean = np.zeros(n_groups)
    squares = np.zeros(n_groups)
    for i in range(len(group)):
        g = group[i]
        if last[g] >= 0 and outward[i] and time[i] - last[g] >= silence:
            if call[g] >= 0:
                gap = (time[i] - call[g]) / SECOND
                count[g] += 1
                delta = gap - mean[g]
                mean[g] += delta / count[g]
                squares[g] += delta * (gap - mean[g])
            call[g] = time[i]
        last[g] = time[i]
    return count, mean, squares


@njit(cache=True)
def unmatched(flow, time, is_request, is_reply, begin, end, n_flows):
    """Requests without a later reply and replies without an earlier request, per flow; packets in time order.

    A reply takes the oldest request that waits. Replies before begin[flow] may answer what lies before the window, and
    requests from end[flow] on may be answered after it: neither counts as missing its other half.
    """
    waiting = np.zeros(n_flows, np.int64)
    recent = np.zeros(n_flows, np.int64)
    unasked = np.zeros(n_flows, np.int64)
    for i in range(len(flow)):
        f = flow[i]
        if is_request[i]:
            if time[i] < end[f]:
                waiting[f] += 1
            else:
                recent[f] += 1
        elif is_reply[i]:
            if waiting[f]:
                waiting[f] -= 1
            elif recent[f]:
                recent[f] -= 1
            elif time[i] >= begin[f]:
                unasked[f] += 1
    return waiting, unasked


@njit(cache=True)
def name_bits(offsets, letters):
    """Entropy of the characters of each name [bits] (Shannon 1948); name i is letters[offsets[i]:offsets[i + 1]]."""
    bits = np.zeros(len(offsets) - 1)
    seen = np.zeros(256, np.int64)
    for i in range(len(offsets) - 1):
        seen[:] = 0
        size = offsets[i + 1] - offsets[i]
        for j in range(offsets[i], offsets[i + 1]):
            seen[letters[j]] += 1
        for count in seen:
            if count:
                bits[i] -= count / size * np.log2(count / size)
    return bits
