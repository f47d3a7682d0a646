"""What is new and no incident."""

from __future__ import annotations

import json

import numpy as np
import pytest
from packets import MACS, START, arp, udp
from test_novel_patterns import OTHER, REGULAR, baseline, calls, everything, names
from test_patterns import FAR, A, B, flat, session

from netnormal import notices, tables
from netnormal.patterns import KINDS, Finding
from netnormal.tables import SEVERITIES
from netnormal.verdict import noticed

C = "10.0.0.77"
LINK = flat([arp(t, A, B, 1, MACS[0]), arp(t + 0.1, B, A, 2, MACS[1])] for t in (0, 100))


def told(rows: list[dict], past: list[dict] | None) -> list[tuple[str, str, tuple[str, ...]]]:
    found = everything(rows, None if past is None else baseline(past))
    return [(one.pattern, one.source, notices.news(one)) for one in found if one.severity == "info"]


def test_a_device_that_asks_or_answers_on_the_link_and_was_not_there_is_new():
    asks = [*LINK, arp(5, C, A, 1, MACS[2]), arp(5.1, A, C, 2, MACS[0])]
    assert told(asks, LINK) == [("new_device", C, (C,))]
    answers = [*LINK, arp(5, A, C, 1, MACS[0]), arp(5.1, C, A, 2, MACS[2])]
    assert ("new_device", C, (C,)) in told(answers, LINK)
    assert told(LINK, LINK) == [] == told(asks, None)
    assert told([arp(5, A, C, 1, MACS[0])], LINK) == []  # asked for in vain: nobody is there
    assert told([arp(5, "0.0.0.0", C, 1, MACS[2])], LINK) == []


def test_a_service_that_a_host_did_not_answer_with_before_is_new():
    past = [*LINK, *session(1, A, B, 80, 40000)]
    rows = session(1, A, B, 80, 40000) + session(2, A, B, 4444, 40001) + session(3, A, B, 8080, 40002)
    ((pattern, host, services),) = told(rows, past)
    assert (pattern, host, set(services)) == ("new_service", B, {"TCP/4444", "TCP/8080"})
    assert told(session(1, A, B, 80, 40000), past) == []
    assert told(session(1, A, B, 50123, 40000), past) == []  # of a port that is given to clients
    assert told(session(1, A, B, 4444, 40000)[:1], past) == []  # not answered
    assert told(session(1, B, FAR, 4444, 40000), [*past, *session(2, B, FAR, 22, 40000)]) == []  # not of this network


def test_hosts_that_never_talked_before_are_a_first_contact():
    past = [*LINK, *session(1, A, FAR, 80, 40000), *session(2, B, OTHER, 80, 40000)]
    rows = session(1, A, FAR, 80, 40000) + session(2, A, OTHER, 80, 40000) + session(3, B, OTHER, 80, 40000)
    assert told(rows, past) == [("first_contact", A, (OTHER,))]
    assert told(session(1, FAR, A, 50000, 40000), past) == []  # they met, whoever asked then
    assert told([udp(1, A, OTHER, 40000, 53)], past) == []


def test_calls_for_too_short_a_time_are_told_as_such():
    short = calls(np.full(40, 2.5))
    ((_, host, whom),) = [one for one in told(short, []) if one[0] == "short_beacon"]
    assert (host, whom) == (A, (FAR,)) and names(short, baseline([])) == []
    assert "short_beacon" not in [one[0] for one in told(calls(REGULAR), [])]
    rng = np.random.default_rng(5)
    person = calls(rng.exponential(2, 60), rng.integers(80, 900, 60))
    assert "short_beacon" not in [one[0] for one in told(person, [])]


# ---------------------------------------------------------------- one line a host and kind


def finding(pattern: str, source: str, whom: str, start: int = 0) -> Finding:
    evidence = {"calls": 40, "gap_s": 2.5, "calling_s": 98.0}
    when = START + start * 10**9
    return Finding(
        pattern, source, (whom,), ("TCP/80",), when, when + 10**9, evidence, np.array([0]), frozenset({whom})
    )


def test_many_windows_make_one_notice_a_host_and_kind(tmp_path):
    some = notices.Notices()
    for window in range(5):
        some.push([finding("first_contact", A, f"198.51.100.{i}", window) for i in range(window, 30)])
        some.push([finding("new_device", C, C, 9 - window), finding("short_beacon", B, FAR, 20)])
    rows = {row["pattern"]: row for row in some.rows()}
    contact = rows["first_contact"]
    assert (contact["source"], contact["count"], len(contact["what"].split())) == (A, 30, 20)
    assert (contact["start"], contact["end"]) == (START, START + 5 * 10**9)
    assert contact["title"].startswith(f"{A} talked with 198.51.100.0, 198.51.100.1, 198.51.100.2 and 27 more for the")
    assert rows["new_device"]["title"] == f"{C} is new on the link" and rows["new_device"]["start"] == START + 5 * 10**9
    assert rows["short_beacon"]["title"] == (
        f"{B} called {FAR} 40 times, about every 2.5 s, for 98 s: too short to say whether it is a beacon"
    )
    assert notices.counts(some.table()) == {"first_contact": 1, "new_device": 1, "short_beacon": 1}
    assert noticed({"notices": {"new_device": 2, "first_contact": 1}}) == [
        "worth knowing, but no incidents: 2 new devices, 1 first contact: see notices.csv"
    ]
    tables.write(tmp_path / "notices.csv", tables.NOTICES, some.table())
    again = tables.read(tmp_path / "notices.csv", tables.NOTICES)
    assert again["title"].astype(str).tolist() == [row["title"] for row in some.rows()]
    tables.write(tmp_path / "none.csv", tables.NOTICES, notices.Notices().table())


def test_notices_are_bounded_and_go_on_after_a_restart(monkeypatch):
    monkeypatch.setattr(notices, "MOST", 3)
    some = notices.Notices()
    some.push(finding("new_device", f"10.0.0.{i}", "") for i in range(5))
    assert (len(some.rows()), some.evicted) == (3, 2)
    other = notices.Notices()
    other.restore(json.loads(json.dumps(some.state())))
    assert (other.rows(), other.evicted) == (some.rows(), 2)
    with pytest.raises((ValueError, TypeError, KeyError)):
        other.restore([0, [["nothing", A, {}]]])


def test_a_severity_is_one_of_incidents_or_of_notices():
    assert {severity for _, severity, _ in KINDS.values()} <= {*SEVERITIES, notices.INFO}
