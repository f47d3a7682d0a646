"""What is asked of DNS: data carried in names, and names that a program made up."""

from __future__ import annotations

from functools import cache

import numpy as np
from publicsuffixlist import PublicSuffixList

from netnormal.kernels.patterns import sequential_test
from netnormal.patterns.scans import walk
from netnormal.patterns.view import Evidence, Finding, View, by_group, groups
from netnormal.settings import Patterns
from netnormal.tables import name_bytes

# What a resolver or a host looks up by the number of an address is long and distinct by design (RFC 1035, RFC 3596).
NUMBERS = (".in-addr.arpa", ".ip6.arpa")
NO_SUCH_NAME = 3  # response code (RFC 1035)
EXAMPLES = 3  # domains that the evidence names


def dns_tunnels(view: View, settings: Patterns) -> list[Finding]:
    """Distinct names below one domain, asked by one host, with more letters in all than an honest host's lookups tell
    anybody: what is asked is what can be smuggled. Paxson et al. 2013 bound it at 4 kB a day for a domain."""
    rows = np.flatnonzero(view.packets["dns_query"].array.codes >= 0)
    if not len(rows):
        return []
    source = view.source[view.flow_of_packet[rows]]
    name, domain, letters, words = _split(view, rows)
    keep = (domain[name] >= 0) & (letters[name] > 0)
    rows, source, name = rows[keep], source[keep], name[keep]
    group, first = groups(source, domain[name])
    _, at = groups(group, name)
    total = np.bincount(group[at], letters[name[at]], len(first))
    findings = []
    wanted = np.flatnonzero(total >= settings.dns_tunnel_bytes)
    for g, members in zip(wanted, by_group(group, wanted, len(first)), strict=True):
        names = np.unique(name[members])
        asked = words[int(domain[names[0]])]
        evidence: Evidence = {
            "domain": asked,
            "names": len(names),
            "letters": int(total[g]),
            "mean_letters": round(float(letters[names].mean()), 1),
        }
        flows = np.unique(view.flow_of_packet[rows[members]])
        findings.append(view.finding("dns_tunnel", flows, view.name(int(source[members[0]])), evidence))
    return findings


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
