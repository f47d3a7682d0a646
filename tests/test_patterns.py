"""What each named pattern fires on, and what it must leave alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference_patterns as reference
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from packets import MACS, arp, captures, icmp, table, tcp, udp

from netnormal import settings
from netnormal.flows import flows
from netnormal.kernels import patterns as kernels
from netnormal.patterns import KINDS, Finding, find
from netnormal.patterns.names import split_name
from netnormal.patterns.scans import walk

SETTINGS = settings.load(Path(__file__).parent.parent / "params.yaml").detect.patterns
A, B, ROUTER, FAR = "10.0.0.1", "10.0.0.2", "10.0.0.254", "198.51.100.7"


def findings(rows: list[dict]) -> list[Finding]:
    packets = table(sorted(rows, key=lambda row: row["time"]))
    flow_table, flow = flows(packets)
    return find(packets, flow_table, flow, SETTINGS)


def names(rows: list[dict]) -> list[tuple[str, str]]:
    return [(finding.pattern, finding.source) for finding in findings(rows)]


def host(number: int) -> str:
    return f"10.0.{number // 250}.{number % 250 + 3}"


def probe(t: float, src: str, dst: str, port: int, answer: str | None, flags: str = "S", sport: int = 40000) -> list:
    """One TCP probe and what comes back: flags, or None for silence."""
    rows = [tcp(t, src, dst, sport, port, flags)]
    return rows + ([tcp(t + 0.001, dst, src, port, sport, answer)] if answer else [])


def session(t: float, src: str, dst: str, port: int, sport: int, out: int = 100, back: int = 400) -> list[dict]:
    """A whole TCP connection: handshake, a question, an answer, an end."""
    turns = [(src, "S", 0), (dst, "SA", 0), (src, "A", 0), (src, "PA", out), (dst, "PA", back), (src, "FA", 0)]
    return [
        tcp(
            t + i / 1000,
            who,
            dst if who == src else src,
            *((sport, port) if who == src else (port, sport)),
            flags,
            size,
        )
        for i, (who, flags, size) in enumerate(turns)
    ]


def flat(parts) -> list[dict]:
    return [row for part in parts for row in part]


# ---------------------------------------------------------------- scans and sweeps


@pytest.mark.parametrize("answer", ["RA", None])
@pytest.mark.parametrize("apart", [0.001, 12.0])
def test_many_closed_ports_of_one_host_are_a_port_scan_fast_or_slow(answer, apart):
    rows = flat(probe(i * apart, A, B, 1 + i, answer) for i in range(40)) + probe(40 * apart, A, B, 80, "SA")
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.destinations) == ("port_scan", A, (B,))
    assert (len(finding.ports), finding.evidence["answered"]) == (41, 1)
    assert finding.evidence["refused" if answer else "silent"] == 40
    assert finding.technique == "T1046" and finding.severity == "medium"


def test_a_scan_of_which_some_probes_were_not_captured_is_known_by_the_refusals():
    refusals = [tcp(i / 100, B, A, 1 + i, 40000, "RA") for i in range(40)]
    assert names(refusals) == [("port_scan", A)]
    (finding,) = findings(refusals + flat(probe(1 + i / 100, A, B, 101 + i, "RA") for i in range(20)))
    assert (finding.source, len(finding.ports), finding.evidence["refused"]) == (A, 60, 60)


@pytest.mark.parametrize(
    "ends",
    {
        "of one server": [tcp(i, B, A, 443, 40000 + i, "RA") for i in range(40)],
        "of old connections, which acknowledge nothing": [tcp(i, B, A, 1 + i, 40000, "R") for i in range(40)],
        "of many servers": [tcp(i, host(i), A, 443, 40000 + i, "RA") for i in range(40)],
        "of what was said": [tcp(i, B, A, 1 + i, 40000, "RA", 20) for i in range(40)],
        "after an answer": flat(
            [tcp(i, B, A, 1 + i, 40000, "A"), tcp(i + 0.1, B, A, 1 + i, 40000, "RA")] for i in range(40)
        ),
    }.items(),
    ids=lambda one: one[0],
)
def test_connections_that_are_reset_are_no_scan(ends):
    assert names(ends[1]) == []


@pytest.mark.parametrize(
    ("flags", "pattern"), [("-", "null_scan"), ("F", "fin_scan"), ("FPU", "xmas_scan"), ("A", "ack_scan")]
)
@pytest.mark.parametrize("answer", ["R", None])
def test_probes_with_flags_that_open_nothing_are_stealth_scans(flags, pattern, answer):
    rows = flat(probe(i / 10, A, B, 1 + i, answer, flags) for i in range(30))
    assert names(rows) == [(pattern, A)]


def test_a_udp_scan_is_found_with_or_without_unreachables():
    rows = [udp(i / 10, A, B, 40000, 1 + i) for i in range(40)]
    assert names(rows) == [("udp_scan", A)]
    rows += [icmp(0.01 + i / 10, B, A, 3, icmp_code=3) for i in range(40)]
    assert names(rows) == [("udp_scan", A)]


@pytest.mark.parametrize("answer", ["RA", None])
def test_one_port_of_many_hosts_is_a_port_sweep(answer):
    rows = flat(probe(i, A, host(i), 23, answer) for i in range(40))
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, len(finding.hosts)) == ("port_sweep", A, 40)
    assert len(finding.destinations) == 20 and finding.services == ("TCP/23",)


def test_pings_of_many_silent_hosts_are_a_ping_sweep():
    rows = [icmp(i, A, host(i), 8) for i in range(40)] + [icmp(3.1, host(3), A, 0)]
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.evidence["hosts_answering"]) == ("ping_sweep", A, 1)


def arp_sweep(asker: str, alive: range, mac: str = MACS[0]) -> list[dict]:
    rows = [arp(i / 10, asker, host(i), 1, mac) for i in range(60)]
    return rows + [arp(i / 10 + 0.001, host(i), asker, 2, MACS[1]) for i in alive]


def test_an_arp_sweep_is_called_by_what_the_hosts_that_answered_were_then_sent():
    asked = arp_sweep(A, range(5))
    assert names(asked) == [("arp_sweep", A)]
    pings = [icmp(i / 10 + 0.01, A, host(i), 8) for i in range(5)]
    assert names(asked + pings) == [("ping_sweep", A)]
    syns = flat(probe(i / 10 + 0.01, A, host(i), 22, "RA") for i in range(5))
    (finding,) = findings(asked + syns)
    assert (finding.pattern, finding.source, len(finding.hosts)) == ("port_sweep", A, 60)
    assert set(finding.services) == {"ARP", "TCP/22"}


def test_what_a_sweeper_does_with_hosts_it_had_not_to_ask_for_is_no_part_of_its_sweep():
    browsing = flat(session(i / 10, A, host(200 + i), 443, 41_000 + i) for i in range(30))
    (finding,) = findings(arp_sweep(A, range(5)) + browsing)
    assert (finding.pattern, finding.services) == ("arp_sweep", ("ARP",))


def test_a_router_that_asks_for_an_outside_scanner_is_not_the_one_who_sweeps():
    asked = arp_sweep(ROUTER, range(5))
    syns = flat(probe(i / 10 + 0.01, FAR, host(i), 22, "RA") for i in range(5))
    carried = [row | {"src_mac": MACS[0]} for row in syns]
    (finding,) = findings(asked + carried)
    assert (finding.pattern, finding.source, finding.evidence["asked_by"]) == ("port_sweep", FAR, ROUTER)
    other = [row | {"src_mac": MACS[2]} for row in syns]  # not through the router: another host's own business
    assert ("arp_sweep", ROUTER) in names(asked + other)


def test_a_router_that_delivers_a_sweep_seen_on_its_way_is_not_named():
    through = flat(probe(i / 10 - 0.01, FAR, host(i), 22, None) for i in range(60))
    assert names(arp_sweep(ROUTER, range(0)) + through) == [("port_sweep", FAR)]


def test_a_scan_of_many_ports_of_many_hosts_is_told_once():
    rows = flat(probe(i / 10 + p / 1000, A, host(i), 1 + p, None) for i in range(30) for p in range(40))
    assert len(names(rows)) == 1


SCAN_CONTROLS = {
    "ports that answer": lambda: flat(session(i, A, B, 1000 + i, 40000 + i) for i in range(60)),
    "too few ports": lambda: flat(probe(i, A, B, 1 + i, "RA") for i in range(14)),
    "too few hosts": lambda: flat(probe(i, A, host(i), 22, None) for i in range(24)),
    "mostly hosts that answer": lambda: flat(
        session(i, A, host(i), 443, 40000 + i) if i % 3 else probe(i, A, host(i), 443, None) for i in range(90)
    ),
    "a server that is down, tried again and again": lambda: flat(
        probe(i, A, B, 443, None, sport=40000 + i) for i in range(90)
    ),
    "traceroute": lambda: [udp(i / 10, A, FAR, 40000, 33434 + i, ttl=1 + i // 3) for i in range(90)],
    "answers to a search by multicast": lambda: (
        [udp(i, A, "239.255.255.250", 50000 + i, 1900) for i in range(40)]
        + [udp(i + 0.1, B, A, 33333, 50000 + i) for i in range(40)]
    ),
    "answers whose questions were not seen": lambda: [udp(i, B, A, 53, 50000 + i) for i in range(40)],
    "resets of connections that began earlier": lambda: flat(
        [tcp(i, A, B, 443, 50000 + i, "FA"), tcp(i + 0.1, B, A, 50000 + i, 443, "R")] for i in range(40)
    ),
    "address probes": lambda: [arp(i, "0.0.0.0", host(i), 1) for i in range(60)],
    "ARP for hosts that answer": lambda: arp_sweep(A, range(60)),
    "pings that are answered": lambda: flat([icmp(i, A, host(i), 8), icmp(i + 0.1, host(i), A, 0)] for i in range(60)),
}


@pytest.mark.parametrize("control", SCAN_CONTROLS)
def test_no_scan_is_seen_in(control):
    assert names(SCAN_CONTROLS[control]()) == []


# ---------------------------------------------------------------- floods


def test_half_open_connections_of_one_source_are_a_syn_flood_by_it():
    rows = flat(probe(i / 500, A, B, 443, "SA", sport=1024 + i) for i in range(1500))
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.destinations) == ("syn_flood", A, (B,))
    assert finding.evidence["half_open"] == 1500 and finding.evidence["per_s"] == 500
    assert finding.subject == B


def test_a_flood_from_spoofed_addresses_comes_from_many():
    rows = flat(probe(i / 500, f"203.0.{i % 200}.{i // 200}", B, 443, None, sport=1024 + i) for i in range(1500))
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.evidence["sources"]) == ("syn_flood", "many", 1500)


def test_unanswered_datagrams_over_many_ports_are_a_udp_flood():
    rows = [udp(i / 1000, A, B, 1024 + i, 443) for i in range(3000)]
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.evidence["per_s"]) == ("udp_flood", A, 1000)


def test_pings_at_a_high_rate_are_an_icmp_flood_answered_or_not():
    rows = [icmp(i / 500, A, B, 8) for i in range(2000)]
    assert names(rows) == [("icmp_flood", A)]
    rows += [icmp(i / 500 + 0.0001, B, A, 0) for i in range(2000)]
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.evidence["packets"]) == ("icmp_flood", A, 2000)


def test_echo_replies_nobody_asked_for_are_a_reflected_flood():
    rows = [icmp(i / 500, host(i % 40), A, 0) for i in range(2000)]
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.subject) == ("icmp_flood", "many", A)


def test_requests_that_are_never_finished_are_slow_http():
    rows = flat(
        [*session(i / 100, A, B, 80, 40000 + i)[:4], tcp(9 + i / 100, A, B, 40000 + i, 80, "PA", 10)] for i in range(60)
    )
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.evidence["held"]) == ("slow_http", A, 60)


FLOOD_CONTROLS = {
    "connections that are completed": lambda: flat(
        session(i / 500, host(i % 400), B, 443, 1024 + i) for i in range(1500)
    ),
    "a few half-open ones among many": lambda: flat(
        session(i / 500, host(i % 400), B, 443, 1024 + i) if i % 3 else probe(i / 500, A, B, 443, None, sport=1024 + i)
        for i in range(1500)
    ),
    "half-open connections at leisure": lambda: flat(
        probe(i / 10, host(i), B, 443, None, sport=1024 + i) for i in range(400)
    ),
    "one stream": lambda: [udp(i / 1000, A, B, 5004, 5004, 1200) for i in range(3000)],
    "logs": lambda: [udp(i / 1000, host(i % 150), B, 1024 + i % 999, 514) for i in range(3000)],
    "multicast": lambda: [udp(i / 1000, A, "239.1.2.3", 1024 + i, 5004) for i in range(3000)],
    "datagrams that are answered": lambda: flat(
        [udp(i / 1000, A, B, 1024 + i, 443), udp(i / 1000 + 0.0001, B, A, 443, 1024 + i)] for i in range(3000)
    ),
    "a burst": lambda: [icmp(i / 1000, A, B, 8) for i in range(400)],
    "pings at leisure": lambda: flat([icmp(i / 10, A, B, 8), icmp(i / 10 + 0.01, B, A, 0)] for i in range(3000)),
    "idle connections": lambda: flat(session(i / 100, A, B, 80, 40000 + i)[:3] for i in range(60)),
}


@pytest.mark.parametrize("control", FLOOD_CONTROLS)
def test_no_flood_is_seen_in(control):
    assert names(FLOOD_CONTROLS[control]()) == []


# ---------------------------------------------------------------- spoofing

VICTIM, GATEWAY, SPOOFER = MACS[0], MACS[1], MACS[2]


def honest(t: float) -> list[dict]:
    """The victim asks for the gateway, and the gateway answers."""
    return [arp(t, A, ROUTER, 1, VICTIM), arp(t + 0.001, ROUTER, A, 2, GATEWAY)]


def lies(t: float, count: int = 5, apart: float = 2) -> list[dict]:
    return [arp(t + i * apart, ROUTER, A, 2, SPOOFER) for i in range(count)]


def test_a_second_owner_of_an_address_that_replies_unasked_is_a_spoofer():
    rows = honest(0) + lies(10) + honest(15) + [arp(1, B, ROUTER, 1, SPOOFER)]
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.evidence["taken"]) == ("arp_spoofing", B, ROUTER)
    assert finding.evidence["hardware_address"] == SPOOFER and set(finding.destinations) == {A, ROUTER}
    assert finding.severity == "critical"


def test_who_claims_two_addresses_unasked_is_a_spoofer_although_the_owners_are_silent():
    rows = lies(0) + [arp(0.5 + i * 2, A, ROUTER, 2, SPOOFER) for i in range(5)]
    assert names(rows) == [("arp_spoofing", SPOOFER)]


SPOOFING_CONTROLS = {
    "honest ARP": lambda: flat(honest(i) for i in range(50)),
    "an address that changes hands": lambda: honest(0) + honest(5) + lies(10),
    "a proxy that answers for many": lambda: flat(
        [arp(i, A, host(i % 9), 1, VICTIM), arp(i + 0.1, host(i % 9), A, 2, GATEWAY)] for i in range(50)
    ),
    "announcements of one's own addresses": lambda: flat(
        [arp(i, A, A, 2, VICTIM), arp(i + 0.1, B, B, 2, VICTIM)] for i in range(20)
    ),
    "two that answer when asked": lambda: flat([*honest(i), arp(i + 0.002, ROUTER, A, 2, SPOOFER)] for i in range(20)),
    "address probes": lambda: flat(
        [arp(i, "0.0.0.0", A, 1, SPOOFER), arp(i + 0.1, A, "0.0.0.0", 2, VICTIM)] for i in range(20)
    ),
    "a virtual router": lambda: flat(
        [*honest(i), arp(i + 0.5, ROUTER, A, 2, "00:00:5e:00:01:0a"), arp(i + 0.6, B, A, 2, "00:00:5e:00:01:0a")]
        for i in range(20)
    ),
    "two lies only": lambda: honest(0) + lies(10, 2) + honest(15),
}


@pytest.mark.parametrize("control", SPOOFING_CONTROLS)
def test_no_spoofing_is_seen_in(control):
    assert names(SPOOFING_CONTROLS[control]()) == []


# ---------------------------------------------------------------- guessing and tunnels


def test_the_same_short_talk_with_a_login_again_and_again_is_brute_force():
    rows = flat(session(i * 5, A, B, 22, 40000 + i, 1500, 2200 + i % 3) for i in range(12))
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.evidence["connections"]) == ("brute_force", A, 12)


def test_echoes_that_are_no_ping_are_a_tunnel():
    varied = flat([icmp(i / 5, A, B, 8, 300 + i), icmp(i / 5 + 0.1, B, A, 0, 300 + i)] for i in range(40))
    assert names(varied) == [("icmp_tunnel", A)]
    unasked = [icmp(0, A, B, 8, 64)] + [icmp(0.1 + i / 10, B, A, 0, 1000) for i in range(20)]
    assert names(unasked) == [("icmp_tunnel", A)]


def lookups(names_asked: list[str]) -> list[dict]:
    return flat(
        [
            udp(i / 2, A, B, 40000 + i, 53, dns_query=name, dns_type=16),
            udp(i / 2 + 0.1, B, A, 53, 40000 + i, dns_query=name, dns_type=16, dns_rcode=0),
        ]
        for i, name in enumerate(names_asked)
    )


def test_long_distinct_names_below_one_domain_are_a_dns_tunnel():
    (finding,) = findings(lookups([f"{i:060d}.{i:060d}.t.bad.test" for i in range(40)]))
    assert (finding.pattern, finding.source, finding.evidence["domain"]) == ("dns_tunnel", A, "bad.test")
    assert (finding.evidence["names"], finding.evidence["letters"]) == (40, 40 * 123)


def test_a_byte_that_is_no_letter_counts_once_however_it_is_spelt():
    names_asked = ["".join(f"\\{byte:03d}" for byte in range(128, 188)) + f".{i:010d}.t.bad.test" for i in range(60)]
    (finding,) = findings(lookups(names_asked))
    assert (finding.pattern, finding.evidence["letters"]) == ("dns_tunnel", 60 * (60 + 1 + 10 + 1 + 1))


TUNNEL_CONTROLS = {
    "logins of different length": lambda: flat(
        session(i * 5, A, B, 22, 40000 + i, 1500, 1000 + 900 * i) for i in range(12)
    ),
    "a few logins": lambda: flat(session(i, A, B, 22, 40000 + i) for i in range(7)),
    "logins now and then": lambda: flat(session(i * 60, A, B, 22, 40000 + i) for i in range(10)),
    "pages": lambda: flat(session(i, A, B, 443, 40000 + i) for i in range(60)),
    "large pings": lambda: flat([icmp(i, A, B, 8, 1400), icmp(i + 0.1, B, A, 0, 1400)] for i in range(60)),
    "addresses looked up by number": lambda: lookups([f"{i}.{'0.' * 30}ip6.arpa" for i in range(90)]),
    "one long name again and again": lambda: lookups([f"{'x' * 60}.{'y' * 60}.cdn.test"] * 200),
    "many short names": lambda: lookups([f"www{i}.example.org" for i in range(200)]),
    "long names of many domains": lambda: lookups([f"{'x' * 60}.site{i}.test" for i in range(90)]),
}


@pytest.mark.parametrize("control", TUNNEL_CONTROLS)
def test_no_guessing_and_no_tunnel_is_seen_in(control):
    assert names(TUNNEL_CONTROLS[control]()) == []


def test_names_are_split_at_what_somebody_registered():
    assert split_name("a.b.example.org") == ("example.org", "a.b")
    assert split_name("a.example.co.uk.") == ("example.co.uk", "a")
    assert split_name("example.org") == ("example.org", "")
    assert split_name("a.b.github.io") == ("b.github.io", "a")
    assert [split_name(name)[0] for name in ("", "printer", "co.uk", "io")] == [""] * 4


def answers(codes: dict[str, int]) -> list[dict]:
    """Names asked for by A, and the response codes they got."""
    return flat(
        [
            udp(i / 9, A, B, 40000 + i, 53, dns_query=name, dns_type=1),
            udp(i / 9 + 0.01, B, A, 53, 40000 + i, dns_query=name, dns_type=1, dns_rcode=code),
        ]
        for i, (name, code) in enumerate(codes.items())
    )


@pytest.mark.parametrize("existing", [0, 3])
def test_many_domains_that_do_not_exist_are_made_up_by_a_program(existing):
    rows = answers({f"{i:x}f00.{'com' if i % 2 else 'co.uk'}": 3 * (i >= existing) for i in range(60)})
    (finding,) = findings(rows)
    assert (finding.pattern, finding.source, finding.destinations) == ("dga", A, (B,))
    assert (finding.evidence["missing"], finding.evidence["existing"]) == (60 - existing, existing)
    assert (finding.technique, finding.severity, len(finding.flows)) == ("T1568.002", "high", 60 - existing)


DGA_CONTROLS = {
    "few": {f"x{i}.com": 3 for i in range(24)},
    "many names below few domains": {f"h{i}.example{i % 5}.org": 3 for i in range(200)},
    "a search list, where one of two exists": {
        f"www.d{i // 2}.com{'.corp.example' * (i % 2)}": 3 * (i % 2) for i in range(200)
    },
    "domains that mostly exist": {f"x{i}.com": 3 * (i % 3 == 0) for i in range(200)},
    "names of one label": {f"x{i}": 3 for i in range(200)},
    "addresses": {f"{i}.0.0.10.in-addr.arpa": 3 for i in range(200)},
    "a resolver that is down": {f"x{i}.com": 2 for i in range(200)},
}


@pytest.mark.parametrize("control", DGA_CONTROLS)
def test_no_names_are_made_up_in(control):
    assert names(answers(DGA_CONTROLS[control])) == []


# ---------------------------------------------------------------- laws


@hypothesis_settings(deadline=None, max_examples=60)
@given(captures())
def test_any_packets_give_findings_that_lie_within_them(packets):
    packets = packets.iloc[np.argsort(packets["time"].to_numpy(), kind="stable")]
    flow_table, flow = flows(packets)
    for finding in find(packets, flow_table, flow, SETTINGS):
        assert finding.pattern in KINDS
        assert packets["time"].min() <= finding.start <= finding.end <= packets["time"].max()
        assert len(finding.flows) and (np.diff(finding.flows) > 0).all()


def test_four_failures_in_a_row_say_scanner_and_a_success_takes_one_back():
    step_failed, step_success, upper = walk(SETTINGS)
    group = np.zeros(6, np.int64)
    four = kernels.sequential_test(group, np.array([1, 1, 1, 1, 0, 0], bool), step_failed, step_success, upper, 1)
    six = kernels.sequential_test(group, np.array([1, 1, 0, 1, 1, 1], bool), step_failed, step_success, upper, 1)
    assert four.tolist() == [3] and six.tolist() == [5]


@hypothesis_settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40))
def test_the_sequential_test_is_what_its_twin_says(contacts):
    group = np.array([g for g, _ in contacts], np.int64)
    failed = np.array([f for _, f in contacts], bool)
    steps = walk(SETTINGS)
    assert kernels.sequential_test(group, failed, *steps, 3).tolist() == reference.sequential_test(
        group, failed, *steps, 3
    )


@hypothesis_settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.integers(0, 4)), max_size=40))
def test_unasked_replies_are_what_their_twin_says(packets):
    host_, peer, operation, gap = (np.array([p[i] for p in packets], np.int64) for i in range(4))
    time = np.cumsum(gap)
    is_request, is_reply = operation == 1, operation == 2
    fast = kernels.unasked_replies(host_, peer, is_request, is_reply, time, 3, 4)
    assert fast.tolist() == reference.unasked_replies(host_, peer, is_request, is_reply, time, 3)


def test_the_kernels_say_the_same_without_compilation():
    chosen = "twin or four_failures"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, __file__]
    done = subprocess.run(
        command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
