"""Frames as rows of the packet table: every protocol as it should come out, and no byte read beyond a frame."""

from __future__ import annotations

import pytest
import reference_decode as make
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.dot11 import Dot11, Dot11Beacon, Dot11QoS, RadioTap
from scapy.layers.igmp import IGMP
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import (
    ARP,
    GRE,
    LLC,
    SNAP,
    STP,
    CookedLinux,
    CookedLinuxV2,
    Dot1AD,
    Dot1Q,
    Dot3,
    Ether,
    Loopback,
)
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.layers.tls.extensions import ServerName, TLS_Ext_ServerName
from scapy.layers.tls.handshake import TLSClientHello
from scapy.layers.tls.record import TLS
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from netnormal import packets, tables

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
E = Ether(src=A, dst=B)
V4, V6 = IP(src="10.0.0.1", dst="192.0.2.9", ttl=61), IPv6(src="fd00::1", dst="2001:db8::9", hlim=62)
T = TCP(sport=40000, dport=443, flags="PA", window=512)
U = UDP(sport=40001, dport=9999)
MACS = {"src_mac": A, "dst_mac": B}
IP4 = {"network": "IPv4", "src_ip": "10.0.0.1", "dst_ip": "192.0.2.9", "ttl": 61, "fragment": 0}
IP6 = {"network": "IPv6", "src_ip": "fd00::1", "dst_ip": "2001:db8::9", "ttl": 62, "fragment": 0}
TCP_ = {"protocol": "TCP", "src_port": 40000, "dst_port": 443, "tcp_flags": "PA", "tcp_window": 512}
UDP_ = {"protocol": "UDP", "src_port": 40001, "dst_port": 9999}
HELLO = TLS(msg=[TLSClientHello(ext=[TLS_Ext_ServerName(servernames=[ServerName(servername=b"WWW.Example.org")])])])
INNER = IP(src="172.16.0.1", dst="172.16.0.2") / TCP()


def dns(name: bytes = b"Www.Example.ORG.", **more: object) -> DNS:
    return DNS(qd=DNSQR(qname=name, qtype=28), **more)


