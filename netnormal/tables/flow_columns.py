"""The columns of the flow table, which `netnormal.flows` makes of the packets of one window. It is kept in no file."""

from __future__ import annotations

from netnormal.tables.columns import Column, Schema

#: What became of a flow; `outcome` is the position in this list.
OUTCOMES = ("answered", "refused", "unanswered", "broadcast", "midstream", "notice")

FLOWS = Schema(
    "flows",
    "in memory only: one row per flow (5-tuple, both directions) in one window, in order of first packet. `out` is "
    "from the initiator to the responder",
    "python extract_features.py",
    (
        Column("source", "text", "who initiated: an IP address, else a MAC address, else `-`"),
        Column("destination", "text", "who responded, or was meant to"),
        Column("service", "text", "protocol and, where it has ports, the responder's port: TCP/443, ICMP/8, ARP"),
        Column("protocol", "text", "TCP, UDP, ICMP …: the first part of `service`"),
        Column("src_port", "int", "the initiator's port", empty="no ports", low=0, high=65535),
        Column("dst_port", "int", "the responder's port", empty="no ports", low=0, high=65535),
        Column("first_packet", "time", "time of its first packet in the window"),
        Column("last_packet", "time", "time of its last packet in the window"),
        Column("packets_out", "int", "packets by the initiator", low=0),
        Column("packets_in", "int", "packets by the responder", low=0),
        Column("bytes_out", "int", "bytes on the wire by the initiator", "bytes", low=0),
        Column("bytes_in", "int", "bytes on the wire by the responder", "bytes", low=0),
        Column("payload_out", "int", "payload bytes by the initiator", "bytes", low=0),
        Column("payload_in", "int", "payload bytes by the responder", "bytes", low=0),
        Column("flags_out", "int", "TCP flags the initiator ever set, bits in the order FSRPAUECN from 1", low=0),
        Column("flags_in", "int", "TCP flags the responder ever set", low=0),
        Column("first_flags", "int", "TCP flags of the first packet", empty="no TCP header", low=0),
        Column("syn_out", "int", "SYN without ACK by the initiator", low=0),
        Column("rst_in", "int", "RST by the responder", low=0),
        Column("turns", "int", "times that payload changed its direction", low=0),
        Column("half_open", "int", "1 if SYN and SYN+ACK were seen, and no ACK by the initiator", low=0, high=1),
        Column("handshake_s", "float", "first SYN to first SYN+ACK", "s", empty="not both seen"),
        Column(
            "outcome",
            "int",
            "0 answered (packets both ways), 1 refused (nothing but TCP RST came back), 2 unanswered, 3 broadcast "
            "(to a multicast or broadcast address), 4 midstream (only one direction of what began before the window), "
            "5 notice (an ICMP message that asks for no answer)",
            low=0,
            high=5,
        ),
    ),
)
