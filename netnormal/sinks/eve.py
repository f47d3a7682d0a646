"""eve.json: incidents for other tools, one JSON object a line, in the shape of Suricata's EVE alerts.

What Suricata's documentation says of the fields: "EVE JSON Format".
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import Any

from netnormal.sinks.told import ToldFile

GENERATOR = 1  # gid of rules; the numbers below lie where Suricata leaves room for local rules
#: pattern → its number, which it keeps for ever, what it is called, and Suricata's class of such alerts
SIGNATURES = {
    "unusual_behaviour": (1_000_000, "unusual behaviour", "Potentially Bad Traffic"),
    "port_scan": (1_000_001, "TCP port scan", "Detection of a Network Scan"),
    "null_scan": (1_000_002, "TCP scan without flags", "Detection of a Network Scan"),
    "fin_scan": (1_000_003, "TCP FIN scan", "Detection of a Network Scan"),
    "xmas_scan": (1_000_004, "TCP Xmas scan", "Detection of a Network Scan"),
    "ack_scan": (1_000_005, "TCP ACK scan", "Detection of a Network Scan"),
    "udp_scan": (1_000_006, "UDP port scan", "Detection of a Network Scan"),
    "port_sweep": (1_000_007, "search for hosts by port", "Detection of a Network Scan"),
    "ping_sweep": (1_000_008, "search for hosts by ping", "Detection of a Network Scan"),
    "arp_sweep": (1_000_009, "search for hosts by ARP", "Detection of a Network Scan"),
    "syn_flood": (1_000_010, "SYN flood", "Attempted Denial of Service"),
    "udp_flood": (1_000_011, "UDP flood", "Attempted Denial of Service"),
    "icmp_flood": (1_000_012, "ICMP flood", "Attempted Denial of Service"),
    "slow_http": (1_000_013, "unfinished requests held open", "Attempted Denial of Service"),
    "arp_spoofing": (1_000_014, "ARP spoofing", "Misc Attack"),
    "brute_force": (1_000_015, "logins tried in a row", "Attempted User Privilege Gain"),
    "icmp_tunnel": (1_000_016, "tunnel in ICMP", "Potential Corporate Privacy Violation"),
    "dns_tunnel": (1_000_017, "tunnel in DNS", "Potential Corporate Privacy Violation"),
    "beacon": (1_000_018, "regular calls to one host", "Malware Command and Control Activity Detected"),
    "upload": (1_000_019, "unusual upload", "Potential Corporate Privacy Violation"),
    "threat_list": (1_000_020, "contact with a listed host", "Misc Attack"),
    "dir_enumeration": (1_000_021, "names of pages tried in a row", "Web Application Attack"),
    "http_flood": (1_000_022, "flood of requests", "Attempted Denial of Service"),
    "nd_spoofing": (1_000_023, "false neighbour advertisements", "Misc Attack"),
    "rogue_router": (1_000_024, "new router of IPv6", "Misc Attack"),
    "rogue_dhcp": (1_000_025, "new DHCP server", "Misc Attack"),
    "dga": (1_000_026, "many domains that do not exist", "Malware Command and Control Activity Detected"),
}
_SEVERITY = {"critical": 1, "high": 1, "medium": 2, "low": 3}  # 1 is the worst, and Suricata has no fourth
_CONFIDENCE = {"medium": "Medium", "low": "Low"}  # of what only the forest calls unusual
_PROTOCOLS = {"TCP": "TCP", "UDP": "UDP", "SCTP": "SCTP", "ICMP": "ICMP", "ICMPv6": "IPv6-ICMP", "IGMP": "IGMP"}


class Eve(ToldFile):
    """A file with a line for each incident."""

    def text(self, documents: Sequence[Mapping[str, Any]]) -> str:
        return "".join(json.dumps(event(document), allow_nan=False) + "\n" for document in documents)


def event(document: Mapping[str, Any]) -> dict[str, Any]:
    """One incident (`detection.documents`) as an EVE alert, in plain values.

    Addresses are named where they are such (no hardware address, not `many`): of several destinations the most
    affected, and a port only where there is but one service. The Community ID is that of the heaviest flow. `netnormal`
    has all of them.
    """
    number, signature, category = SIGNATURES[document["pattern"]]
    named = document["technique"] is not None
    confidence = "High" if named else _CONFIDENCE.get(document["severity"], "High")
    metadata = {"confidence": [confidence], "signature_severity": [document["severity"].capitalize()]}
    if named:
        metadata["mitre_technique_id"] = [document["technique"]]
    return {
        "timestamp": _time(document["start"]),
        "event_type": "alert",
        "flow_id": _flow_id(document["incident_id"]),
        **_ends(document),
        "alert": {
            "action": "allowed",
            "gid": GENERATOR,
            "signature_id": number,
            "rev": 1,
            "signature": f"netnormal {signature}",
            "category": category,
            "severity": _SEVERITY[document["severity"]],
            "metadata": metadata,
        },
        "flow": {"start": _time(document["start"]), "end": _time(document["end"])},
        "netnormal": {
            "incident_id": document["incident_id"],
            "title": document["title"],
            "reasons": document["reasons"],
            "normal": document["normal"],
            "evidence": document["evidence"],
            "explanation": document["explanation"],
            "community_ids": document["community_ids"],
            "display_filter": document["display_filter"],
            "start": document["start"],
            "end": document["end"],
            "source": document["source"],
            "destinations": document["destinations"],
            "services": document["services"],
            "packets": int(document["packets"]),
            "bytes": int(document["bytes"]),
            "score": float(document["score"]),
        },
    }


def _ends(document: Mapping[str, Any]) -> dict[str, Any]:
    destinations, services = document["destinations"], document["services"]
    found: dict[str, Any] = {}
    if _is_address(document["source"]):
        found["src_ip"] = document["source"]
    if destinations and _is_address(destinations[0]):
        found["dest_ip"] = destinations[0]
    protocols = {service.partition("/")[0] for service in services}
    protocol, _, port = services[0].partition("/") if len(protocols) == 1 else ("", "", "")
    if protocol in _PROTOCOLS:
        found["proto"] = _PROTOCOLS[protocol]
    if len(services) == 1 and port.isdecimal():
        field = "dest_port" if protocol in ("TCP", "UDP", "SCTP") else "icmp_type"
        found[field] = int(port)
    if document["community_ids"]:
        found["community_id"] = document["community_ids"][0]
    return found


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _flow_id(incident_id: str) -> int:
    """A number for the incident, the same in every run; below 2^53, which every JSON reader keeps whole."""
    return int.from_bytes(hashlib.sha256(incident_id.encode()).digest()[:8]) >> 11


def _time(text: str) -> str:
    """ISO 8601 with nine decimals and Z, as EVE writes it: microseconds, +0000."""
    return f"{text[:26]}+0000"