# what it is: (frame, link type, every cell that is not empty, but packet, time, length and captured)
CASES: dict[str, tuple[Packet | bytes, int, dict[str, object]]] = {
    "TCP": (E / V4 / T / b"12345", 1, MACS | IP4 | TCP_ | {"payload": 5}),
    "TCP over IPv6": (E / V6 / T / b"12345", 1, MACS | IP6 | TCP_ | {"payload": 5}),
    "TCP with options": (
        E / V4 / TCP(sport=40000, dport=443, flags="PA", window=512, options=[("MSS", 1460), ("WScale", 7)]) / b"1",
        1,
        MACS | IP4 | TCP_ | {"payload": 1},
    ),
    "TCP with every flag": (
        E / V4 / TCP(sport=1, dport=2, flags=0x1FF, window=0),
        1,
        MACS
        | IP4
        | {"protocol": "TCP", "src_port": 1, "dst_port": 2, "tcp_flags": "FSRPAUECN", "tcp_window": 0, "payload": 0},
    ),
    "TCP without a flag": (
        E / V4 / TCP(sport=1, dport=2, flags=0, window=7),
        1,
        MACS | IP4 | {"protocol": "TCP", "src_port": 1, "dst_port": 2, "tcp_flags": "-", "tcp_window": 7, "payload": 0},
    ),
    "Ethernet padding is no payload": (E / V4 / T / b"", 1, MACS | IP4 | TCP_ | {"payload": 0}),
    "IPv4 options": (
        E / IP(src="10.0.0.1", dst="192.0.2.9", ttl=61, options=[IPOption_Router_Alert()]) / T / b"12",
        1,
        MACS | IP4 | TCP_ | {"payload": 2},
    ),
    "first fragment": (
        E
        / IP(src="10.0.0.1", dst="192.0.2.9", ttl=61, flags="MF")
        / UDP(sport=40001, dport=9999, len=4000)
        / (b"x" * 100),
        1,
        MACS | IP4 | UDP_ | {"payload": 100, "fragment": 1},
    ),
    "later fragment has no ports": (
        E / IP(src="10.0.0.1", dst="192.0.2.9", ttl=61, frag=100, proto=17) / (b"x" * 100),
        1,
        MACS | IP4 | {"protocol": "UDP", "payload": 100, "fragment": 2},
    ),
    "UDP": (E / V4 / U / b"123", 1, MACS | IP4 | UDP_ | {"payload": 3}),
    "SCTP": (
        E / V4 / SCTP(sport=5, dport=6) / SCTPChunkInit(),
        1,
        MACS | IP4 | {"protocol": "SCTP", "src_port": 5, "dst_port": 6, "payload": 20},
    ),
    "ICMP": (
        E / V4 / ICMP(type=3, code=1) / b"12",
        1,
        MACS | IP4 | {"protocol": "ICMP", "icmp_type": 3, "icmp_code": 1, "payload": 10},
    ),
    "an ICMP error is no packet of the quoted conversation": (
        E / V4 / ICMP(type=3, code=3) / INNER,
        1,
        MACS | IP4 | {"protocol": "ICMP", "icmp_type": 3, "icmp_code": 3, "payload": 48},
    ),
    "ICMPv6": (
        E / V6 / ICMPv6EchoRequest(),
        1,
        MACS | IP6 | {"protocol": "ICMPv6", "icmp_type": 128, "icmp_code": 0, "payload": 8},
    ),
    "neighbour solicitation": (
        E / V6 / ICMPv6ND_NS(tgt="fd00::2"),
        1,
        MACS | IP6 | {"protocol": "ICMPv6", "icmp_type": 135, "icmp_code": 0, "payload": 24},
    ),
    "IGMP": (E / V4 / IGMP(), 1, MACS | IP4 | {"protocol": "IGMP", "payload": 8}),
    "a protocol without a name": (
        E / IP(src="10.0.0.1", dst="192.0.2.9", ttl=61, proto=200) / b"123",
        1,
        MACS | IP4 | {"protocol": "200", "payload": 3},
    ),
    "ARP": (
        E / ARP(op=2, psrc="10.0.0.1", pdst="10.0.0.2"),
        1,
        MACS | {"network": "ARP", "protocol": "ARP", "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "arp_operation": 2},
    ),
    "ARP of no IPv4": (
        E / ARP(ptype=0x1234, op=1),
        1,
        MACS | {"network": "ARP", "protocol": "ARP", "arp_operation": 1},
    ),
    "LLDP": (Ether(src=A, dst=B, type=0x88CC) / b"1", 1, MACS | {"network": "LLDP", "protocol": "LLDP"}),
    "an EtherType without a name": (
        Ether(src=A, dst=B, type=0x1234) / b"1",
        1,
        MACS | {"network": "0x1234", "protocol": "0x1234"},
    ),
    "VLAN": (E / Dot1Q(vlan=42) / V4 / T, 1, MACS | IP4 | TCP_ | {"vlan": 42, "payload": 0}),
    "QinQ: the outermost": (
        E / Dot1AD(vlan=7) / Dot1Q(vlan=42) / V6 / U,
        1,
        MACS | IP6 | UDP_ | {"vlan": 7, "payload": 0},
    ),
    "MPLS": (
        Ether(src=A, dst=B, type=0x8847) / MPLS(label=5, s=0) / MPLS(label=6, s=1) / V4 / T,
        1,
        MACS | IP4 | TCP_ | {"payload": 0},
    ),
    "an MPLS pseudowire stays closed": (
        Ether(src=A, dst=B, type=0x8847) / MPLS(label=5, s=1) / Raw(b"\0\0\0\0" + bytes(E / V4 / T)),
        1,
        MACS | {"network": "MPLS", "protocol": "MPLS"},
    ),
    "PPPoE": (E / PPPoE(sessionid=3) / PPP() / V4 / T / b"1", 1, MACS | IP4 | TCP_ | {"payload": 1}),
    "802.3 and SNAP": (Dot3(src=A, dst=B) / LLC() / SNAP() / V4 / T, 1, MACS | IP4 | TCP_ | {"payload": 0}),
    "spanning tree": (Dot3(src=A, dst=B) / LLC() / STP(), 1, MACS | {"network": "STP", "protocol": "STP"}),
    "IPv6 extension headers": (
        E / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(addresses=["fd00::7"]) / IPv6ExtHdrDestOpt() / T / b"123",
        1,
        MACS | IP6 | TCP_ | {"payload": 3},
    ),
    "IPv6 first fragment": (
        E / V6 / IPv6ExtHdrFragment(m=1) / U / (b"x" * 8),
        1,
        MACS | IP6 | UDP_ | {"payload": 8, "fragment": 1},
    ),
    "IPv6 later fragment": (
        E / V6 / IPv6ExtHdrFragment(offset=9, nh=6) / (b"x" * 8),
        1,
        MACS | IP6 | {"protocol": "TCP", "payload": 8, "fragment": 2},
    ),
    "AH": (E / V6 / AH(nh=6, payloadlen=4, icv=b"123456789012") / T / b"12", 1, MACS | IP6 | TCP_ | {"payload": 2}),
    "GRE": (E / V4 / GRE() / INNER, 1, MACS | IP4 | {"protocol": "GRE", "payload": 44, "tunnel": "GRE"}),
    "IP in IP": (E / V4 / INNER, 1, MACS | IP4 | {"protocol": "IPv4", "payload": 40, "tunnel": "IPv4"}),
    "6in4": (E / V4 / V6 / T, 1, MACS | IP4 | {"protocol": "IPv6", "payload": 60, "tunnel": "IPv6"}),
    "VXLAN": (
        E / V4 / UDP(sport=40001, dport=4789) / VXLAN(vni=7) / E / INNER,
        1,
        MACS | IP4 | {"protocol": "UDP", "src_port": 40001, "dst_port": 4789, "payload": 62, "tunnel": "VXLAN"},
    ),
    "Geneve": (
        E / V4 / UDP(sport=40001, dport=6081) / GENEVE(vni=7) / E / INNER,
        1,
        MACS | IP4 | {"protocol": "UDP", "src_port": 40001, "dst_port": 6081, "payload": 62, "tunnel": "Geneve"},
    ),
    "DNS query": (
        E / V4 / UDP(sport=40001, dport=53) / dns(),
        1,
        MACS
        | IP4
        | {
            "protocol": "UDP",
            "src_port": 40001,
            "dst_port": 53,
            "payload": 33,
            "dns_query": "www.example.org",
            "dns_type": 28,
        },
    ),
    "DNS response": (
        E / V6 / UDP(sport=53, dport=40001) / dns(qr=1, rcode=3),
        1,
        MACS
        | IP6
        | {
            "protocol": "UDP",
            "src_port": 53,
            "dst_port": 40001,
            "payload": 33,
            "dns_query": "www.example.org",
            "dns_type": 28,
            "dns_rcode": 3,
        },
    ),
    "mDNS response without a question": (
        E / V4 / UDP(sport=5353, dport=5353) / DNS(qr=1, qd=[], an=DNSRR(rrname=b"x.local", rdata="10.0.0.1")),
        1,
        MACS | IP4 | {"protocol": "UDP", "src_port": 5353, "dst_port": 5353, "payload": 35, "dns_rcode": 0},
    ),
    "DNS over TCP": (
        E / V4 / TCP(sport=40000, dport=53, flags="PA", window=512) / (b"\0\x21" + bytes(dns())),
        1,
        MACS | IP4 | TCP_ | {"dst_port": 53, "payload": 35, "dns_query": "www.example.org", "dns_type": 28},
    ),
    "the middle of a TCP stream on port 53 is no DNS": (
        E
        / V4
        / TCP(sport=40000, dport=53, flags="PA", window=512)
        / (b"\0\x40" + b"some other bytes of a long answer, as they come"),
        1,
        MACS | IP4 | TCP_ | {"dst_port": 53, "payload": 49},
    ),
    "TLS server name": (
        E / V4 / T / HELLO,
        1,
        MACS | IP4 | TCP_ | {"payload": len(HELLO), "server_name": "www.example.org"},
    ),
    "raw IPv4": (V4 / T, 101, IP4 | TCP_ | {"payload": 0}),
    "raw IPv6": (V6 / U, 101, IP6 | UDP_ | {"payload": 0}),
    "raw IP of BSD": (V4 / T, 12, IP4 | TCP_ | {"payload": 0}),
    "LINKTYPE_IPV4": (V4 / T, 228, IP4 | TCP_ | {"payload": 0}),
    "LINKTYPE_IPV6": (V6 / T, 229, IP6 | TCP_ | {"payload": 0}),
    "NULL, little endian": (b"\x02\0\0\0" + bytes(V4 / T), 0, IP4 | TCP_ | {"payload": 0}),
    "NULL, big endian": (b"\0\0\0\x1e" + bytes(V6 / T), 0, IP6 | TCP_ | {"payload": 0}),
    "LOOP": (Loopback(type=2) / V4 / T, 108, IP4 | TCP_ | {"payload": 0}),
    "Linux cooked": (
        CookedLinux(src=bytes.fromhex("02000000000a0000"), lladdrlen=6, proto=0x800) / V4 / T,
        113,
        IP4 | TCP_ | {"src_mac": A, "payload": 0},
    ),
    "Linux cooked 2": (
        CookedLinuxV2(src=bytes.fromhex("02000000000a0000"), lladdrlen=6, proto=0x86DD) / V6 / T,
        276,
        IP6 | TCP_ | {"src_mac": A, "payload": 0},
    ),
    "PPP": (b"\xff\x03\x00\x21" + bytes(V4 / T), 9, IP4 | TCP_ | {"payload": 0}),
    "PPP, compressed header": (b"\x21" + bytes(V4 / T), 9, IP4 | TCP_ | {"payload": 0}),
    "PPP over HDLC": (b"\xff\x03\x00\x57" + bytes(V6 / T), 50, IP6 | TCP_ | {"payload": 0}),
    "Cisco HDLC": (b"\x0f\x00\x08\x00" + bytes(V4 / T), 50, IP4 | TCP_ | {"payload": 0}),
    "PPPoE without Ethernet": (PPPoE(sessionid=3) / PPP() / V4 / T, 51, IP4 | TCP_ | {"payload": 0}),
    "link control of PPP": (b"\xff\x03\xc0\x21\x01\x01\x00\x04", 9, {"network": "LCP", "protocol": "LCP"}),
    "frame relay": (b"\x18\x41\x03\xcc" + bytes(V4 / T), 107, IP4 | TCP_ | {"payload": 0}),
    "802.11 data to the access point": (
        Dot11(type=2, FCfield=1, addr1="02:00:00:00:00:01", addr2=A, addr3=B) / LLC() / SNAP() / V4 / T,
        105,
        MACS | IP4 | TCP_ | {"payload": 0},
    ),
    "802.11 QoS data from the access point, with radiotap": (
        RadioTap()
        / Dot11(type=2, subtype=8, FCfield=2, addr1=B, addr2="02:00:00:00:00:01", addr3=A)
        / Dot11QoS()
        / LLC()
        / SNAP()
        / V6
        / U,
        127,
        MACS | IP6 | UDP_ | {"payload": 0},
    ),
    "encrypted 802.11": (
        Dot11(type=2, FCfield=0x41, addr1="02:00:00:00:00:01", addr2=A, addr3=B) / Raw(b"x" * 40),
        105,
        MACS | {"network": "802.11", "protocol": "802.11", "undecoded": "encrypted 802.11"},
    ),
    "802.11 beacon": (
        RadioTap() / Dot11(type=0, subtype=8, addr1=B, addr2=A, addr3=A) / Dot11Beacon(),
        127,
        MACS | {"network": "802.11", "protocol": "802.11"},
    ),
    "802.11 acknowledgement": (
        b"\xd4\0\0\0" + bytes.fromhex(B.replace(":", "")),
        105,
        {"dst_mac": B, "network": "802.11", "protocol": "802.11"},
    ),
    "a link type that we do not know": (b"anything", 147, {"undecoded": "link type 147"}),
    "an address family that we do not know": (b"\x63\0\0\0" + bytes(40), 0, {"undecoded": "address family 99"}),
    "no bytes at all": (b"", 1, {"undecoded": "truncated link header"}),
    "IP version 5": (b"\x55" * 40, 101, {"undecoded": "IP version 5"}),
}
RAW = {name: (bytes(frame), link) for name, (frame, link, _) in CASES.items()}
_ALWAYS = ("packet", "time", "length", "captured")


@pytest.mark.parametrize("name", CASES)
def test_a_packet_comes_out_as(name):
    raw, link = RAW[name]
    row = make.row_of(raw + (b"\0" * 6 if name.startswith("Ethernet padding") else b""), link)
    assert {key: value for key, value in row.items() if key not in _ALWAYS} == CASES[name][2]


CUTS = {
    13: "truncated link header",
    14: "truncated IPv4 header",
    33: "truncated IPv4 header",
    34: "truncated TCP header",
    37: "truncated TCP header",
    53: "truncated TCP header",
}


@pytest.mark.parametrize("cut", range(0, 60))
def test_a_packet_cut_by_the_snap_length_keeps_what_is_known(cut):
    whole = bytes(E / V4 / T / b"123456")
    row = make.row_of(whole[:cut], 1, wire=len(whole))
    if cut in CUTS:
        assert row["undecoded"] == CUTS[cut]
    assert row["length"] == 60
    assert ("src_mac" in row) == (cut >= 14)
    assert ("src_ip" in row) == (cut >= 34)
    assert ("dst_port" in row) == (cut >= 38)
    assert ("tcp_flags" in row) == (cut >= 48)
    assert ("undecoded" in row) == (cut < 54)
    if "payload" in row:
        assert row["payload"] == 6


def test_lengths_left_to_the_network_card_are_taken_from_the_wire():
    for frame in (E / V4 / T / (b"x" * 3000), E / V6 / T / (b"x" * 3000)):
        raw = bytearray(bytes(frame))
        raw[16 if raw[12] == 8 else 18 : 18 if raw[12] == 8 else 20] = b"\0\0"
        assert make.row_of(bytes(raw[:128]), 1, wire=len(raw))["payload"] == 3000


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({14: 0x44}, "impossible IPv4 header length"),
        ({14: 0x95}, "IP version 9"),
        ({16: 0, 17: 19}, "impossible IPv4 total length"),
        ({46: 0x40}, "impossible TCP header length"),
        ({46: 0xF0}, "impossible TCP header length"),
    ],
)
def test_impossible_lengths_are_said_and_counted(edit, reason):
    raw = bytearray(bytes(E / V4 / T / b"123456"))
    for at, byte in edit.items():
        raw[at] = byte
    decoder = packets.Decoder()
    decoder.decode(make.frames_of([bytes(raw), bytes(E / V4 / T)]))
    assert decoder.undecoded == {reason: 1}


