"""The columns of features.csv: the key of a row, and every feature with its definition, unit, reason and source.

A feature's name ends in its unit. The model compares `_count`, `_bytes`, `_s` and `_per_s` on a logarithmic scale, and
`_ratio` and `_bits` as they are. Its prefix says whose behaviour it is, and so whose past it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netnormal.tables.columns import Column, Schema

ROW_KEY = (
    Column("window_s", "int", "length of the window", "s", low=1, high=86_400),
    Column("window_start", "time", "start of the window; windows are half-open and aligned to the epoch"),
    Column("source", "text", "who initiated: an IP address, else a MAC address, else `-`"),
    Column("destination", "text", "who responded"),
    Column("service", "text", "protocol and, where it has ports, the responder's port: TCP/443, ICMP, ARP, 0x88cc"),
)


@dataclass(frozen=True)
class Feature(Column):
    """A column of numbers for the model. `side` says which deviation is unusual: more than usual, or either way."""

    why: str = ""
    source: str = ""
    side: Literal["high", "both"] = "high"


def _feature(name: str, unit: str, meaning: str, why: str, source: str, **more: object) -> Feature:
    return Feature(name, "float", meaning, unit, why=why, source=source, low=0, **more)  # type: ignore[arg-type]


_LAKHINA = "Lakhina, Crovella, Diot: Mining Anomalies Using Traffic Feature Distributions, SIGCOMM 2005"
_JUNG = "Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection Using Sequential Hypothesis Testing, S&P 2004"
_KDD = "Lee, Stolfo: A Framework for Constructing Features and Models for Intrusion Detection Systems, TISSEC 2000"
_MOORE = "Moore, Zuev, Crogan: Discriminators for Use in Flow-Based Classification, RR-05-13, Queen Mary 2005"
_RFC_9293 = "RFC 9293 (TCP)"
_RFC_4732 = "RFC 4732 (denial-of-service considerations)"
_RFC_4987 = "RFC 4987 (SYN flooding)"
_RFC_792 = "RFC 792, RFC 4443 (ICMP)"
_RFC_5103 = "RFC 5103 (biflows)"
_BILGE = "Bilge, Kirda, Kruegel, Balduzzi: EXPOSURE: Finding Malicious Domains Using Passive DNS Analysis, NDSS 2011"
_BORN = "Born, Gustafson: Detecting DNS Tunnels Using Character Frequency Analysis, 2010"
_HUBBALLI = (
    "Hubballi, Goyal: FlowSummary: Summarizing Network Flows for Communication Periodicity Detection, PReMI 2013"
)
_SHANNON = "Shannon: A Mathematical Theory of Communication, 1948"
_CAMBIASO = "Cambiaso, Papaleo, Aiello: Taxonomy of Slow DoS Attacks to Web Applications, SNDS 2012"

_NO_IP = "not IP"
_NO_TCP = "not TCP"
_NO_DNS = "no DNS query in it"

FEATURE_COLUMNS: tuple[Feature, ...] = (
    # ------------------------------------------------------------ what the conversation itself does
    _feature(
        "conversation_flows_count",
        "",
        "flows (5-tuples, both directions) of the conversation",
        "guessing, enumerating and flooding open many flows to one service",
        _RFC_5103,
    ),
    _feature(
        "conversation_failed_count",
        "",
        "flows that were refused (only RST came back), never answered, or left half open (SYN+ACK not acknowledged)",
        "scans and SYN floods fail far more often than work does",
        _JUNG,
    ),
    _feature(
        "conversation_failed_ratio",
        "",
        "share of the flows that failed",
        "separates a busy client from one that gropes in the dark",
        _JUNG,
        empty="no flow asks for an answer (multicast, ICMP notices), or all are pending",
    ),
    _feature(
        "conversation_most_open_count",
        "",
        "largest number of its TCP flows open at the same time (between first and last packet)",
        "slow denial of service holds many connections open",
        _CAMBIASO,
        empty=_NO_TCP,
    ),
    _feature(
        "conversation_packets_out_count",
        "",
        "packets by the source",
        "floods",
        _RFC_4732,
    ),
    _feature("conversation_packets_in_count", "", "packets by the destination", "floods and amplification", _RFC_4732),
    _feature(
        "conversation_payload_out_bytes",
        "bytes",
        "payload bytes by the source",
        "exfiltration",
        _KDD,
        empty=_NO_IP,
    ),
    _feature(
        "conversation_payload_in_bytes",
        "bytes",
        "payload bytes by the destination",
        "a bulk download where there never was one",
        _KDD,
        empty=_NO_IP,
    ),
    _feature(
        "conversation_upload_ratio",
        "",
        "share of the payload bytes that the source sent",
        "clients mostly receive; exfiltration and tunnels send",
        _KDD,
        empty="no payload either way",
    ),
    _feature(
        "conversation_peak_packets_per_s",
        "per s",
        "most packets in one second, both directions",
        "floods come in bursts that a window's sum hides",
        _RFC_4732,
    ),
    _feature(
        "conversation_peak_flows_per_s",
        "per s",
        "most flows begun in one second",
        "tools open flows faster than people",
        _KDD,
    ),
    _feature(
        "conversation_payload_out_mean_bytes",
        "bytes",
        "mean payload of the source's packets that have any",
        "a protocol carried inside another changes its sizes",
        _MOORE,
        side="both",
        empty="the source sent no payload",
    ),
    _feature(
        "conversation_payload_in_mean_bytes",
        "bytes",
        "mean payload of the destination's packets that have any",
        "error pages, refusals and tunnels have other sizes than the service's usual answers",
        _MOORE,
        side="both",
        empty="the destination sent no payload",
    ),
    _feature(
        "conversation_payload_out_entropy_bits",
        "bits",
        "entropy of the payload sizes of the source's packets that have any",
        "tools repeat one size, or try many",
        _SHANNON,
        side="both",
        empty="the source sent no payload",
    ),
    _feature(
        "conversation_duration_s",
        "s",
        "first to last packet in the window",
        "remote control stays connected",
        _KDD,
    ),
    _feature(
        "conversation_flow_duration_mean_s",
        "s",
        "mean time from first to last packet of its flows",
        "slow denial of service and tunnels keep flows open",
        _CAMBIASO,
    ),
    _feature(
        "conversation_regularity_ratio",
        "",
        "1 / (1 + v), where v is the coefficient of variation of the gaps between calls, their deviation taken at its "
        "upper 95 % confidence bound; a call is a packet by the source after at least 1 s of silence. 1 is a clock, "
        "0.5 or less chance",
        "malware calls home by a timer",
        _HUBBALLI,
        empty="fewer than 4 calls",
    ),
    _feature(
        "conversation_handshake_mean_s",
        "s",
        "mean time from SYN to SYN+ACK",
        "an overloaded or distant responder, or a relay between",
        _RFC_9293,
        empty="no TCP handshake seen",
    ),
    _feature(
        "conversation_rst_count",
        "",
        "packets with RST, both directions",
        "scans, and tools that break off",
        _RFC_9293,
        empty=_NO_TCP,
    ),
    _feature(
        "conversation_odd_flags_count",
        "",
        "packets without SYN, ACK and RST (NULL, FIN and Xmas probes), or with SYN and FIN or RST together",
        "no TCP sends them; probes of scanners do",
        _RFC_9293,
        empty=_NO_TCP,
    ),
    _feature(
        "conversation_empty_ratio",
        "",
        "share of TCP packets without payload",
        "scans, floods and idle held connections carry nothing",
        _MOORE,
        empty=_NO_TCP,
    ),
    _feature(
        "conversation_turns_mean_count",
        "",
        "mean number of times per flow that payload changes its direction",
        "dialogues (guessing in one connection, remote control) against bulk transfer",
        _MOORE,
        empty="no payload either way",
    ),
    _feature(
        "conversation_payload_per_flow_bytes",
        "bytes",
        "mean payload bytes per flow, both directions",
        "guessing and slow attacks open flows for next to nothing",
        _MOORE,
        side="both",
        empty="no payload either way",
    ),
    _feature(
        "conversation_fragments_count",
        "",
        "IP fragments",
        "evasion and fragment floods",
        "RFC 1858, RFC 8900",
        empty=_NO_IP,
    ),
    _feature(
        "conversation_ttls_count",
        "",
        "different times to live in the source's packets",
        "spoofed senders, route tracing, traffic relayed by a third",
        "Jin, Wang, Shin: Hop-Count Filtering, CCS 2003",
        empty="not IP, or nothing from the source",
    ),
    _feature(
        "conversation_odd_macs_ratio",
        "",
        "share of packets that came from another hardware address than most packets of their sender in the window",
        "address spoofing, ARP spoofing, a relay in the middle",
        "RFC 826; RFC 5227 (address conflicts)",
        empty="no hardware addresses, or only an unspecified sender",
    ),
    _feature(
        "conversation_unanswered_count",
        "",
        "requests (ICMP, ARP, DNS) without a later reply, but for those of the window's last second",
        "sweeps ask addresses nobody has",
        _RFC_792 + "; RFC 826 (ARP)",
        empty="no ICMP, ARP or DNS request or reply, or to a group",
    ),
    _feature(
        "conversation_unasked_count",
        "",
        "replies (ICMP, ARP, DNS) without an earlier request, but for those of the window's first second",
        "ARP and DNS spoofing, reflected floods, ICMP tunnels",
        "RFC 826; Whalen: An Introduction to ARP Spoofing, 2001",
        empty="no ICMP, ARP or DNS request or reply, or to a group",
    ),
    _feature("conversation_dns_queries_count", "", "DNS queries", "tunnels ask much", _BILGE, empty=_NO_DNS),
    _feature(
        "conversation_dns_names_count",
        "",
        "different names asked for",
        "generated names, enumeration of a domain",
        _BILGE,
        empty=_NO_DNS,
    ),
    _feature(
        "conversation_dns_names_per_domain_count",
        "",
        "most different names below one domain (last two labels)",
        "a tunnel puts its data into names below its own domain",
        _BORN,
        empty=_NO_DNS,
    ),
    _feature("conversation_dns_name_mean_bytes", "bytes", "mean length of the names", "tunnels", _BORN, empty=_NO_DNS),
    _feature("conversation_dns_name_max_bytes", "bytes", "longest name", "tunnels", _BORN, empty=_NO_DNS),
    _feature(
        "conversation_dns_name_entropy_bits",
        "bits",
        "mean over the queries of the entropy of the name's characters",
        "coded or generated names",
        _BORN + "; " + _SHANNON,
        empty=_NO_DNS,
    ),
    _feature(
        "conversation_dns_failed_ratio",
        "",
        "share of the DNS responses with an error (no such name, refused …)",
        "generated names mostly do not exist",
        _BILGE,
        empty="no DNS response in it",
    ),
    _feature(
        "conversation_dns_odd_types_ratio",
        "",
        "share of the queries for other than A, AAAA, PTR, SRV and HTTPS records",
        "TXT, NULL and the like carry data",
        _BORN,
        empty=_NO_DNS,
    ),
    _feature(
        "conversation_dns_answer_mean_bytes",
        "bytes",
        "mean payload of DNS responses",
        "tunnels and amplification",
        "RFC 5358 (reflection by recursive resolvers)",
        empty="no DNS response in it",
    ),
    # ------------------------------------------------------------ what its source does in conversations alike
    _feature(
        "source_destinations_count",
        "",
        "destinations of the source",
        "sweeps",
        _LAKHINA,
    ),
    _feature("source_services_count", "", "services the source asked for", "port scans", _LAKHINA),
    _feature(
        "source_services_at_destination_count",
        "",
        "services the source asked for at this destination",
        "a vertical scan of this host",
        _JUNG,
    ),
    _feature(
        "source_destinations_of_service_count",
        "",
        "destinations at which the source asked for this service",
        "a horizontal scan, a worm's search",
        _JUNG,
    ),
    _feature("source_flows_count", "", "flows of the source", "any machine-made activity", _KDD),
    _feature("source_packets_out_count", "", "packets by the source", "floods over many services", _RFC_4732),
    _feature("source_payload_out_bytes", "bytes", "payload bytes by the source", "exfiltration", _KDD, empty=_NO_IP),
    _feature("source_payload_in_bytes", "bytes", "payload bytes to the source", "collection", _KDD, empty=_NO_IP),
    _feature("source_peak_flows_per_s", "per s", "most flows the source began in one second", "fast scans", _KDD),
    _feature(
        "source_destinations_entropy_bits",
        "bits",
        "entropy of the destinations over the source's flows",
        "sweeps spread evenly, work has favourites",
        _LAKHINA,
    ),
    _feature(
        "source_services_entropy_bits",
        "bits",
        "entropy of the services over the source's flows",
        "port scans spread evenly",
        _LAKHINA,
    ),
    _feature(
        "source_failed_ratio",
        "",
        "share of failed flows in all the source's flows of this protocol",
        "a working host mostly succeeds",
        _JUNG,
        empty="not a failed conversation",
    ),
    # ------------------------------------------------------------ what its destination undergoes in conversations alike
    _feature("destination_sources_count", "", "sources that asked the destination", "distributed attacks", _LAKHINA),
    _feature("destination_services_count", "", "services asked for at the destination", "port scans", _LAKHINA),
    _feature("destination_flows_count", "", "flows to the destination", "floods, spoofed or not", _RFC_4987),
    _feature("destination_packets_in_count", "", "packets to the destination", "floods", _RFC_4732),
    _feature(
        "destination_payload_in_bytes", "bytes", "payload bytes to the destination", "drop points", _KDD, empty=_NO_IP
    ),
    _feature("destination_payload_out_bytes", "bytes", "payload bytes by the destination", "theft", _KDD, empty=_NO_IP),
    _feature(
        "destination_peak_flows_per_s",
        "per s",
        "most flows begun to the destination in one second",
        "floods",
        _RFC_4987,
    ),
    _feature(
        "destination_most_open_count",
        "",
        "largest number of TCP flows to the destination open at the same time",
        "slow denial of service, also from many sources",
        _CAMBIASO,
        empty=_NO_TCP,
    ),
    _feature(
        "destination_sources_entropy_bits",
        "bits",
        "entropy of the sources over the flows to the destination",
        "spoofed floods come from everywhere",
        _LAKHINA,
    ),
    _feature(
        "destination_failed_ratio",
        "",
        "share of failed flows in all flows of this protocol to the destination",
        "a host under attack, or one that many look for and that is not there",
        _JUNG,
        empty="not a failed conversation",
    ),
)

FEATURES = Schema(
    "features",
    "one row per conversation and window, in order of the window's end, window_s, source, destination, service",
    "python extract_features.py",
    (
        *ROW_KEY,
        # Not a feature but what rows are compared within: the model scales each kind by itself (required by model/).
        Column(
            "kind",
            "text",
            "protocol and class of most of its flows: `TCP failed` (refused, unanswered, half open), `UDP answered` "
            "(or going on), `ICMP one-way` (broadcast, multicast, notices), `TCP pending` (begun in the window's last "
            "second and not answered yet)",
        ),
        Column("packets", "int", "packets of the conversation in the window, both directions", low=1),
        Column("bytes", "int", "bytes on the wire, both directions", "bytes", low=0),
        Column("first_packet", "time", "time of its first packet in the window"),
        Column("last_packet", "time", "time of its last packet in the window"),
        *FEATURE_COLUMNS,
    ),
    carries=True,
)
