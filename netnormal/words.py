"""Findings in plain words: the title of an incident, and its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netnormal import explanation as feature_words
from netnormal.patterns import MANY, Evidence
from netnormal.quantities import size, span

#: what a scanner sent, by pattern
PROBES = {
    "port_scan": "TCP ports",
    "udp_scan": "UDP ports",
    "null_scan": "TCP ports without any flag",
    "fin_scan": "TCP ports with FIN alone",
    "xmas_scan": "TCP ports with FIN, PSH and URG",
    "ack_scan": "TCP ports with bare ACKs",
}


#: numbers and names of a finding's evidence, in words
EVIDENCE = {
    "answered": "{:,} contacts answered",
    "refused": "{:,} refused",
    "silent": "{:,} silent",
    "half_open": "{:,} connections half open",
    "packets": "{:,} packets",
    "to_ports": "to {:,} ports",
    "per_s": "{:,} in the busiest second",
    "held": "{:,} connections open",
    "guesses": "{:,} requests that differ by a word",
    "asked": "{:,} requests",
    "connections": "{:,} connections",
    "open_s": "for {:,} s (median)",
    "calls": "{:,} calls",
    "gap_s": "{:,} s apart (median)",
    "bytes_each": "{:,} bytes sent in each",
    "request_bytes": "{:,} bytes in each (median)",
    "request_sizes": "of {:,} sizes",
    "answer_bytes": "{:,} bytes in the answer (median)",
    "claims": "{:,} false claims",
    "unasked": "{:,} of them unasked",
    "advertisements": "{:,} advertisements",
    "routers": "of {:,} routers",
    "offers": "{:,} answers",
    "servers_before": "{:,} others known to do so before",
    "missing": "{:,} domains that do not exist",
    "existing": "{:,} that do",
    "examples": "such as {}",
    "contested": "{:,} of the addresses claimed by their owners too",
    "hardware_address": "from hardware address {}",
    "requests": "{:,} requests",
    "replies": "{:,} replies",
    "sizes": "{:,} sizes of payload",
    "bytes": "{:,} bytes carried",
    "names": "{:,} distinct names",
    "letters": "{:,} letters in them",
    "mean_letters": "{:,} letters a name",
    "beacon_score": "RITA's score {}",
    "regularity": "regularity {}",
    "alike_sizes": "alike in size {}",
    "evenness": "evenness {}",
    "persistence": "persistence {}",
    "sent_bytes": "{:,} bytes sent",
    "received_bytes": "{:,} bytes received",
    "own_most_bytes": "{:,} bytes the most it sent before",
    "usual_most_bytes": "{:,} bytes the most that others usually send",
    "asked_by": "the router {} asked on its behalf",
    "where": "listed in {}",
    "matched": "seen as {}",
}


def title(
    pattern: str,
    source: str,
    destinations: Sequence[str],
    services: Sequence[str],
    evidence: Evidence,
    span_s: float,
    explanation: Sequence[Mapping[str, Any]] = (),
) -> str:
    """What happened, in one sentence without a full stop. `destinations` and `services`: most affected first.
    explanation : as in incidents.json; what no pattern names is told by the feature furthest out."""

    def count(name: str) -> int:
        return int(evidence.get(name, 0))

    hosts = max(count("hosts"), len(destinations))
    few = len(destinations) == hosts <= 2
    to = _listed(destinations, 2) if few and hosts else f"{hosts:,} hosts"
    by = f"{count('sources'):,} addresses" if source == MANY else source
    if pattern in PROBES:
        words = f"{by} scanned {count('ports'):,} {PROBES[pattern]} of {to} in {span(span_s)}; "
        words += f"{count('answered') or 'none'} answered"
    elif pattern in ("port_sweep", "ping_sweep", "arp_sweep"):
        what = {"ping_sweep": "by ping", "arp_sweep": "by ARP"}.get(pattern) or f"for {_listed(_ports(services), 3)}"
        words = f"{by} searched {to} {what} in {span(span_s)}; {count('hosts_answering') or 'none'} answered"
    elif pattern == "syn_flood":
        words = f"{by} flooded {_listed(services, 3)} of {to} with {count('half_open'):,} half-open connections"
        words += f", up to {count('per_s'):,} a second"
    elif pattern in ("udp_flood", "icmp_flood"):
        what = "UDP packets" if pattern == "udp_flood" else "pings"
        target = str(evidence.get("victim", to))
        words = f"{by} flooded {target} with {count('packets'):,} {what}, up to {count('per_s'):,} a second"
    elif pattern == "slow_http":
        words = f"{by} holds {count('held'):,} unfinished requests open at {_listed(services, 1)} of {to}"
    elif pattern == "arp_spoofing":
        words = f"{by} claims to be {_listed(str(evidence['taken']).split(), 3)}: {count('claims'):,} ARP replies "
        words += f"nobody asked for, in {span(span_s)}"
    elif pattern == "brute_force":
        tried = count("guesses") or count("connections")
        words = f"{by} tried {tried:,} logins alike at {_listed(services, 1)} of {to} in {span(span_s)}"
    elif pattern == "dir_enumeration":
        words = f"{by} tried {count('guesses'):,} names of pages at {_listed(services, 1)} of {to} in {span(span_s)}; "
        words += "all answered alike"
    elif pattern == "http_flood":
        words = (
            f"{by} flooded {_listed(services, 1)} of {evidence.get('victim', to)} with {count('asked'):,} requests, "
        )
        words += f"up to {count('per_s'):,} a second"
    elif pattern == "icmp_tunnel":
        words = f"{by} and {to} exchanged {size(count('bytes'))} in pings that are no pings, in {span(span_s)}"
    elif pattern == "dns_tunnel":
        words = f"{by} asked for {count('names'):,} names below {evidence['domain']} with {size(count('letters'))} in "
        words += f"them, in {span(span_s)}"
    elif pattern == "dga":
        words = f"{by} asked for {count('missing'):,} domains that do not exist, and {count('existing'):,} that do, in "
        words += span(span_s)
    elif pattern == "nd_spoofing":
        words = f"{by} claims to be {_listed(str(evidence['taken']).split(), 3)}: {count('claims'):,} neighbour "
        words += f"advertisements, {count('unasked'):,} of them unasked, in {span(span_s)}"
    elif pattern == "rogue_router":
        who = f"{count('routers'):,} hosts advertise themselves" if source == MANY else f"{source} advertises itself"
        words = f"{who} as a router of IPv6: {count('advertisements'):,} times in {span(span_s)}"
    elif pattern == "rogue_dhcp":
        words = f"{by} answers as a DHCP server: {count('offers'):,} times in {span(span_s)}, to {to}"
    elif pattern == "beacon":
        where = _listed(services, 3) + (", a login," if "login" in evidence else "")
        words = f"{by} called {where} of {to} {count('calls'):,} times in {span(span_s)}, about every "
        words += span(float(evidence["gap_s"]))
    elif pattern == "upload":
        words = (
            f"{by} sent {size(count('sent_bytes'))} to {to} by {_listed(services, 3)} in {span(span_s)}; the most it "
        )
        words += f"sent before was {size(count('own_most_bytes'))}"
    elif pattern == "threat_list":
        if source in (evidence["listed"], *str(evidence.get("matched", "")).split(", ")):
            words = f"{by}, which is on the threat list, was in contact with {to}"
        else:
            words = f"{by} was in contact with {evidence['listed']}, which is on the threat list"
    else:
        words = f"{by} behaved unusually towards {to} with {_listed(services, 3)} in {span(span_s)}"
        furthest = feature_words.brief(explanation)
        words += f": {furthest}" if furthest else ""
    return words


def notice(pattern: str, source: str, new: Sequence[str], evidence: Evidence) -> str:
    """What is new about a host, in one sentence without a full stop."""
    if pattern == "new_device":
        return f"{source} is new on the link"
    if pattern == "new_service":
        return f"{source} answers by {_listed(new, 3)}, which it did not before"
    if pattern == "first_contact":
        return f"{source} talked with {_listed(new, 3)} for the first time"
    words = f"{source} called {_listed(new, 3)} {int(evidence['calls']):,} times, about every "
    words += (
        f"{span(float(evidence['gap_s']))}, for {span(float(evidence['calling_s']))}: too short to say whether it is"
    )
    return f"{words} a beacon"


#: pattern → what hosts do that have nothing of the kind; of others the baseline alone says what is normal
NORMAL = {
    "port_scan": "a host asks another for few services, and most of them answer",
    "udp_scan": "a host asks another for few services, and most of them answer",
    "null_scan": "every TCP packet has a flag",
    "fin_scan": "no TCP packet has FIN alone",
    "xmas_scan": "no TCP packet has FIN, PSH and URG alone",
    "ack_scan": "an ACK belongs to a connection",
    "port_sweep": "a host contacts those it knows, and most of them answer",
    "ping_sweep": "a host pings those it knows, and most of them answer",
    "arp_sweep": "a host asks by ARP for those it is about to talk to, and most of them answer",
    "syn_flood": "connections are completed, or given up after a few tries",
    "udp_flood": "packets are answered, or stay few",
    "icmp_flood": "pings are few, one a second from a host that tests a connection",
    "slow_http": "a request is complete within seconds",
    "arp_spoofing": "an ARP reply answers a request, and an address has one owner",
    "nd_spoofing": "a neighbour advertisement answers a solicitation, and an address has one owner",
    "rogue_router": "only the network's own routers advertise themselves",
    "rogue_dhcp": "only the network's own DHCP servers answer",
    "dir_enumeration": "visitors ask for pages that exist, a few at a time",
    "http_flood": "requests come a page at a time, with pauses to read",
    "dga": "most names that a host asks for exist",
    "brute_force": "a login succeeds at one of the first tries, and the connection lasts",
    "icmp_tunnel": "pings are all of one size, and each reply answers one",
    "dns_tunnel": "names are short, and the same ones are asked for again",
    "beacon": "calls come when people or programs have something to say, not by the clock",
    "upload": "a host sends about as much as it did before",
    "threat_list": "no host meets one that is on the list",
}


def normal(pattern: str, explanation: Sequence[Mapping[str, Any]]) -> str:
    """What would have been normal in place of an incident, a sentence; empty if nobody can say.

    explanation : as in incidents.json, whose usual ranges are those of these hosts and services in the baseline.
    """
    here = feature_words.normal(explanation)
    known = NORMAL.get(pattern, "")
    told = [f"Normally {known}."] if known else []
    return " ".join(told + ([f"In the baseline: {here}."] if here else []))


def evidence(found: Evidence) -> str:
    """The numbers behind a finding, in words."""
    said = {name: value for name, value in found.items() if (name, value) != ("to_ports", 1)}
    parts = [words.format(said[name]) for name, words in EVIDENCE.items() if name in said]
    if int(found.get("sources", 1)) > 1:
        parts.append(f"from {found['sources']:,} sources, {float(found['busiest_source_share']):.0%} from the busiest")
    return ", ".join(parts)


def _ports(services: Sequence[str]) -> list[str]:
    return [service for service in services if service.startswith("TCP/")] or list(services)


def _listed(items: Sequence[str], most: int) -> str:
    shown = list(items[:most])
    if len(items) > most:
        return f"{', '.join(shown)} and {len(items) - most} more"
    return ", ".join(shown[:-1]) + (" and " if len(shown) > 1 else "") + "".join(shown[-1:])
