"""What a kind of incident usually means, and what a person should look at next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """means: what lies behind such an incident, harmless causes too. then: what to look at next."""

    means: str
    then: str


_SCAN = Advice(
    "Someone is looking for open doors. Inventory tools and monitoring do it too.",
    "Is the source allowed to scan? If not, look at what it did with those that answered, before and after.",
)
_SWEEP = Advice(
    "Someone is looking for hosts. Malware does it to spread; discovery tools do it by design.",
    "Is the source a management tool? If not, look at what it said to the hosts that answered.",
)
_FLOOD = Advice(
    "The target is to be kept busy, or a program has run wild.",
    "Does the target still answer others? Stop the source or filter it. With forged sources, follow the hardware "
    "address.",
)
_TUNNEL = Advice(
    "Data is carried inside a protocol that is hardly ever looked at.",
    "Which program on the source does it? Compare the amounts with what that host should send at all.",
)
_ADVICE = {
    "port_scan": _SCAN,
    "udp_scan": _SCAN,
    "null_scan": _SCAN,
    "fin_scan": _SCAN,
    "xmas_scan": _SCAN,
    "ack_scan": _SCAN,
    "port_sweep": _SWEEP,
    "ping_sweep": _SWEEP,
    "arp_sweep": _SWEEP,
    "syn_flood": _FLOOD,
    "udp_flood": _FLOOD,
    "icmp_flood": _FLOOD,
    "http_flood": _FLOOD,
    "icmp_tunnel": _TUNNEL,
    "dns_tunnel": _TUNNEL,
    "slow_http": Advice(
        "Requests that are never finished hold a server's connections until nobody else gets one.",
        "Does the server still answer others? Look at its limits on connections and header times.",
    ),
    "arp_spoofing": Advice(
        "Someone answers for addresses of others: traffic between them can be read and changed on the way.",
        "Find the port of the hardware address on the switch. Did the victims' traffic take this way? A router's "
        "failover looks alike.",
    ),
    "nd_spoofing": Advice(
        "Someone answers for IPv6 addresses of others: traffic between them can be read and changed on the way.",
        "Find the port of the hardware address on the switch. Two hosts with one address by mistake look alike.",
    ),
    "rogue_router": Advice(
        "Someone offers hosts a way out over IPv6, and perhaps reads what takes it. A phone that shares its connection "
        "or a new router does it too.",
        "Did you install this router? Filter router advertisements at the switch, and look at who sent through it.",
    ),
    "rogue_dhcp": Advice(
        "Someone gives out addresses, and with them the router and the resolver to use. A router plugged in the wrong "
        "way round does it too.",
        "Did you install this server? Look at who took an address from it.",
    ),
    "dga": Advice(
        "A program computes where its master may be and tries one name after the other. A wrong list of hosts or a "
        "broken resolver looks alike.",
        "Which program asks? Do the names look made up? The one that exists is the one to look at.",
    ),
    "brute_force": Advice(
        "Logins are tried one after the other. A script with an old password does that too.",
        "Did one succeed? Look at the server's log at that time, and for a longer connection after the short ones.",
    ),
    "dir_enumeration": Advice(
        "Names of pages or files are tried one after the other, to find what nobody links to. A broken link checker or "
        "a crawler does it too.",
        "Which names did the server know? Look at its log, and at answers of another size in this time.",
    ),
    "threat_list": Advice(
        "A host of yours met one that is on your list of bad hosts.",
        "What was sent, and by which program? Is the entry on the list still true?",
    ),
    "beacon": Advice(
        "A host calls the same place at even intervals, as remote-controlled malware does, and update checks too.",
        "Which program calls? Is the destination known to you?",
    ),
    "upload": Advice(
        "Far more was sent out than this host usually sends. A backup looks alike.",
        "Is the destination known to you? Which program sent it, and what?",
    ),
}
_OTHERS = Advice(
    "The model saw what it had not seen in the baseline; unusual is not the same as hostile.",
    "Read what is far from usual. If it is what you expect here, train on traffic that contains it.",
)


def of(pattern: str) -> Advice:
    """Advice for a pattern; for one that has none of its own, what holds for anything unusual."""
    return _ADVICE.get(pattern, _OTHERS)
