"""Guessing and floods by requests and answers, known by their sizes alone."""

from __future__ import annotations

import numpy as np
import pytest
from packets import table, tcp
from test_novel_patterns import OTHER, baseline, findings
from test_patterns import A, B, flat, host

from netnormal.flows import flows
from netnormal.known import Known
from netnormal.patterns import web
from netnormal.patterns.view import View

WORDS = np.random.default_rng(3).integers(4, 13, 5000).tolist()  # lengths of words, as in a list of passwords


def dialogue(t: float, sport: int, said: list[tuple[int, int]], apart: float = 0.001, src: str = A, port: int = 80):
    """One connection with these exchanges: bytes asked, bytes answered."""
    turns = [(True, "S", 0), (False, "SA", 0), (True, "A", 0)]
    turns += [turn for asked, answered in said for turn in ((True, "PA", asked), (False, "PA", answered))]
    return [
        tcp(t + i * apart, *((src, B, sport, port) if asks else (B, src, port, sport)), flags, size)
        for i, (asks, flags, size) in enumerate([*turns, (True, "FA", 0)])
    ]


def each(n: int, apart: float, asked, answered=lambda i: 308, **more) -> list[dict]:
    """A connection for each request."""
    return flat(dialogue(i * apart, 20000 + i, [(asked(i), answered(i))], **more) for i in range(n))


def kept(n: int, apart: float, asked, answered=lambda i: 308, **more) -> list[dict]:
    """Many requests in four connections."""
    said = [[(asked(i), answered(i)) for i in range(part, n, 4)] for part in range(4)]
    return flat(dialogue(0, 20000 + i, part, apart * 2, **more) for i, part in enumerate(said))


def names(rows: list[dict], known: Known | None = None, window_s: int = 600) -> list[tuple[str, str]]:
    return [(finding.pattern, finding.source) for finding in findings(rows, known, window_s)]


# ---------------------------------------------------------------- exchanges


def test_an_exchange_is_all_that_is_asked_at_a_time_and_all_that_is_answered():
    said = [(100, "PA"), (50, "PA"), (-800, "PA"), (-9, "A"), (30, "PA"), (-7, "PA"), (20, "PA")]
    rows = [tcp(0, A, B, 40000, 80, "S"), tcp(0.1, B, A, 80, 40000, "SA"), tcp(0.2, B, A, 80, 40000, "PA", 33)]
    rows += [
        tcp(1 + i, *((A, B, 40000, 80) if size > 0 else (B, A, 80, 40000)), flags, abs(size))
        for i, (size, flags) in enumerate(said)
    ]
    packets = table(rows)
    flow_table, flow = flows(packets)
    found = web.exchanges(View(packets, flow_table, flow), np.array([0]))
    assert (found.asked.tolist(), found.answered.tolist(), found.flow.tolist()) == ([150, 30], [809, 7], [0, 0])
    assert (np.diff(found.time) / 1e9).tolist() == [4.0]
    assert len(web.exchanges(View(packets, flow_table, flow), np.zeros(0, np.int64)).flow) == 0


def test_exchanges_of_connections_that_overlap_stay_apart():
    packets = table(sorted(kept(40, 0.01, lambda i: 100 + i), key=lambda row: row["time"]))
    flow_table, flow = flows(packets)
    found = web.exchanges(View(packets, flow_table, flow), np.arange(4))
    assert sorted(found.asked.tolist()) == list(range(100, 140)) and set(np.bincount(found.flow)) == {10}


# ---------------------------------------------------------------- guessing


