"""Kernels of the named patterns. Arrays in, arrays out; the slow twins stand in tests/reference_patterns.py."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def sequential_test(group, failed, step_failed, step_success, upper, n_groups):
    """Where each group's walk of first contacts first reaches `upper`: position in `group`, or -1.

    Contacts in order of time. The walk is the log likelihood ratio of scanner to benign host: it rises by
    `step_failed` (> 0), falls by `-step_success` (> 0), and starts again at 0 instead of going below, so that a long
    good past does not excuse a scan (Page 1954). Jung, Paxson, Berger, Balakrishnan 2004.
    """
    walk = np.zeros(n_groups)
    crossed = np.full(n_groups, -1, np.int64)
    for i in range(len(group)):
        g = group[i]
        walk[g] = max(0.0, walk[g] + (step_failed if failed[i] else step_success))
        if crossed[g] < 0 and walk[g] >= upper:
            crossed[g] = i
    return crossed


@njit(cache=True)
def unasked_replies(host, peer, is_request, is_reply, time, wait_ns, n_hosts):
    """ARP replies that answer no request: bool per packet, in order of time. RFC 826.

    A packet goes from address `host` to `peer`. A reply from h to p is asked for if
    p asked for h within `wait_ns` before; requests are remembered per (asker, asked), the latest only.
    """
    size = 16
    while size < 2 * len(host):
        size *= 2
    key = np.full(size, -1, np.int64)
    asked = np.zeros(size, np.int64)
    unasked = np.zeros(len(host), np.bool_)
    for i in range(len(host)):
        if not (is_request[i] or is_reply[i]):
            continue
        asker, target = (host[i], peer[i]) if is_request[i] else (peer[i], host[i])
        wanted = asker * n_hosts + target
        slot = ((wanted & 0x7FFFFFFF) * 0x5E3779B1 >> 7) & (size - 1)
        while key[slot] >= 0 and key[slot] != wanted:
            slot = (slot + 1) & (size - 1)
        if is_request[i]:
            key[slot] = wanted
            asked[slot] = time[i]
        else:
            unasked[i] = key[slot] < 0 or time[i] - asked[slot] > wait_ns
    return unasked
