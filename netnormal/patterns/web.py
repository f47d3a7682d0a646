"""What is done by requests and answers over TCP, as HTTP is, in the clear or behind TLS: guessing, and floods.

No payload is kept, so requests and answers are known by their sizes alone: an exchange is all that the client says at a
time, and what the server then says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netnormal.patterns.view import MANY, SECOND, Evidence, Finding, View, busiest_second, by_group, groups
from netnormal.settings import Patterns

LEAST_REQUEST = 27  # bytes of `GET / HTTP/1.1` with a host of one letter (RFC 9112)
LEAST_ANSWER = 54  # bytes of a status line and the date (RFC 9110 6.6.1); acknowledgements of databases have fewer
ALIKE = 0.05  # a refusal repeats itself but for a date, a counter, or the word it refuses: so far its size may vary
WORD_BYTES = 64  # longest word tried: what verifiers of passwords should take (NIST SP 800-63B)
LEAST_SIZES = 5  # requests that differ by a word have many sizes; a counter to 9,999 makes but four
MOST_OF_ONE_SIZE = 0.5  # and none of them is the rule, as in polling
BASE64_STEP = 4  # a password sent as Basic credentials makes sizes so far apart (RFC 7617, RFC 4648), so fewer sizes
BASE64_SIZES, BASE64_OF_ONE_SIZE = 3, 0.7
SAME_SIZE = 0.9  # requests for a form, before each try at it, are all of one size
SPLIT_SHARE = 0.15  # behind TLS one refusal may have two sizes, with and without the tickets that open the session
CLASSES = 6  # kinds of answer looked at in a conversation, most frequent first


@dataclass(frozen=True)
class Exchanges:
    """Questions and answers in order of flow and time; `asked` and `answered` [bytes], `time` [ns] of the question."""

    flow: np.ndarray
    asked: np.ndarray
    answered: np.ndarray
    time: np.ndarray

    def of(self, chosen: np.ndarray) -> Exchanges:
        return Exchanges(self.flow[chosen], self.asked[chosen], self.answered[chosen], self.time[chosen])


def guessing(view: View, settings: Patterns) -> list[Finding]:
    """One source's requests to one service that differ by a word and are answered alike: passwords tried at a login
    (T1110), or names of pages (T1595.003, directory enumeration).

    So many within a minute or a second that no person asks; or fewer, where an independent baseline had nothing near
    it. Which of the two it is: passwords have a connection each, or a form fetched before each try; names come many to
    a connection. A tool that does otherwise gets the other name.
    """
    enough = min(settings.web_guesses, settings.web_guesses_per_s)
    least = enough if view.known is None else min(enough, settings.web_guesses_new)
    findings = []
    for rows in _conversations(view, least):
        said = exchanges(view, rows)
        said = said.of((said.asked >= LEAST_REQUEST) & (said.answered >= LEAST_ANSWER))
        known = view.most(int(rows[0])).asked
        for chosen in _words(said, least):
            words = said.of(chosen)
            if len(chosen) < settings.web_factor * known:
                continue
            new = view.known is not None and len(chosen) >= settings.web_guesses_new
            if not (new or _hurried(words.time, settings)):
                continue
            flows = np.unique(words.flow)
            forms = _forms(said, words)
            password = len(forms) > 0 or 2 * len(flows) > len(chosen)
            evidence: Evidence = {
                "guesses": len(chosen),
                "connections": len(flows),
                "request_bytes": round(float(np.median(words.asked))),
                "request_sizes": len(np.unique(words.asked)),
                "answer_bytes": round(float(np.median(words.answered))),
            }
            pattern = "brute_force" if password else "dir_enumeration"
            findings.append(
                view.finding(pattern, np.union1d(flows, forms), view.name(int(view.source[rows[0]])), evidence)
            )
    return findings


def exchanges(view: View, flows: np.ndarray) -> Exchanges:
    """All exchanges of these flows (rows of the flow table). What the server says first, as a greeting, is none."""
    wanted = np.zeros(len(view.flows), bool)
    wanted[flows] = True
    payload = view.packets["payload"].to_numpy(np.int64)
    packets = np.flatnonzero((payload > 0) & wanted[view.flow_of_packet])
    packets = packets[np.argsort(view.flow_of_packet[packets], kind="stable")]
    if not len(packets):
        return Exchanges(packets, packets, packets, packets)
    flow, asks = view.flow_of_packet[packets], view.outward(packets)
    begins = np.flatnonzero(np.r_[True, (flow[1:] != flow[:-1]) | (asks[1:] != asks[:-1])])
    size = np.add.reduceat(payload[packets], begins)
    flow, asks, packets = flow[begins], asks[begins], packets[begins]
    asked = np.flatnonzero(asks[:-1] & ~asks[1:] & (flow[:-1] == flow[1:]))
    time = view.packets["time"].to_numpy(np.int64)[packets[asked]]
    return Exchanges(flow[asked], size[asked], size[asked + 1], time)


def request_floods(view: View, settings: Patterns, named: np.ndarray) -> list[Finding]:
    """Requests to one service at a rate that no person asks at, for seconds on end. T1499.002.

    From one source a connection for each (bool `named`: the flows that are already called guessing do not count). With
    an independent baseline also within connections, to ports of web servers, and from many sources together: more than
    `web_factor` times all that the service was ever asked for in a window.
    """
    enough = settings.web_flood_per_s * settings.web_flood_least_s
    asks = view.protocol("TCP") & view.answered & ~named & (view.ints("payload_out") >= LEAST_REQUEST)
    connects = asks & (view.ints("syn_out") > 0)
    web = np.isin(view.ints("dst_port"), settings.web_ports) & asks & (view.known is not None)
    requests = np.where(web, np.maximum((view.ints("turns") + 1) // 2, 1), connects)
    rows = np.flatnonzero(requests)
    if requests[rows].sum() < enough:
        return []
    keys = [view.destination[rows], view.service[rows]]
    if view.known is None:
        keys.append(view.source[rows])
    group, first = groups(*keys)
    findings = []
    wanted = np.flatnonzero(np.bincount(group, requests[rows], len(first)) >= enough)
    for members in by_group(group, wanted, len(first)):
        flows = rows[members]
        within = web[flows[0]] and requests[flows].sum() > connects[flows].sum()
        time = np.sort(exchanges(view, flows).time if within else view.ints("first_packet")[flows])
        if len(time) < enough or len(time) < settings.web_factor * view.most_asked(int(flows[0])):
            continue
        if (time[enough - 1 :] - time[: len(time) - enough + 1]).min() > settings.web_flood_least_s * SECOND:
            continue
        ids, at = groups(view.source[flows])
        sent = np.bincount(ids, requests[flows], len(at))
        share = float(sent.max() / sent.sum())
        source = view.name(int(view.source[flows[at[sent.argmax()]]])) if share >= settings.spoofed_share else MANY
        evidence: Evidence = {
            "asked": len(time),
            "connections": len(flows),
            "per_s": busiest_second(time),
            "sources": len(at),
            "busiest_source_share": round(share, 3),
            "victim": view.name(int(view.destination[flows[0]])),
        }
        findings.append(view.finding("http_flood", flows, source, evidence))
    return findings


# ---------------------------------------------------------------- helpers


def _conversations(view: View, least: int) -> list[np.ndarray]:
    """The flows of each conversation over TCP with at least so many exchanges."""
    rows = np.flatnonzero(view.protocol("TCP") & view.answered & (view.ints("payload_in") > 0))
    if not len(rows):
        return []
    said = (view.ints("turns")[rows] + 1) // 2
    if said.sum() < least:
        return []
    group, first = groups(view.source[rows], view.destination[rows], view.service[rows])
    wanted = np.flatnonzero(np.bincount(group, said, len(first)) >= least)
    return [rows[members] for members in by_group(group, wanted, len(first))]


def _classes(answered: np.ndarray, least: int) -> list[np.ndarray]:
    """Positions of answers of nearly the same size, the most frequent size first; those with at least `least`."""
    left = np.arange(len(answered))
    found: list[np.ndarray] = []
    while len(left) >= least and len(found) < CLASSES:
        sizes, counts = np.unique(answered[left], return_counts=True)
        usual = sizes[counts.argmax()]
        alike = np.abs(answered[left] - usual) <= ALIKE * usual
        found.append(left[alike])
        left = left[~alike]
    return [positions for positions in found if len(positions) >= least]


def _words(said: Exchanges, least: int) -> list[np.ndarray]:
    """Positions of at least `least` exchanges answered alike whose requests differ by a word; those that have a large
    share each, at the same time, are one."""
    found = [chosen for chosen in _classes(said.answered, least // 2) if _differ_by_a_word(said.asked[chosen])]
    large = [chosen for chosen in found if len(chosen) >= SPLIT_SHARE * len(said.flow)]
    if large:
        start, end = said.time[large[0]].min(), said.time[large[0]].max()
        parts = [chosen for chosen in large if start <= np.median(said.time[chosen]) <= end]
        found = [chosen for chosen in found if not any(chosen is part for part in parts)]
        found.insert(0, np.sort(np.concatenate(parts)))
    return [chosen for chosen in found if len(chosen) >= least]


def _differ_by_a_word(asked: np.ndarray) -> bool:
    sizes, counts = np.unique(asked, return_counts=True)
    low, high = np.percentile(asked, [5, 95])
    encoded = (np.diff(sizes) % BASE64_STEP == 0).all()
    least, most = (BASE64_SIZES, BASE64_OF_ONE_SIZE) if encoded else (LEAST_SIZES, MOST_OF_ONE_SIZE)
    return bool(len(sizes) >= least and high - low <= WORD_BYTES and counts.max() <= most * len(asked))


def _hurried(time: np.ndarray, settings: Patterns) -> bool:
    """Do so many requests fall into one minute, or one second?"""
    time = np.sort(time)
    for count, span_s in ((settings.web_guesses, 60), (settings.web_guesses_per_s, 1)):
        if len(time) >= count and (time[count - 1 :] - time[: len(time) - count + 1]).min() <= span_s * SECOND:
            return True
    return False


def _forms(said: Exchanges, words: Exchanges) -> np.ndarray:
    """The flows in which a form was fetched for the tries: requests of one size, answered alike, about as many."""
    others = said.of((said.time >= words.time.min() - SECOND) & (said.time <= words.time.max() + SECOND))
    for chosen in _classes(others.answered, len(words.flow) // 2):
        counts = np.unique(others.asked[chosen], return_counts=True)[1]
        if counts.max() >= SAME_SIZE * len(chosen) and len(chosen) <= 2 * len(words.flow):
            return np.unique(others.flow[chosen])
    return np.zeros(0, np.int64)
