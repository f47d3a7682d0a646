"""What is asked of DNS: data carried in names, and names that a program made up."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from publicsuffixlist import PublicSuffixList

from netnormal.kernels.patterns import sequential_test
from netnormal.patterns.scans import walk
from netnormal.patterns.view import SECOND, Evidence, Finding, View, by_group, groups
from netnormal.settings import Patterns
from netnormal.tables import name_bytes

# What a resolver or a host looks up by the number of an address is long and distinct by design (RFC 1035, RFC 3596).
NUMBERS = (".in-addr.arpa", ".ip6.arpa")
NO_SUCH_NAME = 3  # response code (RFC 1035)
EXAMPLES = 3  # domains that the evidence names
MOST_NAMES = 20_000  # that are remembered; beyond, those below domains quiet for longest are forgotten
MOST_BELOW = 1_000  # of one host and domain: the latest


def dns_tunnels(view: View, settings: Patterns) -> list[Finding]:
    """Distinct names below one domain, asked by one host, with more letters in all than an honest host's lookups tell
    anybody: what is asked is what can be smuggled. Paxson et al. 2013 bound it at 4 kB a day for a domain."""
    return NameMemory(settings).push(view)


class NameMemory:
    """`dns_tunnels` over windows: names asked in the last `dns_memory_s`. `push` windows of one length in order of
    time. A window's finding is about the names that no finding was about before."""

    def __init__(self, settings: Patterns) -> None:
        self._settings = settings
        # by asker and domain: name → when first asked [ns], letters below the domain, whether told
        self._asked: dict[tuple[str, str], dict[str, tuple[int, int, bool]]] = {}
        self.evicted = 0

    def push(self, view: View) -> list[Finding]:
        """The tunnels of which this window saw new names."""
        rows = np.flatnonzero(view.packets["dns_query"].array.codes >= 0)
        if not len(rows):
            return []
        self._forget(int(view.ints("last_packet").max()) - self._settings.dns_memory_s * SECOND)
        name, domain, letters, words = _split(view, rows)
        keep = (domain[name] >= 0) & (letters[name] > 0)
        rows, name = rows[keep], name[keep]
        source = view.source[view.flow_of_packet[rows]]
        group, first = groups(source, domain[name])
        time = view.packets["time"].to_numpy(np.int64)
        spelt = view.packets["dns_query"].array.categories
        findings = []
        for members in by_group(group, np.arange(len(first)), len(first)):
            asker, asked = view.name(int(source[members[0]])), words[int(domain[name[members[0]]])]
            known = self._asked.setdefault((asker, asked), {})
            codes, at = np.unique(name[members], return_index=True)
            new = False
            for code, when in zip(codes.tolist(), time[rows[members[at]]].tolist(), strict=True):
                if spelt[code] not in known:
                    known[spelt[code]] = (when, int(letters[code]), False)
                    new = True
            if new and sum(count for _, count, _ in known.values()) >= self._settings.dns_tunnel_bytes:
                flows = np.unique(view.flow_of_packet[rows[members]])
                findings.append(_tunnel(view, flows, asker, asked, known))
            for word in list(known)[: max(len(known) - MOST_BELOW, 0)]:
                del known[word]
        self._evict()
        return findings

    def state(self) -> list[Any]:
        """All of it as values that JSON knows, for `restore`."""
        return [
            self.evicted,
            [[*key, [[word, *one] for word, one in known.items()]] for key, known in self._asked.items()],
        ]

    def restore(self, state: list[Any]) -> None:
        """Go on from `state`. Raises ValueError or TypeError if it is nothing of the kind."""
        self.evicted, self._asked = int(state[0]), {}
        for asker, domain, known in state[1]:
            names = {str(word): (int(when), int(letters), bool(told)) for word, when, letters, told in known}
            self._asked[str(asker), str(domain)] = names

    def _forget(self, before: int) -> None:
        for key, known in list(self._asked.items()):
            left = {word: one for word, one in known.items() if one[0] >= before}
            if left:
                self._asked[key] = left
            else:
                del self._asked[key]

    def _evict(self) -> None:
        excess = sum(map(len, self._asked.values())) - MOST_NAMES
        if excess <= 0:
            return
        for key in sorted(self._asked, key=lambda one: max(when for when, _, _ in self._asked[one].values())):
            gone = len(self._asked.pop(key))
            self.evicted, excess = self.evicted + gone, excess - gone
            if excess <= 0:
                return


