"""Packet tables for tests: made by hand, and drawn at random by hypothesis."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from netnormal import tables

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND - 1_700_000_000 % 600 * SECOND  # a multiple of every window length

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "ff:ff:ff:ff:ff:ff")
HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.9", "0.0.0.0", "224.0.0.251", "fd00::1", "fd00::2", "ff02::fb")
PORTS = (22, 53, 80, 443, 5353, 8443, 33000, 40000, 50000)
FLAGS = ("S", "SA", "A", "PA", "FA", "R", "RA", "-", "F", "FPU", "SF")
NAMES = ("example.org", "www.example.org", "a.b.example.org", "x1.t.test", "x2.t.test", "printer", "ü.test", None)
NAMES += (r"\000\255a.t.test", r"\999.test")


def table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """A table of tables.PACKETS; what a row does not say is empty, and packets are numbered from 1."""
    columns: dict[str, object] = {}
    for column in tables.PACKETS:
        cells = [row.get(column.name) for row in rows]
        if column.kind == "text":
            columns[column.name] = pd.Categorical(pd.array(cells, dtype="str"))
        else:
            columns[column.name] = np.array([-1 if cell is None else cell for cell in cells], np.int64)
    made = pd.DataFrame(columns)
    return made.assign(packet=np.arange(1, len(rows) + 1), captured=made["length"])


def tcp(time: float, src: str, dst: str, sport: int, dport: int, flags: str, payload: int = 0, **more: object) -> dict:
    """A TCP packet `time` seconds after START."""
    return {
        "time": START + round(time * SECOND),
        "length": 54 + payload,
        "network": "IPv4",
        "src_ip": src,
        "dst_ip": dst,
        "protocol": "TCP",
        "src_port": sport,
        "dst_port": dport,
        "ttl": 64,
        "fragment": 0,
        "tcp_flags": flags,
        "payload": payload,
        **more,
    }


def udp(time: float, src: str, dst: str, sport: int, dport: int, payload: int = 20, **more: object) -> dict:
    return tcp(time, src, dst, sport, dport, "", payload) | {"protocol": "UDP", "tcp_flags": None} | more


def icmp(time: float, src: str, dst: str, kind: int, payload: int = 56, **more: object) -> dict:
    more = {"protocol": "ICMP", "icmp_type": kind, "icmp_code": 0, "src_port": None, "dst_port": None} | more
    return udp(time, src, dst, 0, 0, payload, **more)


def arp(time: float, src: str, dst: str, operation: int, mac: str = MACS[0], **more: object) -> dict:
    return {
        "time": START + round(time * SECOND),
        "length": 42,
        "network": "ARP",
        "protocol": "ARP",
        "src_mac": mac,
        "dst_mac": MACS[3] if operation == 1 else MACS[2],
        "src_ip": src,
        "dst_ip": dst,
        "arp_operation": operation,
        **more,
    }


@st.composite
def packet(draw: st.DrawFn, span_s: int = 10) -> dict[str, object]:
    """One packet of a small network, in the `span_s` seconds from START; few values, so that packets meet."""
    one = st.sampled_from
    protocol = draw(one(["TCP", "TCP", "TCP", "UDP", "UDP", "ICMP", "ICMPv6", "ARP", "LLDP", "47", None]))
    quarter = draw(st.integers(0, span_s * 4 - 1))
    row: dict[str, object] = {
        "time": START + quarter * SECOND // 4 + draw(one([0, 0, 1, 999_999])),
        "length": draw(st.integers(42, 60)),
        "src_mac": draw(one([*MACS[:3], None])),
        "dst_mac": draw(one([MACS[0], MACS[1], MACS[1], MACS[3]])),
        "protocol": protocol,
        "network": "IPv4",
    }
    if protocol in ("LLDP", None):
        return row
    row |= {"src_ip": draw(one(HOSTS[:5] + HOSTS[6:8])), "dst_ip": draw(one(HOSTS))}
    if protocol == "ARP":
        return row | {"arp_operation": draw(one([1, 2, 1, 2, 9]))}
    row |= {
        "ttl": draw(one([64, 64, 63])),
        "fragment": draw(one([0, 0, 0, 1])),
        "payload": draw(one([0, 0, 1, 30, 700])),
    }
    if protocol in ("ICMP", "ICMPv6"):
        row |= {"icmp_type": draw(one([8, 0, 3, 13, 14] if protocol == "ICMP" else [128, 129, 135])), "icmp_code": 0}
    if protocol in ("TCP", "UDP") and draw(one([True] * 9 + [False])):
        row |= {"src_port": draw(one(PORTS)), "dst_port": draw(one(PORTS))}
        if protocol == "TCP":
            row["tcp_flags"] = draw(one(FLAGS))
        elif 53 in (row["src_port"], row["dst_port"]):
            row |= {"dns_query": draw(one(NAMES)), "dns_type": draw(one([1, 16, 28]))}
            row["dns_rcode"] = draw(one([0, 3])) if row["src_port"] == 53 else None
    return row


def captures(most: int = 40, span_s: int = 10) -> st.SearchStrategy[pd.DataFrame]:
    """Tables of tables.PACKETS, in any order of time."""
    return st.lists(packet(span_s), min_size=1, max_size=most).map(table)
