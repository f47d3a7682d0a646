"""False neighbours, routers and DHCP servers: what fires, and what must be left alone."""

from __future__ import annotations

import pytest
from packets import MACS, START, icmp, udp
from test_novel_patterns import baseline, findings
from test_patterns import flat

from netnormal.known import Known

V, W, X, ROUTER = "fe80::1", "fe80::2", "fe80::9", "fe80::fe"
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
GROUP = {V: "ff02::1:ff00:1", W: "ff02::1:ff00:2", ROUTER: "ff02::1:ff00:fe"}
HONEST = {V: MACS[0], W: MACS[1], ROUTER: "02:00:00:00:00:fe"}
LIAR = MACS[2]


def nd(t: float, kind: int, src: str, dst: str, mac: str, ttl: int = 255) -> dict:
    more = {"protocol": "ICMPv6", "network": "IPv6", "src_mac": mac, "dst_mac": "33:33:00:00:00:01", "ttl": ttl}
    return icmp(t, src, dst, kind, 32) | more


def asks(t: float, src: str, about: str) -> dict:
    return nd(t, 135, src, GROUP[about], HONEST.get(src, LIAR))


def says(t: float, who: str, to: str, mac: str | None = None, **more: int) -> dict:
    return nd(t, 136, who, to, mac or HONEST[who], **more)


def talk(t: float) -> list[dict]:
    """Three neighbours who look each other up."""
    pairs = [(a, b) for a in HONEST for b in HONEST if a != b]
    return flat([asks(t + i, a, b), says(t + i + 0.001, b, a)] for i, (a, b) in enumerate(pairs))


def names(rows: list[dict], known: Known | None = None) -> list[tuple[str, str]]:
    return [(finding.pattern, finding.source) for finding in findings(rows, known)]


# ---------------------------------------------------------------- neighbour advertisements


@pytest.mark.parametrize("to", [ALL_NODES, W])
def test_advertisements_nobody_asked_for_of_an_address_that_others_own_are_spoofing(to):
    rows = talk(0) + [says(20 + 2 * i, ROUTER, to, LIAR) for i in range(9)] + talk(30) + [asks(41, X, ROUTER)]
    (finding,) = findings(rows, None)
    assert (finding.pattern, finding.source) == ("nd_spoofing", X)
    assert finding.evidence["taken"] == ROUTER and finding.evidence["hardware_address"] == LIAR
    assert finding.evidence["claims"] == 9 and finding.evidence["unasked"] == (9 if to == ALL_NODES else 7)
    assert ROUTER in finding.destinations and ALL_NODES not in finding.destinations
    assert (finding.technique, finding.severity, finding.subject) == ("T1557", "critical", LIAR)
    assert (finding.start, finding.end) == (START + 20 * 10**9, START + 36 * 10**9)


def test_who_answers_for_everybody_lies_though_asked():
    rows = flat(talk(20 * i) for i in range(4))
    rows += [row | {"src_mac": LIAR, "time": row["time"] + 1000} for row in rows if row["icmp_type"] == 136]
    (finding,) = findings(rows, None)
    assert (finding.pattern, finding.source, finding.evidence["contested"]) == ("nd_spoofing", LIAR, 3)


ND_CONTROLS = {
    "neighbours": lambda: flat(talk(20 * i) for i in range(9)),
    "an announcement of one's own": lambda: talk(0) + [says(9 + i, V, ALL_NODES) for i in range(9)],
    "an address that passes to another host": lambda: talk(0) + [says(9 + i, V, ALL_NODES, LIAR) for i in range(9)],
    "an address defended against a newcomer": lambda: (
        talk(0)
        + flat([asks(9 + i, "::", V), says(9.1 + i, V, ALL_NODES), says(9.2 + i, V, ALL_NODES, LIAR)] for i in range(2))
    ),
    "a virtual router": lambda: (
        talk(0) + [says(9 + i, ROUTER, ALL_NODES, "00:00:5e:00:02:01") for i in range(9)] + talk(30)
    ),
    "what was forwarded": lambda: talk(0) + [says(9 + i, V, W, LIAR, ttl=64) for i in range(9)] + talk(30),
}


@pytest.mark.parametrize("control", ND_CONTROLS)
def test_no_spoofing_of_neighbours_is_seen_in(control):
    assert names(ND_CONTROLS[control]()) == []


# ---------------------------------------------------------------- routers


def adverts(router: str, n: int = 4, mac: str = LIAR) -> list[dict]:
    return [nd(i * 7, 134, router, ALL_NODES, mac) for i in range(n)]


def test_a_router_the_baseline_never_heard_is_named():
    known = baseline(adverts(ROUTER))
    (finding,) = findings(adverts(ROUTER) + adverts(X), known)
    assert (finding.pattern, finding.source, finding.severity) == ("rogue_router", X, "high")
    assert (finding.evidence["advertisements"], finding.evidence["servers_before"]) == (4, 1)
    assert names(adverts(ROUTER), known) == names(adverts(X), None) == []


def test_a_baseline_that_heard_no_router_says_something_only_if_it_was_long():
    long = baseline(talk(0) + talk(1801))
    assert names(adverts(X), baseline(talk(0))) == [] and names(adverts(X), long) == [("rogue_router", X)]


def test_a_flood_of_routers_is_told_once():
    flood = flat(adverts(f"fe80::a:{i:x}", 1) for i in range(200))
    (finding,) = findings(flood, baseline(adverts(ROUTER)))
    assert (finding.source, finding.evidence["routers"], len(finding.flows)) == ("many", 200, 200)


# ---------------------------------------------------------------- DHCP


def lease(t: float, server: str, client: str = "10.0.0.50", v6: bool = False) -> list[dict]:
    ports = (547, 546) if v6 else (67, 68)
    every = "ff02::1:2" if v6 else "255.255.255.255"
    return [
        udp(t, "fe80::50" if v6 else "0.0.0.0", every, ports[1], ports[0], 300),
        udp(t + 0.01, server, client, *ports, 300),
    ]


@pytest.mark.parametrize("client", ["10.0.0.50", "255.255.255.255"])
def test_a_dhcp_server_beside_the_known_one_is_named(client):
    known = baseline(lease(0, "10.0.0.254", client))
    (finding,) = findings(lease(0, "10.0.0.254", client) + lease(5, "10.0.0.66", client), known)
    assert (finding.pattern, finding.source, finding.destinations) == ("rogue_dhcp", "10.0.0.66", (client,))
    assert (finding.evidence["offers"], finding.technique) == (1, "T1557.003")
    assert names(lease(0, "10.0.0.254", client), known) == names(lease(0, "10.0.0.66"), None) == []


def test_where_no_dhcp_server_was_known_only_a_stranger_is_named():
    known = baseline([udp(0, "10.0.0.66", "10.0.0.1", 40000, 53), udp(1, "10.0.0.1", "10.0.0.66", 53, 40000)])
    assert names(lease(0, "10.0.0.66"), known) == []
    assert names(lease(0, "10.0.0.67"), known) == [("rogue_dhcp", "10.0.0.67")]


def test_dhcp_of_ipv6_is_judged_too():
    known = baseline(lease(0, "fe80::fe", "fe80::50", v6=True))
    assert names(lease(0, "fe80::66", "fe80::50", v6=True), known) == [("rogue_dhcp", "fe80::66")]
    assert names(lease(0, "fe80::fe", "fe80::50", v6=True), known) == []