@pytest.mark.parametrize("apart", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("port", [80, 8080, 443, 51234])
def test_passwords_tried_at_a_login_are_brute_force(apart, port):
    (finding,) = findings(each(130, apart, lambda i: 480 + WORDS[i], port=port), None)
    assert (finding.pattern, finding.source, finding.destinations) == ("brute_force", A, (B,))
    assert finding.evidence["guesses"] == finding.evidence["connections"] == 130
    assert (finding.evidence["answer_bytes"], finding.technique, finding.severity) == (308, "T1110", "high")


def test_passwords_encoded_in_base64_have_few_sizes():
    (finding,) = findings(each(130, 0.1, lambda i: 200 + 4 * -(-(6 + WORDS[i]) // 3)), None)
    assert (finding.pattern, finding.evidence["request_sizes"]) == ("brute_force", 3)


def test_a_refusal_of_two_sizes_behind_tls_is_one():
    """The tickets that open a session come before the request or with the answer to it."""
    hello = (517, 1337)
    said = [[hello, (80, 255), (134 + WORDS[i], 691)] if i % 2 else [hello, (214 + WORDS[i], 946)] for i in range(130)]
    (finding,) = findings(flat(dialogue(i * 0.1, 20000 + i, one) for i, one in enumerate(said)), None)
    assert (finding.pattern, finding.evidence["guesses"]) == ("brute_force", 130)


def test_a_form_fetched_before_each_try_belongs_to_it_and_tells_what_it_is():
    rows = each(150, 0.1, lambda i: 78, lambda i: 537)
    rows += flat(dialogue(0.05 + i * 0.1, 40000 + i, [(160 + WORDS[i], 136)]) for i in range(150))
    (finding,) = findings(rows, None)
    assert (finding.pattern, finding.evidence["guesses"], len(finding.flows)) == ("brute_force", 150, 300)


@pytest.mark.parametrize("echo", [0, 1])  # does the refusal repeat the name?
@pytest.mark.parametrize("apart", [0.005, 0.05, 0.3])
def test_names_tried_in_few_connections_are_an_enumeration(apart, echo):
    rows = kept(600, apart, lambda i: 100 + WORDS[i], lambda i: 300 + echo * WORDS[i])
    (finding,) = findings(rows, None)
    assert (finding.pattern, finding.source, finding.severity) == ("dir_enumeration", A, "medium")
    assert finding.evidence["guesses"] == 600 and finding.evidence["connections"] == 4


def test_a_guesser_slower_than_that_is_seen_where_the_baseline_knows_nothing_like_it():
    rows = each(50, 10, lambda i: 480 + WORDS[i])
    assert names(rows) == []
    assert names(rows, baseline([])) == [("brute_force", A)]
    assert names(each(29, 10, lambda i: 480 + WORDS[i]), baseline([])) == []


def test_who_always_asks_so_much_does_not_guess():
    rows = each(200, 0.1, lambda i: 480 + WORDS[i])
    usual = each(90, 0.1, lambda i: 900 - 7 * i, lambda i: 300 + 9 * i)
    assert names(rows, baseline(usual)) == []
    others = each(90, 0.1, lambda i: 900 - 7 * i, lambda i: 300 + 9 * i, src=OTHER)
    assert names(rows, baseline(others)) == [("brute_force", A)]


GUESS_CONTROLS = {
    "polling": lambda: each(400, 0.2, lambda i: 200 + 4 * (i % 9 == 0), lambda i: 884 + i % 3),
    "polling of two things whose requests differ by four bytes": lambda: each(400, 0.2, lambda i: 200 + 4 * (i % 2)),
    "polling with a counter": lambda: each(999, 0.2, lambda i: 200 + len(str(i))),
    "pages": lambda: kept(300, 0.1, lambda i: 150 + WORDS[i], lambda i: 900 + 211 * (i % 97)),
    "reports of any length": lambda: kept(300, 0.1, lambda i: 200 + 13 * (i % 71), lambda i: 220),
    "acknowledgements": lambda: kept(900, 0.02, lambda i: 60 + WORDS[i], lambda i: 11),
    "few": lambda: each(49, 0.01, lambda i: 480 + WORDS[i]),
    "not in a hurry": lambda: each(300, 0.9, lambda i: 480 + WORDS[i]),
}


@pytest.mark.parametrize("control", GUESS_CONTROLS)
def test_no_guessing_is_seen_in(control):
    assert names(GUESS_CONTROLS[control]()) == []


# ---------------------------------------------------------------- floods


def test_a_connection_for_each_of_very_many_requests_is_a_flood():
    (finding,) = findings(each(1200, 0.01, lambda i: 90, lambda i: 5000), None)
    assert (finding.pattern, finding.source, finding.subject) == ("http_flood", A, B)
    assert finding.evidence["asked"] == 1200 and 99 <= finding.evidence["per_s"] <= 101
    assert (finding.technique, finding.severity) == ("T1499.002", "high")


def test_floods_within_connections_and_from_many_sources_need_a_baseline():
    within = kept(3000, 0.01, lambda i: 90, lambda i: 200)
    assert names(within) == [] and names(within, baseline([])) == [("http_flood", A)]
    crowd = flat(dialogue(i * 0.005, 40000, [(90, 200)], src=host(i % 2000)) for i in range(3000))
    assert names(crowd) == [] and names(crowd, baseline([])) == [("http_flood", "many")]
    assert names(crowd, baseline(crowd)) == []


FLOOD_CONTROLS = {
    "a page with very many pictures": lambda: each(400, 0.01, lambda i: 90, lambda i: 5000 + 37 * i),
    "requests at leisure": lambda: each(1200, 0.1, lambda i: 90, lambda i: 5000 + 37 * i),
    "queries to a database": lambda: kept(3000, 0.01, lambda i: 90, lambda i: 5000 + 37 * (i % 50), port=5432),
    "passwords, which have a name of their own": lambda: flat(
        dialogue(i * 0.01, 20000 + i, [(9, 40), (7, 30)], port=21) for i in range(1200)
    ),
}


@pytest.mark.parametrize("control", FLOOD_CONTROLS)
def test_no_flood_of_requests_is_seen_in(control):
    assert "http_flood" not in [pattern for pattern, _ in names(FLOOD_CONTROLS[control](), baseline([]))]