# ---------------------------------------------------------------- names


def query(name: bytes, tail: bytes = b"\0\x10\0\x01", sport: int = 9) -> dict[str, object]:
    message = b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + tail
    return make.row_of(bytes(E / V4 / UDP(sport=sport, dport=53) / message))


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        (b"\0", "."),
        (b"\3a.b\1c\0", r"a\046b.c"),
        (b'\5a,"b\\\0', r"a\044\034b\092"),
        (b"\4\0\n\xff \0", r"\000\010\255\032"),
        (b"\4=1+1\0", r"\0611\0431"),
        (b"\77" + b"A" * 63 + b"\0", "a" * 63),
        ((b"\77" + b"a" * 63) * 3 + b"\75" + b"b" * 61 + b"\0", ".".join(["a" * 63] * 3 + ["b" * 61])),
    ],
)
def test_names_are_spelt_so_that_no_byte_of_them_means_anything_in_a_csv(name, spelt):
    assert query(name)["dns_query"] == spelt


@pytest.mark.parametrize(
    "name",
    [
        b"",  # nothing
        b"\3abc",  # no end
        b"\x40abc\0",  # a label of 64
        b"\xc0\x0c",  # points to itself
        b"\1a\xc0\x0c",  # a loop
        (b"\77" + b"a" * 63) * 3 + b"\76" + b"b" * 62 + b"\0",  # 256 bytes
    ],
)
def test_a_damaged_question_gives_no_name(name):
    row = query(name, b"" if name in (b"", b"\3abc") else b"\0\1\0\1")
    assert "dns_query" not in row
    assert "dns_type" not in row
    assert "undecoded" not in row


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=0, max_size=70), max_size=6), st.binary(max_size=6), st.booleans())
def test_questions_agree_with_the_slow_twin(labels, tail, whole):
    name = b"".join(bytes([len(label)]) + label for label in labels) + (b"\0" if whole else b"")
    message = b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + tail
    row = make.row_of(bytes(E / V4 / UDP(sport=9, dport=53) / message))
    expected = make.question(message)
    assert (row.get("dns_query"), row.get("dns_type")) == (expected or (None, None))