def _tunnel(view: View, flows: np.ndarray, asker: str, domain: str, known: dict[str, tuple[int, int, bool]]) -> Finding:
    """The finding of all names that were not told before; they are told now."""
    fresh = [(when, letters) for when, letters, told in known.values() if not told]
    for word, (when, letters, _) in known.items():
        known[word] = (when, letters, True)
    total = sum(letters for _, letters in fresh)
    evidence: Evidence = {
        "domain": domain,
        "names": len(fresh),
        "letters": total,
        "mean_letters": round(total / len(fresh), 1),
    }
    finding = view.finding("dns_tunnel", flows, asker, evidence)
    return replace(finding, start=min(finding.start, *(when for when, _ in fresh)))


def generated_names(view: View, settings: Patterns) -> list[Finding]:
    """A host that asks for names below many registered domains, most of which do not exist, as a program does that
    computes where its master may be: the sequential test over the first answer for each domain. Krishnan et al. 2013;
    Jung et al. 2004; T1568.002. One finding per host.

    A domain of which any name exists is no failure. Names of one label, and numbers of addresses, are not counted:
    browsers make up the former to test a resolver.
    """
    code = view.packets["dns_rcode"].to_numpy(np.int64)
    rows = np.flatnonzero(code >= 0)
    if (code[rows] == NO_SUCH_NAME).sum() < settings.dga_domains:
        return []
    asker = view.source[view.flow_of_packet[rows]]
    name, domain_of, _, words = _split(view, rows)
    domain = domain_of[name]
    rows, asker, domain = rows[domain >= 0], asker[domain >= 0], domain[domain >= 0]
    if not len(rows):
        return []
    contact, first = groups(asker, domain)
    fails = np.bincount(contact, code[rows] != NO_SUCH_NAME, len(first)) == 0
    owner, n = asker[first], len(view.names)
    many = np.bincount(owner[fails], minlength=n) >= settings.dga_domains
    crossed = sequential_test(owner, fails, *walk(settings), n)
    findings = []
    for host in np.flatnonzero(many & (crossed >= 0)):
        failed = np.flatnonzero((owner == host) & fails)
        mine = rows[np.isin(contact, failed)]
        evidence: Evidence = {
            "missing": len(failed),
            "existing": int(((owner == host) & ~fails).sum()),
            "examples": " ".join(words[int(domain[first[one]])] for one in failed[:EXAMPLES]),
        }
        findings.append(view.finding("dga", np.unique(view.flow_of_packet[mine]), view.name(int(host)), evidence))
    return findings


def _split(view: View, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """The names in these packets as numbers, by number their domain and letters below it, and the domains' names.

    A domain of -1 is none: names of one label, public suffixes, addresses looked up by number.
    """
    column = view.packets["dns_query"].array
    name = column.codes[rows].astype(np.int64)
    used = np.unique(name)
    domains: dict[str, int] = {}
    domain, letters = np.full(len(column.categories) + 1, -1, np.int64), np.zeros(len(column.categories) + 1, np.int64)
    for code in used[used >= 0]:
        word = column.categories[code]
        if word.endswith(NUMBERS):
            continue
        registered, below = split_name(word)
        if registered:
            domain[code] = domains.setdefault(registered, len(domains))
            letters[code] = len(name_bytes(below))
    return name, domain, letters, list(domains)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def split_name(name: str) -> tuple[str, str]:
    """A name as the domain somebody registered and what stands below it: `a.b.example.org` → `example.org`, `a.b`.

    By the public suffix list (publicsuffix.org), its private part included: below `github.io` everybody has a domain.
    What nobody registered (`printer`, `co.uk`) is below nothing: ("", name).
    """
    name = name.rstrip(".")
    registered = _suffixes().privatesuffix(name) or ""
    return registered, name.removesuffix(registered).rstrip(".")
