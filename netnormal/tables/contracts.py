"""The columns of every file but features.csv (those are in `feature_columns`)."""

from __future__ import annotations

from netnormal.tables.columns import Column, Schema
from netnormal.tables.feature_columns import FEATURES, ROW_KEY

#: Letters of `tcp_flags` by bit, lowest first: FIN SYN RST PSH ACK URG ECE CWR AE (RFC 9293, RFC 3168, RFC 9768).
TCP_FLAGS = "FSRPAUECN"

#: Severities of incidents, worst first.
SEVERITIES = ("critical", "high", "medium", "low")

#: The pattern of an incident that only the forest found.
UNUSUAL = "unusual_behaviour"

_NOT_IP = "not IP or ARP"
_NO_PORTS = "not TCP, UDP or SCTP; or a later fragment; or cut by the snap length"
_NOT_TCP = "not TCP, or header not captured"

PACKETS = Schema(
    "captured_data",
    "one row per packet, in capture order",
    "python capture.py",
    (
        Column("packet", "int", "1-based number in capture order, as Wireshark shows it", low=1),
        Column("time", "time", "capture time, UTC, nanoseconds where the capture has them"),
        Column("length", "int", "bytes on the wire, link header included; may exceed `captured`", "bytes", low=0),
        Column("captured", "int", "bytes of the frame that were captured", "bytes", low=0),
        Column("src_mac", "text", "source hardware address, aa:bb:cc:dd:ee:ff", empty="link type without one"),
        Column("dst_mac", "text", "destination hardware address", empty="link type without one"),
        Column("vlan", "int", "outermost VLAN identifier (IEEE 802.1Q)", empty="untagged", low=0, high=4095),
        Column("network", "text", "IPv4, IPv6, ARP, LLDP …, or the EtherType as 0x88cc", empty="not decoded"),
        Column("src_ip", "text", "source address; of ARP the sender's", empty=_NOT_IP),
        Column("dst_ip", "text", "destination address; of ARP the target's", empty=_NOT_IP),
        Column(
            "protocol",
            "text",
            "TCP, UDP, SCTP, ICMP, ICMPv6, ARP, IGMP, GRE …, or the IP protocol number; else the same as `network`",
            empty="not decoded",
        ),
        Column("src_port", "int", "TCP, UDP or SCTP source port", empty=_NO_PORTS, low=0, high=65535),
        Column("dst_port", "int", "TCP, UDP or SCTP destination port", empty=_NO_PORTS, low=0, high=65535),
        Column("ttl", "int", "IPv4 time to live or IPv6 hop limit", empty="not IP", low=0, high=255),
        Column("fragment", "int", "0 whole packet, 1 first fragment, 2 later fragment", empty="not IP", low=0, high=2),
        Column("tcp_flags", "text", f"flags set, letters of {TCP_FLAGS} in that order, `-` if none", empty=_NOT_TCP),
        Column("tcp_window", "int", "window field, unscaled", empty=_NOT_TCP, low=0, high=65535),
        Column(
            "payload",
            "int",
            "bytes above the transport header (above the IP header for other protocols), by the header's lengths",
            "bytes",
            empty="not IP",
            low=0,
        ),
        Column("icmp_type", "int", "ICMP or ICMPv6 type", empty="neither", low=0, high=255),
        Column("icmp_code", "int", "ICMP or ICMPv6 code", empty="neither", low=0, high=255),
        Column("arp_operation", "int", "1 request, 2 reply (RFC 826)", empty="not ARP", low=0, high=65535),
        Column("dns_query", "text", r"first question's name, lower case, odd bytes \DDD (RFC 4343)", empty="not DNS"),
        Column("dns_type", "int", "first question's type (1 A, 16 TXT, 28 AAAA …)", empty="not DNS", low=0, high=65535),
        Column("dns_rcode", "int", "response code (3: no such name)", empty="no DNS response", low=0, high=15),
        Column("server_name", "text", "server name of a TLS ClientHello (RFC 6066)", empty="none"),
        Column("tunnel", "text", "GRE, IPv4, IPv6, VXLAN …: what it carries inside", empty="carries no tunnel"),
        Column("undecoded", "text", "why decoding stopped early, e.g. `truncated IPv4 header`", empty="decoded"),
    ),
)