def test_a_hello_cut_before_its_server_name_gives_none_and_after_it_the_name():
    raw = bytes(E / V4 / T / HELLO)
    end = raw.index(b"WWW.Example.org") + len(b"WWW.Example.org")
    for cut in range(54, len(raw)):
        row = make.row_of(raw[:cut], 1, wire=len(raw))
        assert row.get("server_name") == ("www.example.org" if cut >= end else None)
        assert row["payload"] == len(HELLO)


# ---------------------------------------------------------------- against scapy

ports = st.integers(0, 65535).filter(lambda p: p not in (53, 1701, 2152, 3544, 4789, 5353, 5355, 6081))
v4 = st.integers(1, 2**32 - 1).map(lambda n: ".".join(str(n >> s & 255) for s in (24, 16, 8, 0)))
mac = st.binary(min_size=6, max_size=6).map(lambda b: b.hex(":"))


@st.composite
def scapy_packets(draw: st.DrawFn) -> Packet:
    frame: Packet = Ether(src=draw(mac), dst=draw(mac))
    for vlan in draw(st.lists(st.integers(0, 4095), max_size=2)):
        frame /= Dot1Q(vlan=vlan)
    options = [IPOption_Router_Alert()] * draw(st.integers(0, 3))
    if draw(st.booleans()):
        frame /= IP(
            src=draw(v4), dst=draw(v4), ttl=draw(st.integers(0, 255)), options=options, id=draw(st.integers(0, 65535))
        )
    else:
        sixteen = st.binary(min_size=16, max_size=16).map(
            lambda b: ":".join(b[i : i + 2].hex() for i in range(0, 16, 2))
        )
        frame /= IPv6(src=draw(sixteen), dst=draw(sixteen), hlim=draw(st.integers(0, 255)))
        for _ in range(draw(st.integers(0, 2))):
            frame /= draw(st.sampled_from([IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment()]))
    sport, dport = draw(ports), draw(ports)
    flags, window = draw(st.integers(0, 511)), draw(st.integers(0, 65535))
    tcp = TCP(sport=sport, dport=dport, flags=flags, window=window, options=[("NOP", None)] * draw(st.integers(0, 9)))
    frame /= draw(st.sampled_from([tcp, UDP(sport=sport, dport=dport), SCTP(sport=sport, dport=dport)]))
    return frame / Raw(b"\x41" * draw(st.integers(0, 90)))


