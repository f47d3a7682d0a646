"""Tunnels in DNS slower than any window, and what is remembered for them."""

from __future__ import annotations

import pytest
from packets import START, table, udp
from remembering import SETTINGS, windows_find
from test_patterns import A, B

from netnormal.flows import flows
from netnormal.patterns import Finding, NameMemory, find, names


def asks(time: float, number: int, letters: int = 60, asker: str = A, domain: str = "bad.test") -> dict:
    return udp(time, asker, B, 40_000 + number, 53, dns_query=f"{number:0{letters}d}.{domain}")


def run(rows: list[dict], restarts: bool = False) -> list[Finding]:
    found = windows_find(rows, 600, NameMemory, "asked", restarts=restarts)
    return [one for one in found if one.pattern == "dns_tunnel"]


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_told_within_the_hour_adds_up_and_no_name_counts_twice(restarts):
    rows = [asks(i * 30, i) for i in range(119)]  # 20 names a window; the 69th makes 4,096 letters
    rows += [asks(i * 30 + 1, i) for i in range(119)]  # each asked twice
    found = run(rows, restarts)
    assert [(one.source, one.evidence["domain"], one.evidence["names"]) for one in found] == [
        (A, "bad.test", 80),
        (A, "bad.test", 20),
        (A, "bad.test", 19),
    ]
    assert found[0].start == START and [len(one.flows) for one in found] == [20, 20, 19]
    assert sum(int(one.evidence["letters"]) for one in found) == 119 * 60


CONTROLS = {
    "slower than the memory": lambda: [asks(i * 60, i) for i in range(300)],
    "the same names again and again": lambda: [asks(i * 10, i % 60) for i in range(300)],
    "many domains": lambda: [asks(i * 10, i, domain=f"site{i % 10}.test") for i in range(300)],
    "many askers": lambda: [asks(i * 10, i, asker=f"10.0.1.{i % 10}") for i in range(300)],
}


@pytest.mark.parametrize("control", CONTROLS)
def test_no_slow_tunnel_is_seen_in(control):
    assert run(CONTROLS[control]()) == []


def test_memory_is_bounded_and_what_it_costs_is_counted(monkeypatch):
    monkeypatch.setattr(names, "MOST_NAMES", 50)
    monkeypatch.setattr(names, "MOST_BELOW", 5)
    remembered = NameMemory(SETTINGS)
    for at in (0, 600, 1200):
        packets = table([asks(at + i, at + i, asker=f"10.0.1.{i % 20}") for i in range(200)])
        find(packets, *flows(packets), SETTINGS, 600, asked=remembered)
    _, kept = remembered.state()
    assert {len(known) for _, _, known in kept} == {5} and sum(len(known) for _, _, known in kept) == 50
    assert remembered.evicted == 3 * 50


@pytest.mark.parametrize("state", [[0, [[A, "bad.test", [["a", 1, 2]]]]], [0, [[A]]], ["x", []]])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises((ValueError, TypeError)):
        NameMemory(SETTINGS).restore(state)