SCORES = Schema(
    "scores",
    "one row per conversation and window",
    "python detect.py",
    (
        *ROW_KEY,
        Column("score", "float", "0 usual … 1 never seen: 1 - tail_probability^(1/4)", low=0, high=1),
        Column(
            "tail_probability",
            "float",
            "share of the baseline's rows of this window length expected to look at least as unusual",
            low=0,
            high=1,
            decimals=None,
        ),
        Column("anomaly", "int", "1 at or over the threshold, else 0", low=0, high=1),
        Column("packets", "int", "packets of the conversation in the window, both directions", low=1),
    ),
)

ANOMALIES = Schema(
    "anomalies",
    "the anomalous rows with their reasons, in the order in which their incidents were known",
    "python detect.py",
    (
        *SCORES.columns[:-2],
        Column("incident_id", "text", "the incident it became part of", empty="none"),
        Column("reasons", "text", "the features that made it anomalous: value, usual range, how far outside"),
        *FEATURES.columns[len(ROW_KEY) :],
    ),
    prose=True,
    carries=True,
)

LABELLED_PACKETS = Schema(
    "labelled_packets",
    "one row per packet of the capture",
    "python detect.py",
    (
        Column("packet", "int", "as in captured_data.csv", low=1),
        Column(
            "score",
            "float",
            "highest score of its rows; in an incident at least an anomaly's, in one with a name and of medium "
            "severity or more at least 0.99, and the nearer to 1 the more unusual the row is",
            low=0,
            high=1,
        ),
        Column("label", "text", "normal or anomalous"),
        Column("incident_id", "text", "its incident; of several that of the shortest window", empty="none"),
    ),
)

INCIDENTS = Schema(
    "incidents",
    "one row per incident, worst first",
    "python detect.py",
    (
        Column("incident_id", "text", "of no meaning; the same in every run over the same packets, live or not"),
        Column("start", "time", "first packet of it"),
        Column("end", "time", "last packet of it"),
        Column(
            "detected",
            "time",
            "end of the window that first showed it, for unusual behaviour `settle_s` later: when it was told. A "
            "window is judged once a packet `lateness_s` beyond its end has come",
        ),
        Column("pattern", "text", f"port_scan, syn_flood, threat_list … or {UNUSUAL}"),
        Column("title", "text", "what happened, in one sentence"),
        Column("technique", "text", "MITRE ATT&CK technique", empty="no named pattern"),
        Column("severity", "text", "low, medium, high or critical"),
        Column("score", "float", "the highest score in it, at least an anomaly's", low=0, high=1),
        Column("source", "text", "who did it: the initiator's address; `many` for spoofed sources"),
        Column("destinations", "text", "to whom, most affected first, separated by blanks; at most 20"),
        Column("services", "text", "with which services, most used first, separated by blanks; at most 20"),
        Column("packets", "int", "packets of its conversations", low=0),
        Column("bytes", "int", "bytes on the wire of its conversations", "bytes", low=0),
        Column("reasons", "text", "the evidence in words"),
        Column("display_filter", "text", "Wireshark display filter that selects its packets"),
    ),
    prose=True,
)

NOTICES = Schema(
    "notices",
    "what is new and no incident, one row per host and kind; counted by no figure",
    "python detect.py",
    (
        Column("start", "time", "first packet of it"),
        Column("end", "time", "last packet of it"),
        Column("pattern", "text", "new_device, new_service, first_contact or short_beacon"),
        Column("title", "text", "what is new, in one sentence"),
        Column("technique", "text", "MITRE ATT&CK technique of attacks that begin so"),
        Column("severity", "text", "info"),
        Column("source", "text", "the host that it is about"),
        Column("what", "text", "what is new, separated by blanks: services or hosts; at most 20"),
        Column("count", "int", "how many of these; at most 1,000 are counted", low=0),
    ),
    prose=True,
)

