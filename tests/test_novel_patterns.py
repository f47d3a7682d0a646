"""Patterns that need a baseline: what they fire on, what they must leave alone, and what a baseline remembers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from packets import table, tcp, udp
from test_patterns import FAR, A, B, flat, session

from netnormal import features, settings, tables
from netnormal.flows import flows
from netnormal.known import Known, Most, is_private
from netnormal.patterns import CallMemory, Finding, beacons, find

ALL = settings.load(Path(__file__).parent.parent / "params.yaml")
SETTINGS = ALL.detect.patterns
OTHER = "203.0.113.9"


def baseline(rows: list[dict]) -> Known:
    """What a baseline of these packets had seen; without any, that of two hosts that talked twice, an hour apart."""
    rows = rows or session(0, A, B, 80, 40000) + session(3600, A, B, 80, 40001)
    windower = features.Windower(ALL.extract_features)
    packets = table(sorted(rows, key=lambda row: row["time"]))
    parts = [features.features_of(windower.push(packets)), features.features_of(windower.flush())]
    return Known.fit(tables.concat([part for part in parts if len(part)]))


def everything(rows: list[dict], known: Known | None, window_s: int = 600) -> list[Finding]:
    packets = table(sorted(rows, key=lambda row: row["time"]))
    flow_table, flow = flows(packets)
    return find(packets, flow_table, flow, SETTINGS, window_s, known, calls=CallMemory(SETTINGS))


def findings(rows: list[dict], known: Known | None, window_s: int = 600) -> list[Finding]:
    """What is to become incidents."""
    return [finding for finding in everything(rows, known, window_s) if finding.severity != "info"]


def names(rows: list[dict], known: Known | None, window_s: int = 600) -> list[tuple[str, str]]:
    return [(finding.pattern, finding.source) for finding in findings(rows, known, window_s)]


# ---------------------------------------------------------------- beacons


def calls(gaps: np.ndarray, sizes: np.ndarray | int = 300, port: int = 443, to: str = FAR) -> list[dict]:
    times, sizes = np.cumsum(gaps), np.broadcast_to(sizes, len(gaps))
    return flat(session(t, A, to, port, 20000 + i, int(sizes[i])) for i, t in enumerate(times) if t < 599)


@pytest.mark.parametrize(
    ("gap_s", "jitter", "port"),
    [(gap_s, jitter, 443) for gap_s in (5, 10, 20) for jitter in (0, 0.1, 0.3, 0.5)]
    + [(45, 0, 8080), (55, 0.1, 51234), (12, 0.4, 2222)],
)
def test_regular_calls_of_a_new_place_are_a_beacon_with_and_without_jitter(gap_s, jitter, port):
    gaps = gap_s * (1 + jitter * np.random.default_rng(7).uniform(-1, 1, 500))
    (finding,) = findings(calls(gaps, port=port), baseline([]))
    assert (finding.pattern, finding.source, finding.destinations) == ("beacon", A, (FAR,))
    assert finding.evidence["calls"] == sum(np.cumsum(gaps) < 599)
    assert finding.evidence["gap_s"] == pytest.approx(gap_s, rel=0.3)
    assert (finding.technique, finding.severity) == ("T1071", "medium")


def test_a_person_is_no_beacon():
    rng = np.random.default_rng(5)
    seen = 0
    for mean_s in (3, 5, 10, 20):
        for _ in range(20):
            seen += bool(names(calls(rng.exponential(mean_s, 300), rng.integers(80, 900, 300)), baseline([])))
    assert seen == 0


REGULAR = np.full(300, 10.0)
BEACON_CONTROLS = {
    "calls without an independent baseline": (lambda: calls(REGULAR), lambda: None),
    "calls the baseline had": (lambda: calls(REGULAR), lambda: baseline(calls(REGULAR))),
    "calls of a host that the baseline had for another service": (
        lambda: calls(REGULAR),
        lambda: baseline(calls(np.array([1.0]), port=22)),
    ),
    "too few": (lambda: calls(np.full(9, 30.0)), lambda: baseline([])),
    "for too short": (lambda: calls(np.full(60, 2.0)), lambda: baseline([])),
    "keep-alives within a connection": (
        lambda: (
            session(0, A, FAR, 443, 40000)[:4]
            + flat(
                [tcp(i * 10, A, FAR, 40000, 443, "PA", 40), tcp(i * 10 + 0.1, FAR, A, 443, 40000, "PA", 40)]
                for i in range(1, 59)
            )
        ),
        lambda: baseline([]),
    ),
    "what nobody answers": (lambda: [udp(i * 10, A, FAR, 20000 + i, 9999) for i in range(59)], lambda: baseline([])),
    "multicast": (lambda: [udp(i * 10, A, "239.1.2.3", 20000 + i, 9999) for i in range(59)], lambda: baseline([])),
    "calls from outside": (
        lambda: flat(session(i * 10, FAR, A, 443, 20000 + i) for i in range(59)),
        lambda: baseline([]),
    ),
}
for _port, _name in ((123, "time"), (53, "names"), (67, "leases"), (500, "IPsec")):
    BEACON_CONTROLS[_name] = (
        lambda port=_port: flat(
            [udp(i * 10, A, FAR, 20000 + i, port, 48), udp(i * 10 + 0.1, FAR, A, port, 20000 + i, 48)]
            for i in range(59)
        ),
        lambda: baseline([]),
    )


@pytest.mark.parametrize("control", BEACON_CONTROLS)
def test_no_beacon_is_seen_in(control):
    rows, known = BEACON_CONTROLS[control]
    assert names(rows(), known()) == []


@pytest.mark.parametrize(
    ("values", "skewness", "closeness"),
    [
        ([60, 60, 60, 60, 60], 0, 1),
        ([50, 55, 60, 65, 70], 0, 1 - 5 / 60),
        ([10, 10, 10, 10, 600], 0, 1),
        ([1, 2, 4, 8, 16], (2 + 8 - 8) / 6, 1 - 3 / 4),
        ([0, 0, 0], 0, 1),
        ([0, 0, 0, 0, 5, 9], 0, 1),
        ([59, 60, 60, 60, 61], 0, 1),
    ],
)
def test_the_parts_of_ritas_score(values, skewness, closeness):
    values = np.array(values, float)
    assert beacons.skewness(values) == pytest.approx(skewness)
    assert beacons.closeness(values) == pytest.approx(closeness)
    assert beacons.alike(values) == pytest.approx((1 - abs(skewness) + closeness) / 2)


def test_evenness_falls_when_calls_come_in_bursts():
    assert beacons.evenness(np.arange(48.0)) == 1
    assert beacons.evenness(np.concatenate([np.arange(24.0), 500 + np.arange(24.0)])) == 0
    assert beacons.evenness(np.array([0.0, 600.0])) == 1


def test_what_is_too_short_says_how_many_calls_over_how_long():
    few = beacons.judged(np.arange(5) * 60.0, np.full(5, 9), 600, SETTINGS)
    assert few.too_short == "5 calls in 240 s"
    short = beacons.judged(np.arange(60) * 2.0, np.full(60, 9), 600, SETTINGS)
    assert short.too_short == "60 calls in 118 s only" and short.score == 0
    enough = beacons.judged(np.arange(60) * 10.0, np.full(60, 9), 600, SETTINGS)
    assert not enough.too_short and enough.score == pytest.approx(1, abs=0.02)
    assert beacons.judged(np.zeros(0), np.zeros(0), 600, SETTINGS).too_short == "0 calls in 0 s"


# ---------------------------------------------------------------- uploads


def transfer(t: float, src: str, dst: str, port: int, out: int, back: int, sport: int = 40000) -> list[dict]:
    """A connection that carries `out` bytes from its initiator and `back` bytes to it, in large segments."""
    rows = session(t, src, dst, port, sport)[:3]
    for who, whom, ports, size in ((src, dst, (sport, port), out), (dst, src, (port, sport), back)):
        rows += [tcp(t + 0.01 + i / 1000, who, whom, *ports, "PA", 50_000) for i in range(size // 50_000)]
    return rows


SECONDS = transfer(0, A, OTHER, 443, 400_000, 5_000_000) + transfer(1, B, OTHER, 443, 1_200_000, 50_000)
USUAL = [*SECONDS, *session(595, A, B, 80, 40000)]


@pytest.mark.parametrize("window_s", [10, 60, 600])
def test_more_sent_than_ever_to_a_host_never_met_is_an_upload(window_s):
    (finding,) = findings(transfer(0, A, FAR, 443, 1_400_000, 100_000), baseline(USUAL), window_s)
    assert (finding.pattern, finding.source, finding.destinations) == ("upload", A, (FAR,))
    assert finding.evidence["sent_bytes"] == 1_400_000 and finding.evidence["received_bytes"] == 100_000
    assert finding.evidence["own_most_bytes"] == 400_000


def test_who_sends_counts_not_who_asks():
    (finding,) = findings(transfer(0, FAR, A, 4444, 1_000, 2_000_000), baseline(USUAL))
    assert (finding.pattern, finding.source, finding.destinations) == ("upload", A, (FAR,))


def test_to_a_host_that_the_network_uploads_to_anyway_three_times_the_most_is_an_upload():
    assert names(transfer(0, A, OTHER, 443, 3_700_000, 0), baseline(USUAL)) == [("upload", A)]
    fetched = [*transfer(0, FAR, B, 80, 0, 1_200_000), *USUAL]  # answers count like questions, but apart from them
    assert names(transfer(0, FAR, A, 80, 0, 3_500_000), baseline(fetched)) == []
    assert names(transfer(0, FAR, A, 80, 0, 3_700_000), baseline(fetched)) == [("upload", A)]


UPLOAD_CONTROLS = {
    "a download": (transfer(0, A, FAR, 443, 100_000, 9_000_000), USUAL),
    "an upload into the network": (transfer(0, FAR, A, 443, 9_000_000, 100_000), USUAL),
    "what it often sends": (transfer(0, B, OTHER, 443, 1_300_000, 0), USUAL),
    "three times its own most, but less than others send": (transfer(0, A, OTHER, 443, 1_150_000, 0), USUAL),
    "not three times what others send to the same host": (transfer(0, A, OTHER, 443, 3_500_000, 0), USUAL),
    "little": (transfer(0, A, FAR, 443, 900_000, 0), session(0, A, B, 80, 40000)),
    "a stream nobody answers": ([udp(i / 100, A, FAR, 5004, 5004, 50_000) for i in range(60)], USUAL),
}


@pytest.mark.parametrize("control", UPLOAD_CONTROLS)
def test_no_upload_is_seen_in(control):
    rows, past = UPLOAD_CONTROLS[control]
    assert names(rows, baseline(past)) == []


def test_a_baseline_of_seconds_says_what_is_sent_in_seconds_not_in_minutes():
    rows, known = transfer(0, A, FAR, 443, 1_400_000, 100_000), baseline(SECONDS)
    assert [names(rows, known, window_s) for window_s in (10, 60)] == [[("upload", A)], []]


def test_without_an_independent_baseline_no_upload_is_judged():
    assert names(transfer(0, A, FAR, 443, 50_000_000, 0), None) == []


# ---------------------------------------------------------------- what a baseline remembers


def test_a_baseline_remembers_who_talked_and_how_much():
    known = baseline([*USUAL, udp(3, A, FAR, 40000, 9999)])
    assert known.met(OTHER, A) and known.met(A, OTHER) and not known.met(A, FAR)  # never answered
    assert known.most(600, A, OTHER, "TCP/443") == Most(1, 1, 400_000, 5_000_000, 15)
    assert known.most(600, A, OTHER, "TCP/80") == Most() == known.most(7, A, OTHER, "TCP/443")
    assert known.most_sent(600, OTHER) == (0, 5_000_000)
    assert known.most_taken(600, OTHER) == (1_200_000, 0)
    assert known.most_taken(600, A) == (0, 400)  # what B answered
    assert ("TCP/443" in {service for _, service in known.served}) and known.servers("UDP/9999") == {A}


def test_inside_is_what_was_seen_on_the_link_else_private_ranges():
    assert baseline([]).inside("10.9.9.9") and not baseline([]).inside("198.51.100.7")
    from packets import arp

    seen = baseline([arp(0, A, B, 1), arp(0.1, B, A, 2), arp(1, A, "10.0.0.77", 1)])
    assert seen.devices == {A, B} and not seen.inside("10.9.9.9")


@pytest.mark.parametrize(
    ("address", "private"),
    [("172.31.0.1", True), ("172.32.0.1", False), ("fe80::1%eth0", True), ("2001:db8::1", False), ("-", False)],
)
def test_private_ranges(address, private):
    assert is_private(address) is private


# ---------------------------------------------------------------- guessing


def logins(n: int, apart: float) -> list[dict]:
    return flat(session(i * apart, A, B, 22, 40000 + i, 1500, 2200 + i % 3) for i in range(n))


def test_few_logins_alike_are_guessing_where_the_baseline_had_not_a_third_of_them():
    assert set(names(logins(5, 100), baseline([]))) == {("brute_force", A)}
    assert names(logins(5, 100), None) == names(logins(4, 1), baseline([])) == []
    assert names(logins(5, 100), baseline(logins(2, 60))) == []
    once = session(0, A, B, 22, 1) + session(3600, A, B, 80, 2)
    assert names(logins(5, 100), baseline(once)) == [] != names(logins(6, 90), baseline(once))
    short = baseline(session(0, A, B, 80, 1) + session(100, A, B, 80, 2))  # says nothing of five in minutes
    assert names(logins(5, 100), short) == [] != names(logins(5, 1), short, 10)
    assert names(logins(8, 10), baseline(logins(8, 10))) == [("brute_force", A)]  # so many in so short a time always
