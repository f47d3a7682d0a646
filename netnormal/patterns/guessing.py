"""Password guessing: the same short conversation with a login, again and again."""

from __future__ import annotations

import numpy as np

from netnormal.known import Known, Talk
from netnormal.patterns.view import SECOND, Evidence, Finding, View, by_group, groups
from netnormal.settings import Patterns

# Failed logins get the same words each time, so the middle half of the answers differs by little in size. The share
# by which, and the most a refusal may say: a session that was let in says more, and differs from the next.
ALIKE = 0.25
REFUSAL_BYTES = 10_000


def brute_force(view: View, settings: Patterns) -> list[Finding]:
    """Many connections of one source to one login service, close together, or, with an independent baseline, such that
    it had nothing near it; each with a few words said both ways and answers of nearly the same small size. T1110.
    Logins over HTTP are seen by `web.guessing`."""
    said = (view.ints("payload_out") > 0) & (view.ints("payload_in") > 0)
    login = view.protocol("TCP") & view.answered & said & np.isin(view.ints("dst_port"), settings.guess_ports)
    rows = np.flatnonzero(login)
    least = settings.guess_connections
    if view.known is not None:
        least = min(least, settings.guess_connections_new)
    if len(rows) < least:
        return []
    group, first = groups(view.source[rows], view.destination[rows], view.service[rows])
    wanted = np.flatnonzero(np.bincount(group, minlength=len(first)) >= least)
    findings = []
    for members in by_group(group, wanted, len(first)):
        flows = rows[members]
        new = view.known is not None and is_new(
            view.known, view.talk(int(flows[0])), len(flows), view.window_s, settings
        )
        if not (new or _hurried(view.ints("first_packet")[flows], settings)):
            continue
        answer = refusal(view.ints("payload_in")[flows])
        if answer is None:
            continue
        evidence: Evidence = {"connections": len(flows), "answer_bytes": answer}
        findings.append(view.finding("brute_force", flows, view.name(int(view.source[flows[0]])), evidence))
    return findings


def is_new(known: Known, talk: Talk, count: int, span_s: float, settings: Patterns) -> bool:
    """Are so many logins in so long [s] far more than the baseline saw of them, or may have missed?"""
    usual = known.most_flows(span_s, *talk)
    return count >= settings.guess_connections_new and count >= settings.web_factor * usual


def refusal(answers: np.ndarray) -> int | None:
    """The usual size of answers [bytes] that are all alike and small, as refusals are; None if these are not."""
    low, middle, high = np.percentile(answers, [25, 50, 75])
    return None if middle > REFUSAL_BYTES or high - low > ALIKE * middle else round(float(middle))


def _hurried(begun: np.ndarray, settings: Patterns) -> bool:
    """Do so many connections begin (times in order, ns) within `guess_span_s`?"""
    least = settings.guess_connections
    if len(begun) < least:
        return False
    apart = begun[least - 1 :] - begun[: len(begun) - least + 1]
    return bool(apart.min() <= settings.guess_span_s * SECOND)
