"""Calls remembered over windows: beacons from their first call on, slow guesses at logins, and what that costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from packets import START, table, tcp, udp
from remembering import ALL, SETTINGS, windows_find
from test_novel_patterns import baseline
from test_patterns import FAR, A, B, flat, session

from netnormal import detection, features, model, words
from netnormal.flows import flows
from netnormal.patterns import CallMemory, Finding, beacons, calls, find

SECOND = 1_000_000_000


def run(rows: list[dict], known=None, restarts: bool = False) -> list[Finding]:
    """What the windows of 60 s find, but for notices."""
    known = baseline([]) if known is None else known
    found = windows_find(rows, 60, CallMemory, "calls", known, restarts)
    return [one for one in found if one.severity != "info"]


def called(gaps: np.ndarray, until: float, port: int = 443, source: str = A, to: str = FAR) -> list[dict]:
    return flat(session(t, source, to, port, 20000 + i) for i, t in enumerate(np.cumsum(gaps)) if t < until)


def jittered(gap_s: float, jitter: float, seed: int = 7) -> np.ndarray:
    return gap_s * (1 + jitter * np.random.default_rng(seed).uniform(-1, 1, 4000))


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    ("gap_s", "jitter", "within_s"),
    [(5, 0, 240), (20, 0.2, 300), (30, 0.4, 600), (55, 0.1, 720), (90, 0.2, 1500), (180, 0.3, 2700), (300, 0, 3300)],
)
def test_a_beacon_is_recognised_by_its_last_minutes_or_hour_and_begins_with_its_first_call(
    gap_s, jitter, within_s, restarts
):
    found = run(called(jittered(gap_s, jitter), 3590), restarts=restarts)
    assert {(one.pattern, one.source, one.destinations) for one in found} == {("beacon", A, (FAR,))}
    first = found[0]
    assert first.end - START < within_s * SECOND
    assert first.start <= START + 1.5 * gap_s * SECOND
    assert first.earlier is not None and first.earlier.packets > 0


def test_a_baseline_too_short_to_show_that_nobody_calls_so_seldom_says_nothing():
    def found(baseline_s: float, gap_s: float) -> list[Finding]:
        known = baseline(session(0, A, B, 80, 1) + session(baseline_s, A, B, 80, 2))
        return run(called(np.full(100, gap_s), 3590), known)

    assert found(300, 180) == [] and found(400, 180) != [] and found(60, 20) != []


def test_every_call_is_counted_once_over_all_windows():
    rows = called(jittered(20, 0.2), 1790)
    found = run(rows)
    assert sum(int(one.evidence["calls"]) for one in found) == len(rows) / len(session(0, A, FAR, 443, 1))
    before, *later = [one.earlier.packets for one in found if one.earlier is not None]
    window = (found[0].end - START) // (60 * SECOND)
    assert before == sum(row["time"] < START + window * 60 * SECOND for row in rows)
    assert later == [0] * (len(found) - 1)


def test_calls_at_random_times_are_no_beacon_in_an_hour():
    random = np.random.default_rng(3)
    hours = [run(called(random.exponential(gap_s, 900), 3590)) for gap_s in (10, 20, 30, 60) for _ in range(4)]
    assert [names for names in hours if names] == []


@pytest.mark.parametrize(("n", "share"), [(9, 0.01), (23, 0.01), (60, 0.1)])
def test_the_chance_is_that_of_calls_at_random_times(n, share):
    random = np.random.default_rng(n)
    gaps = 1 + random.exponential(30, (4000, n))
    below = np.mean([beacons.chance(one) <= share for one in gaps])
    assert below == pytest.approx(share, rel=0.5) if n <= beacons.BARS else below <= share
    assert beacons.chance(np.full(n, 20.0)) < 1e-9


@pytest.mark.parametrize("n", [9, 15, 24, 50])
def test_random_calls_do_not_look_like_a_beacon_that_skips(n):
    random = np.random.default_rng(n)
    for mean in (3, 30):
        gaps = 1 + random.exponential(mean, (4000, n))
        assert np.mean([beacons.chance_of_skipping(one) <= 0.001 for one in gaps]) <= 0.001
    skips = np.diff(np.flatnonzero(random.random(3 * n) < 0.6)) * 20 * (1 + 0.05 * random.uniform(-1, 1))
    assert beacons.chance_of_skipping(skips) < 1e-4


def long_poll(port_of) -> list[dict]:
    return flat(
        [udp(i * 10, A, FAR, port_of(i), 9999, 40), udp(i * 10 + 0.1, FAR, A, 9999, port_of(i), 40)] for i in range(150)
    )


def test_what_goes_on_over_many_windows_is_one_call():
    assert run(long_poll(lambda i: 20000)) == []
    assert {one.pattern for one in run(long_poll(lambda i: 20000 + i))} == {"beacon"}
    kept = [tcp(0, A, FAR, 20000, 443, "S"), tcp(0.1, FAR, A, 443, 20000, "SA")]
    kept += flat([tcp(i * 10, A, FAR, 20000, 443, "PA", 40), tcp(i * 10 + 0.1, FAR, A, 443, 20000, "PA", 40)]
                 for i in range(1, 150))  # fmt: skip
    assert run(kept) == []


# ---------------------------------------------------------------- logins


def logins(per_minute: float, port: int = 22, until: float = 1790, answer: int = 1700, to: str = B) -> list[dict]:
    gap = 60 / per_minute
    return flat(session(i * gap, A, to, port, 40000 + i, 1500, answer + i % 5) for i in range(int(until / gap)))


@pytest.mark.parametrize("port", [21, 22, 23, 3389])
@pytest.mark.parametrize("per_minute", [0.5, 1, 2])
def test_slow_logins_that_look_refused_are_guessing_and_no_beacon(per_minute, port):
    found = run(logins(per_minute, port))
    assert {(one.pattern, one.source, one.services) for one in found} == {("brute_force", A, (f"TCP/{port}",))}
    assert found[0].end - START < 600 * SECOND
    assert sum(int(one.evidence["connections"]) for one in found) == len(logins(per_minute, port)) / 6


def test_regular_sessions_at_a_login_that_are_not_refused_are_a_beacon_and_the_title_says_where():
    found = run(logins(2, answer=60_000, to=FAR))
    assert {one.pattern for one in found} == {"beacon"}
    one = found[0]
    title = words.title(one.pattern, one.source, one.destinations, one.services, {**one.evidence, "hosts": 1}, 300)
    assert "TCP/22, a login," in title


def test_logins_that_the_baseline_had_are_no_guessing():
    past = baseline(logins(1))
    assert run(logins(2), past) == []
    assert {one.pattern for one in run(logins(4), past)} == {"brute_force"}


# ---------------------------------------------------------------- memory, and the packets before


def test_memory_is_bounded_and_what_it_costs_is_counted(monkeypatch):
    monkeypatch.setattr(calls, "MOST_TALKS", 3)
    monkeypatch.setattr(calls, "MOST_CALLS", 5)
    remembered = CallMemory(SETTINGS)
    rows = flat(session(i, A, f"198.51.100.{i % 9}", 443, 20000 + i) for i in range(60))
    packets = table(sorted(rows, key=lambda row: row["time"]))
    flow_table, flow = flows(packets)
    find(packets, flow_table, flow, SETTINGS, 60, baseline([]), calls=remembered)
    evicted, numbered, talks = remembered.state()
    assert (evicted, numbered, len(talks)) == (6, 9, 3)
    assert max(len(talk[-1]) for talk in talks) <= 5


@pytest.mark.parametrize("state", [[0, 0, [[A]]], [0, 0, [[A, B, "TCP/1", 0, 0, 0, 0, [[1, 2]]]]], ["x", 0, []]])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises((ValueError, TypeError)):
        CallMemory(SETTINGS).restore(state)


@pytest.fixture(scope="module")
def learnt() -> model.Model:
    """Ordinary sessions, long before what is judged."""
    random = np.random.default_rng(1)
    past = -100_000
    rows = [
        row
        for n in range(1, 6)
        for i, at in enumerate(np.cumsum(random.exponential(15, 80)))
        for row in session(past + float(at), f"10.0.0.{n}", B, 443, 30000 + i, 300, int(random.integers(900, 9000)))
    ]
    windower = features.Windower(ALL.extract_features)
    table_of = features.features_of(windower.push(table(sorted(rows, key=lambda row: row["time"]))) + windower.flush())
    return model.Model.fit(table_of, replace(ALL.train_model, trees=20, minimum_rows=20), jobs=1)


def test_all_packets_of_a_beacon_since_its_first_call_belong_to_its_incident(learnt):
    rows = called(jittered(20, 0.2), 900) + flat(
        session(t, A, B, 443, 50000 + i) for i, t in enumerate(np.arange(3, 900, 41))
    )
    packets = table(sorted(rows, key=lambda row: row["time"]))
    judge = detection.Detection(learnt, ALL)
    for first in range(0, len(packets), 50):
        judge.push(packets.iloc[first : first + 50].reset_index(drop=True))
    judge.flush()
    found = judge.finish({})
    (incident,) = [one for one in found.documents if one["pattern"] == "beacon"]
    to_it = (packets["src_ip"].astype(str) == FAR) | (packets["dst_ip"].astype(str) == FAR)
    labels = found.labelled_packets
    assert (labels["incident_id"].astype(object) == incident["incident_id"]).tolist() == to_it.tolist()
    assert incident["packets"] == to_it.sum()
    assert incident["bytes"] == packets["length"][to_it].sum()
    assert incident["start"] == min(one["start"] for one in found.documents)
    assert (labels["score"][to_it] >= detection.NAMED_SCORE).all()


def test_what_is_judged_right_after_the_baseline_is_compared_with_it_from_its_first_packet(learnt):
    end = learnt.end
    assert learnt.known_before(end - 5, end) is None
    assert learnt.known_before(end - 5, end + 1) is learnt.known_before(end + 1, end + 2) is learnt.known
    assert learnt.known_before(learnt.start - 2, learnt.start - 1) is learnt.known
