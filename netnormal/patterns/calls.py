"""Calls of one host to a service of another, remembered over windows: calls by the clock, and guesses at a login."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from netnormal.patterns import beacons, guessing
from netnormal.patterns.view import SECOND, Earlier, Evidence, Finding, View, by_group, groups
from netnormal.settings import Patterns

MOST_TALKS = 5_000  # of two hosts and a service that are remembered; beyond, those quiet for longest are forgotten
MOST_CALLS = 1_000  # of each: the latest; who calls more often is judged by the last minutes anyway
MOST_IN_ALL = 100_000
_SUMS = ("payload_out", "payload_in", "packets_out", "packets_in", "bytes_out", "bytes_in", "syn_out")
_COUNTED = ("first_packet", "src_port", *_SUMS)


@dataclass
class Call:
    """When it began [ns], in which packet, from which port, and what it brought so far [bytes of payload]."""

    begin: int
    packet: int
    port: int
    sent: int
    received: int
    packets: int
    bytes: int


@dataclass
class Talk:
    """The calls of one host to a service of another, in order of time. `told` of them are part of a finding already;
    `packets` and `bytes` are those of no finding yet."""

    number: int
    calls: list[Call] = field(default_factory=list)
    told: int = 0
    packets: int = 0
    bytes: int = 0

    def forget(self, count: int) -> None:
        """The first so many calls."""
        for call in self.calls[self.told : count]:
            self.packets -= call.packets
            self.bytes -= call.bytes
        self.calls, self.told = self.calls[count:], max(self.told - count, 0)

    def last(self, span_s: float) -> list[Call]:
        """The calls that began within so long before the latest."""
        since = self.calls[-1].begin - span_s * SECOND
        return [call for call in self.calls if call.begin > since]


class CallMemory:
    """Calls of the last `beacon_memory_s`: of hosts of the network to whom they never met in the baseline, and of
    anybody to services where people log in. `push` windows of one length in order of time.

    What goes on for longer than a window is one call: over TCP, one SYN; over UDP, one port of the caller's.
    """

    def __init__(self, settings: Patterns) -> None:
        self._settings = settings
        self._talks: dict[tuple[str, str, str], Talk] = {}  # by source, destination, service
        self._next = 0
        self.evicted = 0
        self.talk_of_flow = np.zeros(0, np.int64)  # of the latest window; -1 for none

    def push(self, view: View) -> list[Finding]:
        """Beacons, short beacons and guesses at logins of which this window saw a part, with the calls before it."""
        self.talk_of_flow = np.full(len(view.flows), -1, np.int64)
        if view.known is None or not len(view.flows):
            return []
        self._forget(int(view.ints("last_packet").max()) - self._settings.beacon_memory_s * SECOND)
        findings = []
        for key, talk, flows in self._touched(view):
            earlier = Earlier(talk.number, -1, talk.packets, talk.bytes)
            if not self._add(view, talk, flows):
                continue
            found = self._judged(view, key, talk)
            if found is None:
                continue
            pattern, evidence = found
            finding = view.finding(pattern, np.sort(flows), key[0], evidence)
            if finding.severity != "info":
                first = talk.calls[max(talk.told - 1, 0)]
                earlier = replace(earlier, packet=first.packet)
                finding = replace(finding, start=min(first.begin, finding.start), earlier=earlier)
                talk.told, talk.packets, talk.bytes = len(talk.calls), 0, 0
            findings.append(finding)
        self._evict()
        return findings

    def state(self) -> list[Any]:
        """All of it as values that JSON knows, for `restore`."""
        talks = [
            [*key, talk.number, talk.told, talk.packets, talk.bytes, [list(vars(call).values()) for call in talk.calls]]
            for key, talk in self._talks.items()
        ]
        return [self.evicted, self._next, talks]

    def restore(self, state: list[Any]) -> None:
        """Go on from `state`. Raises ValueError or TypeError if it is nothing of the kind."""
        self.evicted, self._next, self._talks = int(state[0]), int(state[1]), {}
        for source, destination, service, number, told, packets, size, calls in state[2]:
            known = [Call(*map(int, call)) for call in calls]
            talk = Talk(int(number), known, int(told), int(packets), int(size))
            self._talks[str(source), str(destination), str(service)] = talk

    # ------------------------------------------------------------ what is remembered

    def _touched(self, view: View) -> Iterator[tuple[tuple[str, str, str], Talk, np.ndarray]]:
        """The talks that are worth remembering and that this window has flows of, in order of time."""
        settings, ports = self._settings, view.ints("dst_port")
        by_the_clock = view.protocol("UDP") & np.isin(ports, settings.beacon_usual_ports)
        rows = np.flatnonzero(view.protocol("TCP", "UDP") & view.answered & ~by_the_clock)
        if not len(rows):
            return
        login = view.protocol("TCP") & np.isin(ports, settings.guess_ports)
        group, first = groups(view.source[rows], view.destination[rows], view.service[rows])
        for members in by_group(group, np.arange(len(first)), len(first)):
            flows = rows[members]
            key = view.talk(int(flows[0]))
            talk = self._talks.get(key)
            if talk is None:
                if not (login[flows[0]] or self._is_new(view, key)):
                    continue
                talk = self._talks[key] = Talk(self._next)
                self._next += 1
            yield key, talk, flows

    @staticmethod
    def _is_new(view: View, key: tuple[str, str, str]) -> bool:
        """Does a host of the network call one that it never met in the baseline?"""
        known = view.known
        return known is not None and known.inside(key[0]) and not known.met(key[0], key[1])

    def _add(self, view: View, talk: Talk, flows: np.ndarray) -> bool:
        """Remember what these flows brought. Did any call begin?"""
        self.talk_of_flow[flows] = talk.number
        is_tcp = view.protocol("TCP")[flows[0]]
        number = view.packets["packet"].to_numpy(np.int64)[view.first[flows]].tolist()
        before = len(talk.calls)
        open_now = {call.port: call for call in talk.calls}
        for packet, (begin, port, sent, received, out, back, size_out, size_back, syn) in zip(
            number, np.stack([view.ints(name)[flows] for name in _COUNTED], axis=1).tolist(), strict=True
        ):
            packets, size = out + back, size_out + size_back
            talk.packets, talk.bytes = talk.packets + packets, talk.bytes + size
            if syn if is_tcp else port not in open_now:
                call = Call(begin, packet, port, sent, received, packets, size)
                talk.calls.append(call)
                open_now[port] = call
            elif port in open_now:
                call = open_now[port]
                call.sent, call.received = call.sent + sent, call.received + received
                call.packets, call.bytes = call.packets + packets, call.bytes + size
        begun = len(talk.calls) - before
        talk.calls.sort(key=lambda call: (call.begin, call.packet))
        talk.forget(max(len(talk.calls) - MOST_CALLS, 0))
        return begun > 0

    def _forget(self, before: int) -> None:
        for key, talk in list(self._talks.items()):
            talk.forget(sum(call.begin < before for call in talk.calls))
            if not talk.calls:
                del self._talks[key]

    def _evict(self) -> None:
        total = sum(len(talk.calls) for talk in self._talks.values())
        if len(self._talks) <= MOST_TALKS and total <= MOST_IN_ALL:
            return
        for key in sorted(self._talks, key=lambda one: self._talks[one].calls[-1].begin):
            if len(self._talks) <= MOST_TALKS and total <= MOST_IN_ALL:
                break
            total -= len(self._talks.pop(key).calls)
            self.evicted += 1

    # ------------------------------------------------------------ what it says

    def _judged(self, view: View, key: tuple[str, str, str], talk: Talk) -> tuple[str, Evidence] | None:
        """The pattern that these calls make, with its evidence; None if they make none."""
        settings = self._settings
        assert view.known is not None
        untold = len(talk.calls) - talk.told
        protocol, _, port = key[2].partition("/")
        login = protocol == "TCP" and port.isdigit() and int(port) in settings.guess_ports
        if login and (refusal := self._guesses(view, key, talk)) is not None:
            return "brute_force", {"connections": untold, "answer_bytes": refusal}
        if not self._is_new(view, key):
            return None
        short: Evidence | None = None
        for span_s in (settings.beacon_window_s, settings.beacon_memory_s):
            calls = talk.last(span_s)
            if len(calls) < settings.beacon_calls:
                continue
            sizes = np.array([call.sent for call in calls], np.int64)
            found = beacons.judged(np.array([call.begin / SECOND for call in calls]), sizes, span_s, settings)
            # A baseline shorter than two gaps may have missed an honest program that calls so seldom.
            if found.chance > settings.beacon_chance or view.known.span_s < 2 * found.gap_s:
                continue
            if found.score >= settings.beacon_score:
                return "beacon", found.evidence(sizes) | {"calls": untold} | ({"login": 1} if login else {})
            if found.too_short and found.likeness >= settings.beacon_score and not talk.told and short is None:
                short = {"calls": found.calls, "gap_s": round(found.gap_s, 1), "calling_s": round(found.span_s, 1)}
        return None if short is None else ("short_beacon", short)

    def _guesses(self, view: View, key: tuple[str, str, str], talk: Talk) -> int | None:
        """The usual size of the answers to calls that look like refused logins, far more than in the baseline in as
        long; None if they do not."""
        settings = self._settings
        calls = [call for call in talk.last(settings.guess_span_new_s) if call.sent and call.received]
        assert view.known is not None
        if not guessing.is_new(view.known, key, len(calls), settings.guess_span_new_s, settings):
            return None
        return guessing.refusal(np.array([call.received for call in calls], np.int64))
