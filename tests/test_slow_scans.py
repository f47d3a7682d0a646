"""Scans slower than any window, and what is remembered for them."""

from __future__ import annotations

import pytest
from packets import START, icmp, table, tcp, udp
from remembering import SETTINGS, windows_find
from test_patterns import FAR, A, B, flat, host, probe, session

from netnormal.flows import flows
from netnormal.patterns import Finding, ScanMemory, find, memory


def run(rows: list[dict], restarts: bool = False) -> list[Finding]:
    return windows_find(rows, 600, ScanMemory, "memory", restarts=restarts)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("answer", ["RA", None])
@pytest.mark.parametrize(("per_s", "pattern"), [(0.01, "port_scan"), (0.005, "port_scan"), (1.0, "port_scan")])
def test_a_scan_of_a_port_every_few_minutes_is_found_within_the_hour(per_s, pattern, answer, restarts):
    rows = flat(probe(i / per_s, A, B, 1 + i, answer) for i in range(min(round(3600 * per_s), 200)))
    found = run(rows, restarts)
    assert {(one.pattern, one.source, one.destinations) for one in found} == {(pattern, A, (B,))}
    assert len(found[-1].ports) >= SETTINGS.scan_ports and found[0].start == START
    assert found[0].end - START <= 3600 * 10**9


def test_each_window_of_a_slow_scan_tells_all_its_ports_so_far():
    found = run(flat(probe(i * 100, A, B, 1 + i, None) for i in range(36)))
    assert [len(one.ports) for one in found] == [18, 24, 30, 36]
    assert [one.evidence["silent"] for one in found] == [6] * 4  # of the window, since windows add up


@pytest.mark.parametrize(
    ("rows", "pattern"),
    [
        ([udp(i * 100, A, B, 40000, 1 + i) for i in range(36)], "udp_scan"),
        ([icmp(i * 100, A, host(i), 8) for i in range(36)], "ping_sweep"),
        ([tcp(i * 100, A, host(i), 40000, 23, "S") for i in range(36)], "port_sweep"),
    ],
)
def test_other_scans_are_remembered_too(rows, pattern):
    assert {(one.pattern, one.source) for one in run(rows)} == {(pattern, A)}
    assert {len(one.hosts | one.ports) for one in run(rows)} <= {1 + len(rows), len(rows), *range(15, 37)}


CONTROLS = {
    "slower than the memory": lambda: flat(probe(i * 300, A, B, 1 + i, "RA") for i in range(40)),
    "ports that answer": lambda: flat(session(i * 60, A, B, 1 + i, 40000 + i) for i in range(60)),
    "mostly ports that answer": lambda: flat(
        session(i * 60, A, B, 1 + i, 40000 + i) if i % 3 else probe(i * 60, A, B, 1 + i, None) for i in range(60)
    ),
    "one port that is down": lambda: flat(probe(i * 30, A, B, 443, None, sport=40000 + i) for i in range(120)),
    "distant hosts without a way out": lambda: [
        tcp(i * 60, A, f"198.51.100.{i}", 40000 + i, 443, "S") for i in range(60)
    ],
    "ports of many hosts": lambda: flat(probe(i * 60, A, host(i), 1 + i, "RA") for i in range(60)),
    "different sources": lambda: flat(probe(i * 60, host(i), FAR, 1 + i, "RA") for i in range(60)),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_no_slow_scan_is_seen_in(control):
    assert run(CONTROLS[control]()) == []


def test_a_port_that_answers_later_was_no_failure():
    rows = flat(probe(i * 100, A, B, 1 + i, None) for i in range(14))
    rows += flat(session(1400 + i, A, B, 1 + i, 41000 + i) for i in range(14)) + probe(1500, A, B, 900, None)
    assert run(rows) == []


def test_memory_is_bounded_and_what_it_costs_is_counted(monkeypatch):
    monkeypatch.setattr(memory, "MOST_PAIRS", 10)
    monkeypatch.setattr(memory, "MOST_CONTACTS", 5)
    remembered = ScanMemory(SETTINGS)
    for at in (0, 600, 1200):
        packets = table(flat(probe(at + i, host(i), B, 1 + p, "RA") for i in range(40) for p in range(7)))
        packets = packets.sort_values("time", kind="stable").reset_index(drop=True)
        flow_table, flow = flows(packets)
        find(packets, flow_table, flow, SETTINGS, 600, None, remembered)
    _, kept = remembered.state()
    assert remembered.evicted > 0 and len(kept) <= 10
    assert max(len(contacts) for *_, contacts in kept) <= 5


@pytest.mark.parametrize("state", [[0, [["port_scan", A]]], [0, [["port_scan", A, B, 0, [["1", 5]]]]], ["x", []]])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises((ValueError, TypeError)):
        ScanMemory(SETTINGS).restore(state)