#: What incidents.json says of each incident beyond the columns of INCIDENTS: name → type, meaning.
DOCUMENT = {
    "evidence": (
        "object",
        "the numbers behind a named pattern: name → number or text, as `half_open`, `per_s`, `domain`",
    ),
    "explanation": (
        "list",
        "what made its anomalous rows so, strongest first, at most 5 (empty without such rows), each an object: "
        "`feature`; `words`, what it is called; `value`, of the row it did most to; `usual_low` and `usual_high`, the "
        "range usual for that host or service in the baseline; `unit`; `spreads`, how far outside; `window_s`, of that "
        "row; `share`, of the forest's shortened paths, summed over all the rows (0 to 1). Where value is null, as of "
        "novelties, `words` say all",
    ),
    "normal": ("text", "what would have been normal here: sentences, or empty"),
    "community_ids": ("list", "Community IDs (version 1) of its heaviest flows, heaviest first, at most 20"),
}

SUPPRESSIONS = Schema(
    "suppressions",
    "incidents that are not told: an incident that a line describes is hidden on the terminal, in the report, in "
    "alerts and in eve.json, and stays in every other file. Lines that begin with # are comments",
    "the person who reads the incidents",
    (
        Column("source", "text", "address, network (10.0.0.0/24), or name with * and ?", empty="any"),
        Column("destination", "text", "the same; every destination of the incident has to fit", empty="any"),
        Column("pattern", "text", "as in incidents.csv; with * and ?", empty="any"),
        Column("expires", "text", "date (to its end, UTC) or moment: later incidents are told", empty="never expires"),
        Column("reason", "text", "why"),
    ),
    prose=True,
)

FEEDBACK = Schema(
    "feedback",
    "one row per verdict of a person on an incident, in the order they were given; of several on one incident the last "
    "holds. `train_model.py` lets the rows of benign ones join its calibration",
    "python detect.py --feedback",
    (
        Column("given", "time", "when the verdict was given"),
        Column("incident_id", "text", "as in incidents.csv"),
        Column("verdict", "text", "benign or malicious"),
        Column("reason", "text", "why, in the person's words", empty="none was given"),
        Column("pattern", "text", "of the incident"),
        Column("start", "time", "of the incident"),
        Column("title", "text", "of the incident"),
        Column(
            "rows",
            "text",
            "what the model found unusual in it: the most unusual row (lines of features.csv, with header) of each of "
            "its sources and windows, at most 20",
            empty="malicious; or no row of it was unusual; or anomalies.csv was not there",
        ),
    ),
    prose=True,
)

PACKET_LABELS = Schema(
    "packet_labels",
    "ground truth by packet",
    "the person who recorded the capture",
    (
        Column("packet", "int", "as in captured_data.csv", low=1),
        Column("label", "text", "`benign` or the attack's name"),
    ),
)

FLOW_LABELS = Schema(
    "flow_labels",
    "ground truth by flow (both directions); a packet that is of none is benign, as is one of a flow labelled so",
    "the person who recorded the capture",
    (
        Column("start", "time", "first packet of the flow"),
        Column("end", "time", "last packet of the flow; packets up to 5 s later are of it, if none like it began"),
        Column("protocol", "text", "TCP, UDP, SCTP …; ICMP for both of its versions"),
        Column("source", "text", "IP address of one end"),
        Column("src_port", "int", "its port", empty="no ports", low=0, high=65535),
        Column("destination", "text", "IP address of the other"),
        Column("dst_port", "int", "its port", empty="no ports", low=0, high=65535),
        Column("label", "text", "`benign` or the attack's name"),
    ),
    prose=True,
)

INTERVAL_LABELS = Schema(
    "interval_labels",
    "ground truth by time and host; a packet that matches none is benign",
    "the person who recorded the capture",
    (
        Column("start", "time", "first moment of the attack"),
        Column("end", "time", "last moment of the attack"),
        Column("source", "text", "attacker's address", empty="any"),
        Column("destination", "text", "victim's address", empty="any"),
        Column("label", "text", "the attack's name"),
    ),
    prose=True,
)

SCHEMAS = (
    PACKETS,
    FEATURES,
    SCORES,
    ANOMALIES,
    LABELLED_PACKETS,
    INCIDENTS,
    NOTICES,
    SUPPRESSIONS,
    FEEDBACK,
    PACKET_LABELS,
    INTERVAL_LABELS,
    FLOW_LABELS,
)
