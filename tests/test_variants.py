"""Attacks as others do them: at other rates, over IPv6, two at once, cut off, beside the honest work of a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from packets import MACS, START, arp, icmp, table, tcp, udp
from test_novel_patterns import baseline
from test_patterns import FAR, flat, probe, session

from netnormal import features, settings
from netnormal.flows import flows
from netnormal.known import Known
from netnormal.patterns import CallMemory, NameMemory, ScanMemory, find

ALL = settings.load(Path(__file__).parent.parent / "params.yaml")
PCS = [f"10.0.0.{n}" for n in range(11, 14)]
SERVER, RESOLVER, ONE, OTHER, NEW = "10.0.0.2", "10.0.0.254", "10.0.0.66", "10.0.0.67", "203.0.113.9"
SIX = {"10.0.0.": "fd00::", "203.0.113.": "2001:db8::"}


def usual(seed: int, until: float = 640) -> list[dict]:
    """What everybody does, attackers too: pages, names, ARP."""
    random, rows = np.random.default_rng(seed), []
    for n, host in enumerate([*PCS, ONE, OTHER]):
        for i, at in enumerate(np.cumsum(random.exponential(25, 60))):
            if at > until:
                break
            port, to = 20_000 + 60 * n + i, (SERVER, FAR)[int(random.integers(2))]
            rows += session(at, host, to, 443, port, int(random.integers(200, 600)), int(random.integers(900, 9000)))
            asked = {"dns_query": f"www{i % 7}.example.org", "dns_type": 1}
            rows.append(udp(at - 0.02, host, RESOLVER, port, 53, 40, **asked))
            rows.append(udp(at - 0.01, RESOLVER, host, 53, port, 90, dns_rcode=0, **asked))
            rows += [arp(at - 0.03, host, RESOLVER, 1, MACS[0]), arp(at - 0.029, RESOLVER, host, 2, MACS[1])]
    return rows


@pytest.fixture(scope="module")
def known() -> Known:
    return baseline(usual(1))


def six(rows: list[dict]) -> list[dict]:
    """The same over IPv6."""

    def address(word: str) -> str:
        return next((word.replace(old, new) for old, new in SIX.items() if word.startswith(old)), word)

    kinds = {8: 128, 0: 129}
    return [
        row
        | {"network": "IPv6", "src_ip": address(row["src_ip"]), "dst_ip": address(row["dst_ip"])}
        | ({"protocol": "ICMPv6", "icmp_type": kinds[row["icmp_type"]]} if row["protocol"] == "ICMP" else {})
        for row in rows
    ]


def found(rows: list[dict], known: Known | None, cut: tuple[float, float] = (0, 640)) -> set[tuple[str, str]]:
    """Pattern and source of all that windows of every length find in the rows and what is usual, within `cut` [s]."""
    rows = [row for row in rows + usual(2) if cut[0] <= (row["time"] - START) / 1e9 < cut[1]]
    windower = features.Windower(ALL.extract_features)
    windows = windower.push(table(sorted(rows, key=lambda row: row["time"]))) + windower.flush()
    chosen = ALL.detect.patterns
    memories = {600: (ScanMemory(chosen), NameMemory(chosen), None), 60: (None, None, CallMemory(chosen))}
    names = set()
    for window in windows:
        of_window = find(
            window.packets,
            *flows(window.packets),
            chosen,
            window.window_s,
            known,
            *memories.get(window.window_s, ()),
        )
        names |= {(one.pattern, one.source) for one in of_window if one.severity != "info"}
    return names


def scan(n: int, apart: float, source: str = ONE, to: str = SERVER, answer: str | None = "RA", flags: str = "S"):
    return flat(probe(50 + i * apart, source, to, 1 + i, answer, flags) for i in range(n))


def logins(n: int, apart: float, port: int, source: str = ONE, to: str = SERVER) -> list[dict]:
    return flat(session(50 + i * apart, source, to, port, 50_000 + i, 900, 1500 + i % 4) for i in range(n))


def calls(n: int, apart: float, to: str) -> list[dict]:
    return flat(session(20 + i * apart, ONE, to, 8443, 30_000 + i, 300, 200) for i in range(n))


def every(apart: float, n: int, one: Callable[[float, int], list[dict]]) -> list[dict]:
    return flat(one(30 + i * apart, i) for i in range(n))


def held(n: int) -> list[dict]:
    """Requests that trickle and never end."""
    rows: list[dict] = []
    for i in range(n):
        at, port = 50 + i * 0.1, 3000 + i
        rows += [tcp(at, ONE, SERVER, port, 80, "S"), tcp(at + 0.001, SERVER, ONE, 80, port, "SA")]
        rows += [tcp(at + 0.002 + 10 * k, ONE, SERVER, port, 80, "PA", 12) for k in range(6)]
    return rows


def asked(name_of: Callable[[int], str], n: int, apart: float, rcode: int = 0) -> list[dict]:
    def one(at: float, i: int) -> list[dict]:
        question = {"dns_query": name_of(i), "dns_type": 1}
        there = udp(at, ONE, RESOLVER, 40_000 + i, 53, 90, **question)
        return [there, udp(at + 0.1, RESOLVER, ONE, 53, 40_000 + i, 120, dns_rcode=rcode, **question)]

    return every(apart, n, one)


def datagrams(at: float, i: int) -> list[dict]:
    there = udp(at, ONE, "203.0.113.77", 20_000 + i, 4444, 80)
    return [there, udp(at + 0.05, "203.0.113.77", ONE, 4444, 20_000 + i, 60)]


def echoes(at: float, i: int) -> list[dict]:
    there = icmp(at, ONE, SERVER, 8, 100 + i * 37 % 900)
    return [there, icmp(at + 0.05, SERVER, ONE, 0, 100 + i * 53 % 900)]


def half_open(at: float, i: int) -> list[dict]:
    return [tcp(at, ONE, SERVER, 1024 + i, 25, "S"), tcp(at + 0.001, SERVER, ONE, 25, 1024 + i, "SA")]


def uploaded(size: int) -> list[dict]:
    rows = session(100, ONE, "203.0.113.77", 443, 60_000)[:3]
    rows += [tcp(100.1 + i * 0.01, ONE, "203.0.113.77", 60_000, 443, "PA", 1400) for i in range(size // 1400)]
    return rows + [tcp(100.105 + i * 0.1, "203.0.113.77", ONE, 443, 60_000, "A") for i in range(size // 14_000)]


SIX_ONE, MANY = "fd00::66", "many"
VARIANTS: dict[str, tuple[Callable[[], list[dict]], set[tuple[str, str]]]] = {
    "nothing": (list, set()),
    "TCP scan over IPv6, silent, a port in 2 s": (
        lambda: six(scan(60, 2, answer=None)),
        {("port_scan", SIX_ONE)},
    ),
    "two scanners of one host at once": (
        lambda: scan(100, 0.1) + scan(100, 0.1, OTHER, answer=None),
        {("port_scan", ONE), ("port_scan", OTHER)},
    ),
    "TCP and UDP scanned at once": (
        lambda: scan(100, 0.1) + [udp(50 + i * 0.5, ONE, SERVER, 40_000, 1 + i) for i in range(60)],
        {("port_scan", ONE), ("udp_scan", ONE)},
    ),
    "a scan beside guessing by the same host": (
        lambda: scan(100, 0.1) + logins(40, 1, 22, to="10.0.0.3"),
        {("port_scan", ONE), ("brute_force", ONE)},
    ),
    "a server that scans its clients": (lambda: scan(60, 0.2, SERVER, PCS[0]), {("port_scan", SERVER)}),
    "20 ports of each of ten hosts": (
        lambda: flat(
            probe(50 + i * 0.05, ONE, f"10.0.0.{100 + i % 10}", 1 + i // 10 * 50, "RA", sport=40_000 + i)
            for i in range(200)
        ),
        {("port_scan", ONE)},
    ),
    "FIN, a port in 25 s": (lambda: scan(22, 25, answer=None, flags="F"), {("fin_scan", ONE)}),
    "Xmas over IPv6": (lambda: six(scan(40, 0.2, flags="FPU")), {("xmas_scan", SIX_ONE)}),
    "bare ACKs": (lambda: scan(60, 0.2, answer="R", flags="A"), {("ack_scan", ONE)}),
    "an odd port of many hosts over IPv6": (
        lambda: six([tcp(50 + i * 0.3, ONE, f"10.0.0.{100 + i}", 40_000, 9200, "S") for i in range(60)]),
        {("port_sweep", SIX_ONE)},
    ),
    "pings over IPv6": (
        lambda: six([icmp(50 + i * 0.3, ONE, f"10.0.0.{100 + i}", 8) for i in range(60)]),
        {("ping_sweep", SIX_ONE)},
    ),
    "ARP, a host in 20 s": (
        lambda: [arp(10 + i * 18, ONE, f"10.0.0.{100 + i}", 1, MACS[1]) for i in range(34)],
        {("arp_sweep", ONE)},
    ),
    "SYNs of one host over IPv6, answered": (
        lambda: six(every(0.01, 600, half_open)),
        {("syn_flood", SIX_ONE)},
    ),
    "SYNs from spoofed addresses to two ports": (
        lambda: [
            tcp(50 + i * 0.004, f"198.18.{i // 250}.{i % 250}", SERVER, 1024 + i, (80, 443)[i % 2], "S")
            for i in range(1500)
        ],
        {("syn_flood", MANY)},
    ),
    "datagrams from spoofed addresses to a resolver": (
        lambda: [udp(50 + i * 0.001, f"198.18.{i // 250}.{i % 250}", SERVER, 1024 + i, 53, 40) for i in range(3000)],
        {("udp_flood", MANY)},
    ),
    "pings at 500 a second over IPv6": (
        lambda: six([icmp(50 + i * 0.002, ONE, SERVER, 8) for i in range(1500)]),
        {("icmp_flood", SIX_ONE)},
    ),
    "requests that trickle": (lambda: held(60), {("slow_http", ONE)}),
    "FTP, 20 logins a minute": (lambda: logins(40, 3, 21), {("brute_force", ONE)}),
    "Telnet at another port, from outside": (lambda: logins(40, 3, 2323, NEW), {("brute_force", NEW)}),
    "RDP, 5 logins a minute, over IPv6": (lambda: six(logins(40, 12, 3389)), {("brute_force", SIX_ONE)}),
    "two guessers of one login at once": (
        lambda: logins(30, 3, 22) + logins(30, 4, 22, OTHER),
        {("brute_force", ONE), ("brute_force", OTHER)},
    ),
    "two beacons of one host, one over UDP": (
        lambda: calls(40, 15, NEW) + every(12, 50, datagrams),
        {("beacon", ONE)},
    ),
    "a beacon beside an upload of the same host": (
        lambda: calls(40, 15, NEW) + uploaded(4_000_000),
        {("beacon", ONE), ("upload", ONE)},
    ),
    "a tunnel of a query in 9 s": (
        lambda: asked(lambda i: f"{i:060d}.{i:060d}.t.bad.test", 60, 9),
        {("dns_tunnel", ONE)},
    ),
    "made-up domains, one in 10 s": (lambda: asked(lambda i: f"q{i * 7919}z{i}.test", 40, 10, 3), {("dga", ONE)}),
    "a tunnel of pings over IPv6": (
        lambda: six(every(0.2, 60, echoes)),
        {("icmp_tunnel", SIX_ONE)},
    ),
    "a lie to one host in 10 s": (
        lambda: [arp(20 + i * 10, RESOLVER, PCS[0], 2, MACS[2]) for i in range(30)],
        {("arp_spoofing", MACS[2])},
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_attack_done_otherwise_has_its_name_and_nothing_else_has_one(variant, known):
    rows, wanted = VARIANTS[variant]
    assert found(rows(), known) == wanted


@pytest.mark.parametrize("cut", [(0, 56), (53, 640)])
@pytest.mark.parametrize("variant", ["two scanners of one host at once", "a scan beside guessing by the same host"])
def test_an_attack_cut_off_by_the_start_or_the_end_of_the_capture_has_its_name(variant, cut, known):
    rows, wanted = VARIANTS[variant]
    names = found(rows(), known, cut)
    assert ("port_scan", ONE) in names and names <= wanted