def said_by_scapy(raw: bytes) -> dict[str, object]:
    packet = Ether(raw)
    ip = packet.getlayer(IP) or packet.getlayer(IPv6)
    over = packet.getlayer(TCP) or packet.getlayer(UDP) or packet.getlayer(SCTP)
    row = {"src_mac": packet.src, "dst_mac": packet.dst, "src_ip": ip.src, "dst_ip": ip.dst}
    row |= {
        "ttl": ip.ttl if ip.version == 4 else ip.hlim,
        "protocol": over.name,
        "src_port": over.sport,
        "dst_port": over.dport,
    }
    if Dot1Q in packet:
        row["vlan"] = packet[Dot1Q].vlan
    if TCP in packet:
        bits = int(over.flags)
        row["tcp_flags"] = "".join(c for i, c in enumerate(tables.TCP_FLAGS) if bits >> i & 1) or "-"
        row["tcp_window"] = over.window
    return row | {"payload": len(over.payload)}


@settings(max_examples=250, deadline=None)
@given(scapy_packets())
def test_random_packets_agree_with_scapy(packet):
    raw = bytes(packet)
    expected = said_by_scapy(raw)
    row = make.row_of(raw)
    assert {key: row.get(key) for key in expected} == expected
    assert "undecoded" not in row
