"""Frames → packet table: what tables.PACKETS says, decoded from the headers. docs/decoding.md tells what is decoded."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa

from netnormal.frames import Frames
from netnormal.kernels import decode as k
from netnormal.kernels import names
from netnormal.tables import TCP_FLAGS

_ETHERTYPES = {
    0x0800: "IPv4",
    0x86DD: "IPv6",
    0x0806: "ARP",
    0x8035: "RARP",
    0x0842: "WoL",
    0x8137: "IPX",
    0x809B: "AppleTalk",
    0x80F3: "AARP",
    0x8809: "Slow",
    0x8847: "MPLS",
    0x8848: "MPLS",
    0x8863: "PPPoE-Discovery",
    0x8864: "PPPoE",
    0x888E: "EAPOL",
    0x8892: "PROFINET",
    0x88A4: "EtherCAT",
    0x88B8: "GOOSE",
    0x88BA: "SV",
    0x88CC: "LLDP",
    0x88E1: "HomePlug",
    0x88E5: "MACsec",
    0x88E7: "PBB",
    0x88F7: "PTP",
    0x8902: "CFM",
    0x8906: "FCoE",
    0x893A: "IEEE1905",
    0x9000: "Loopback",
    k.LLC + 0x42: "STP",
    k.LLC + 0xE0: "IPX",
    k.LLC + 0xF0: "NetBIOS",
    k.LLC + 0xFE: "OSI",
    k.SNAP: "SNAP",
    k.CISCO + 0x2000: "CDP",
    k.CISCO + 0x2003: "VTP",
    k.CISCO + 0x2004: "DTP",
    k.CISCO + 0x010B: "PVST",
    k.CISCO + 0x0111: "UDLD",
    k.PPP + 0x8021: "IPCP",
    k.PPP + 0x8057: "IPv6CP",
    k.PPP + 0xC021: "LCP",
    k.PPP + 0xC023: "PAP",
    k.PPP + 0xC223: "CHAP",
    k.WLAN: "802.11",
    k.SLARP: "SLARP",
    k.FDDI: "FDDI",
    k.NLPID + 0x08: "Q.933",
    k.NLPID + 0x81: "OSI",
    k.NLPID + 0x82: "OSI",
    k.NLPID + 0x83: "OSI",
    k.NLPID + 0xB1: "FRF.12",
}
_NUMBERED = {
    k.LLC: "LLC-0x{:02x}",
    k.CISCO: "Cisco-0x{:04x}",
    k.PPP: "PPP-0x{:04x}",
    k.NLPID: "NLPID-0x{:02x}",
}
_IP_PROTOCOLS = {
    0: "IPv6-HopOpt",
    1: "ICMP",
    2: "IGMP",
    4: "IPv4",
    6: "TCP",
    8: "EGP",
    17: "UDP",
    33: "DCCP",
    41: "IPv6",
    43: "IPv6-Route",
    44: "IPv6-Frag",
    46: "RSVP",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    59: "IPv6-NoNxt",
    60: "IPv6-Opts",
    88: "EIGRP",
    89: "OSPF",
    94: "IPIP",
    97: "EtherIP",
    103: "PIM",
    108: "IPComp",
    112: "VRRP",
    115: "L2TPv3",
    132: "SCTP",
    135: "MobileIPv6",
    136: "UDPLite",
    137: "MPLS-in-IP",
}
_TUNNELS = {k.VXLAN: "VXLAN", k.GENEVE: "Geneve", k.TEREDO: "Teredo", k.GTP: "GTP-U", k.L2TP: "L2TP"}
_REASONS = {
    k.BAD_LINK_TYPE: "link type {}",
    k.BAD_FAMILY: "address family {}",
    k.BAD_HARDWARE: "hardware type {}",
    k.SHORT_LINK: "truncated link header",
    k.SHORT_TAG: "truncated header between link and network",
    k.SHORT_IPV4: "truncated IPv4 header",
    k.SHORT_IPV6: "truncated IPv6 header",
    k.SHORT_EXTENSION: "truncated extension header",
    k.SHORT_ARP: "truncated ARP",
    k.SHORT_TCP: "truncated TCP header",
    k.SHORT_UDP: "truncated UDP header",
    k.SHORT_SCTP: "truncated SCTP header",
    k.SHORT_ICMP: "truncated ICMP header",
    k.BAD_VERSION: "IP version {}",
    k.BAD_IPV4_HEADER: "impossible IPv4 header length",
    k.BAD_IPV4_LENGTH: "impossible IPv4 total length",
    k.BAD_TCP_HEADER: "impossible TCP header length",
    k.BAD_UDP_LENGTH: "impossible UDP length",
    k.ENCRYPTED: "encrypted 802.11",
    k.WLAN_PART: "part or aggregate of 802.11 frames",
}


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


def _network(code: int) -> str:
    if code in _ETHERTYPES:
        return _ETHERTYPES[code]
    return _NUMBERED.get(code & ~0xFFFF, "0x{:04x}").format(code & 0xFFFF)


def _protocol(code: int) -> str:
    """`code`: an IP protocol number, or 256 + what `_network` takes."""
    return _IP_PROTOCOLS.get(code, str(code)) if code < 256 else _network(code - 256)


def _flags(bits: int) -> str:
    return "".join(letter for bit, letter in enumerate(TCP_FLAGS) if bits >> bit & 1) or "-"


def _tunnel(code: int) -> str:
    return _TUNNELS.get(code) or _IP_PROTOCOLS[code]


def _reason(code: int) -> str:
    return _REASONS[code & 0xFF].format(code >> 8)


def _address(packed: bytes) -> str:
    return (
        socket.inet_ntop(socket.AF_INET, packed[1:5])
        if packed[0] == 4
        else socket.inet_ntop(socket.AF_INET6, packed[1:])
    )


def _text(codes: np.ndarray, spelling: Callable[[int], str]) -> pd.Categorical:
    """Numbers as text, -1 as empty. The spelling is asked once per number, and may be the same for several."""
    index, found = pd.factorize(codes)
    return _categorical(index, [spelling(int(code)) if code >= 0 else None for code in found])


def _categorical(index: np.ndarray, words: list[str | None]) -> pd.Categorical:
    """words[index], None as empty, equal words as one category."""
    place: dict[str, int] = {}
    to = np.array([-1 if word is None else place.setdefault(word, len(place)) for word in words], np.int64)
    return _coded(to[index], list(place))


def _coded(codes: np.ndarray, words: list[str]) -> pd.Categorical:
    kind = _kind(tuple(words)) if len(words) <= _FEW else pd.CategoricalDtype(pd.Index(words, dtype="str"))
    return pd.Categorical.from_codes(codes, dtype=kind)


_FEW = 32  # words that are worth remembering: protocols, flags, the hardware of a small network


@lru_cache(1024)
def _kind(words: tuple[str, ...]) -> pd.CategoricalDtype:
    """Making one takes longer than all else about a small block."""
    return pd.CategoricalDtype(pd.Index(words, dtype="str"))


def _addresses(packed: np.ndarray) -> pd.Categorical:
    """uint8[n, 17] (family, address) as text, family 0 as empty."""
    values = pa.FixedSizeBinaryArray.from_buffers(pa.binary(17), len(packed), [None, pa.py_buffer(packed)])
    encoded = values.dictionary_encode()
    words = [_address(word) if word[0] else None for word in encoded.dictionary.to_pylist()]
    return _categorical(encoded.indices.to_numpy(), words)


def _spelt(
    data: np.ndarray, n: int, rows: np.ndarray, at: np.ndarray, size: np.ndarray, labels: bool
) -> pd.Categorical:
    """The names at `at` (-1: none), whose spellings have `size` bytes, as the text of `rows` among n."""
    there = at >= 0
    ends = np.zeros(int(there.sum()) + 1, np.int64)
    np.cumsum(size[there], out=ends[1:])
    into = np.empty(ends[-1], np.uint8)
    names.spell(data, at[there], labels, into)
    words = pa.LargeStringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(into)).dictionary_encode()
    codes = np.full(n, -1, np.int64)
    codes[rows[there]] = words.indices.to_numpy()
    return _coded(codes, words.dictionary.to_pylist())


_ETHERNET = 1  # LINKTYPE_ETHERNET


def prepare() -> None:
    """Compile the kernels now, rather than while packets wait in a live socket."""
    none, one = np.zeros(0, np.int64), np.zeros(1, np.int64)
    Decoder().decode(Frames(np.zeros(0, np.uint8), none, none, none, none, none.astype(np.int32)))
    Decoder().decode(Frames(np.zeros(0, np.uint8), one, one, one, one, one.astype(np.int32)))


class Decoder:
    """Frames → rows of tables.PACKETS, numbered on from block to block.

    packets: decoded so far. undecoded: how many of them stopped early, by reason.
    """

    def __init__(self) -> None:
        self.packets = 0
        self.undecoded: Counter[str] = Counter()

    def decode(self, frames: Frames) -> pd.DataFrame:
        """One row per frame, in their order. Raises ValueError if a frame does not lie within frames.data."""
        n, data = len(frames), frames.data
        if n and (
            frames.offset.min() < 0 or frames.captured.min() < 0 or (frames.offset + frames.captured).max() > data.size
        ):
            raise ValueError("a frame lies outside the data of its block")
        o = np.full((k.FIELDS, n), -1, np.int64)
        address = np.zeros((2, n, 17), np.uint8)
        kind, begin = np.full((2, n), -1, np.int64)
        if (frames.link_type == _ETHERNET).all():
            k.ethernet(data, frames.offset, frames.captured, o, kind, begin)
        else:
            k.links(data, frames.offset, frames.captured, frames.link_type, o, kind, begin)
        k.decode(data, frames.offset, frames.captured, frames.length, o, address, kind, begin)

        rows = np.flatnonzero(o[k.DNS_AT] >= 0)
        kind, rcode, at, size = np.full((4, len(rows)), -1, np.int64)
        names.questions(data, o[k.DNS_AT, rows], o[k.DNS_END, rows], o[k.PROTOCOL, rows] == 6, kind, rcode, at, size)
        dns_type, dns_rcode = np.full((2, n), -1, np.int64)
        dns_type[rows], dns_rcode[rows] = kind, rcode
        query = _spelt(data, n, rows, at, size, True)

        rows = np.flatnonzero(o[k.HELLO_AT] >= 0)
        at, size = np.full((2, len(rows)), -1, np.int64)
        names.server_names(data, o[k.HELLO_AT, rows], o[k.HELLO_END, rows], at, size)
        server = _spelt(data, n, rows, at, size, False)

        undecoded = _text(o[k.UNDECODED], _reason)
        counts = np.bincount(undecoded.codes + 1, minlength=1)[1:]
        self.undecoded.update(dict(zip(undecoded.categories, counts.tolist(), strict=True)))
        network = o[k.NETWORK]
        protocol = np.where(o[k.PROTOCOL] >= 0, o[k.PROTOCOL], np.where(network >= 0, network + 256, -1))
        first = self.packets + 1
        self.packets += n
        columns = {
            "packet": np.arange(first, first + n, dtype=np.int64),
            "time": frames.time,
            "length": frames.length,
            "captured": frames.captured,
            "src_mac": _text(o[k.SRC_MAC], _mac),
            "dst_mac": _text(o[k.DST_MAC], _mac),
            "vlan": o[k.VLAN],
            "network": _text(network, _network),
            "src_ip": _addresses(address[0]),
            "dst_ip": _addresses(address[1]),
            "protocol": _text(protocol, _protocol),
            "src_port": o[k.SRC_PORT],
            "dst_port": o[k.DST_PORT],
            "ttl": o[k.TTL],
            "fragment": o[k.FRAGMENT],
            "tcp_flags": _text(o[k.TCP_FLAGS], _flags),
            "tcp_window": o[k.TCP_WINDOW],
            "payload": o[k.PAYLOAD],
            "icmp_type": o[k.ICMP_TYPE],
            "icmp_code": o[k.ICMP_CODE],
            "arp_operation": o[k.ARP_OPERATION],
            "dns_query": query,
            "dns_type": dns_type,
            "dns_rcode": dns_rcode,
            "server_name": server,
            "tunnel": _text(o[k.TUNNEL], _tunnel),
            "undecoded": undecoded,
        }
        return pd.DataFrame(columns, copy=False)
