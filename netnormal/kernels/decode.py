"""Headers of raw frames → integer columns. Hostile bytes are expected: nothing is read beyond what was captured.

Throughout, `d` are the bytes of a block, `at` is where a header begins, `end` where the captured bytes of the frame
end, `wire` where the frame ended on the wire, and `o[FIELD, i]` what is known of packet i; -1 stands for nothing.
"""

import numpy as np
from numba import njit

# rows of the output
(
    SRC_MAC,
    DST_MAC,
    VLAN,
    NETWORK,
    PROTOCOL,
    SRC_PORT,
    DST_PORT,
    TTL,
    FRAGMENT,
    TCP_FLAGS,
    TCP_WINDOW,
    PAYLOAD,
    ICMP_TYPE,
    ICMP_CODE,
    ARP_OPERATION,
    TUNNEL,
    UNDECODED,
    DNS_AT,  # where a DNS message, and where a TLS handshake, begins and ends: for kernels/names.py
    DNS_END,
    HELLO_AT,
    HELLO_END,
) = range(21)
FIELDS = 21

# NETWORK holds an EtherType, or one of these plus a number of its own kind
LLC, SNAP, CISCO, PPP, WLAN, SLARP, NLPID = 0x10000, 0x20000, 0x30000, 0x40000, 0x50000, 0x60000, 0x70000
FDDI = 0x80000
# what comes next is not named by an EtherType
_LLC_NEXT, _PPP_NEXT, _IP_NEXT, _CHDLC_NEXT, _DONE = -2, -3, -4, -5, -1

# UNDECODED holds one of these plus 256 times a number that belongs to it
(
    BAD_LINK_TYPE,
    BAD_FAMILY,
    SHORT_LINK,
    SHORT_TAG,
    SHORT_IPV4,
    SHORT_IPV6,
    SHORT_EXTENSION,
    SHORT_ARP,
    SHORT_TCP,
    SHORT_UDP,
    SHORT_SCTP,
    SHORT_ICMP,
    BAD_VERSION,
    BAD_IPV4_HEADER,
    BAD_IPV4_LENGTH,
    BAD_TCP_HEADER,
    BAD_UDP_LENGTH,
    BAD_HARDWARE,
    ENCRYPTED,
    WLAN_PART,
) = range(20)

# tunnels beyond those that have an IP protocol number
VXLAN, GENEVE, TEREDO, GTP, L2TP = 256, 257, 258, 259, 260


@njit(cache=True, nogil=True)
def _u16(d, at):
    return np.int64(d[at]) << 8 | np.int64(d[at + 1])


@njit(cache=True, nogil=True)
def _u32(d, at):
    return _u16(d, at) << 16 | _u16(d, at + 2)


@njit(cache=True, nogil=True)
def _u32_little(d, at):
    return np.int64(d[at]) | np.int64(d[at + 1]) << 8 | np.int64(d[at + 2]) << 16 | np.int64(d[at + 3]) << 24


@njit(cache=True, nogil=True)
def _mac(d, at):
    return _u16(d, at) << 32 | _u32(d, at + 2)


# ---------------------------------------------------------------- link layer: → what comes next, and where


@njit(cache=True, nogil=True)
def _ip_family(family):
    """What follows an address family of BSD, Linux or Windows: IPv4 is 2 everywhere, IPv6 is not."""
    if family == 2:
        return 0x0800
    return 0x86DD if family in (10, 23, 24, 28, 30) else _DONE


@njit(cache=True, nogil=True)
def _cooked(d, at, end, o, i, version):
    """Linux cooked capture, LINKTYPE_LINUX_SLL and _SLL2."""
    header = 16 if version == 1 else 20
    if end - at < header:
        o[UNDECODED, i] = SHORT_LINK
        return _DONE, at
    if version == 1:
        hardware, size, address, kind = _u16(d, at + 2), _u16(d, at + 4), at + 6, _u16(d, at + 14)
    else:
        hardware, size, address, kind = _u16(d, at + 8), np.int64(d[at + 11]), at + 12, _u16(d, at)
    if size == 6:
        o[SRC_MAC, i] = _mac(d, address)
    if hardware in (801, 802, 803, 824, 280):  # for these the protocol field means something else: 802.11, netlink, CAN
        o[UNDECODED, i] = BAD_HARDWARE + 256 * hardware
        return _DONE, at
    if kind == 4:
        return _LLC_NEXT, at + header
    if kind < 0x600:  # Linux's own numbers: 1 is Novell's raw 802.3
        o[NETWORK, i] = LLC + 0xE0 if kind == 1 else kind
        return _DONE, at
    return kind, at + header


@njit(cache=True, nogil=True)
def _nflog(d, at, end):
    """LINKTYPE_NFLOG: where the packet begins among the attributes, which are in either byte order; -1: nowhere."""
    p = at + 4
    while end - p >= 4:
        size, kind = np.int64(d[p]) | np.int64(d[p + 1]) << 8, np.int64(d[p + 2]) | np.int64(d[p + 3]) << 8
        if kind > 255:
            size, kind = _u16(d, p), _u16(d, p + 2)
        if size < 4 or size > end - p:
            break
        if kind == 9:
            return p + 4
        p += (size + 3) & ~3
    return -1


@njit(cache=True, nogil=True)
def _frame_relay(d, at, end):
    """Q.922 address of two bytes or more, then RFC 2427, or Cisco's EtherType."""
    while at < end and d[at] & 1 == 0:
        at += 1
    at += 1
    if end - at < 3:
        return _DONE, at
    if d[at] != 3:
        return max(_u16(d, at), 0x600), at + 2
    at += 2 if d[at + 1] == 0 else 1  # a byte of padding
    if d[at] == 0xCC:
        return 0x0800, at + 1
    if d[at] == 0x8E:
        return 0x86DD, at + 1
    if d[at] == 0x80 and end - at >= 6 and _u16(d, at + 1) == 0 and d[at + 3] == 0:
        return max(_u16(d, at + 4), 0x600), at + 6
    return NLPID + np.int64(d[at]), at


@njit(cache=True, nogil=True)
def _wlan_start(d, at, end, link):
    """Where the 802.11 header begins behind a radiotap, Prism or AVS header; -1 if those are cut."""
    if link == 105:
        return at
    if end - at < 8:
        return -1
    if link == 127:
        return at + (np.int64(d[at + 2]) | np.int64(d[at + 3]) << 8)
    if _u32(d, at) & 0xFFFFF000 == 0x80211000:  # AVS, also under Prism's link type
        return at + _u32(d, at + 4)
    return at + _u32_little(d, at + 4)


@njit(cache=True, nogil=True)
def _radiotap_pads(d, at, start):
    """Whether radiotap says that the 802.11 header is padded to 32 bits (flag 0x20 of its field 1)."""
    present, field = _u32_little(d, at + 4), at + 8
    while d[field - 1] & 0x80 and field + 4 <= start:
        field += 4
    if present & 1:
        field += (at - field) % 8 + 8
    return present & 2 != 0 and field < start and d[field] & 0x20 != 0


@njit(cache=True, nogil=True)
def _wlan(d, begin, end, o, i, link):
    """IEEE 802.11-2020, 9.3: hardware addresses of every frame, contents of data frames that are plain and whole."""
    at = _wlan_start(d, begin, end, link)
    o[NETWORK, i] = WLAN
    if at < 0 or end - at < 10:
        o[UNDECODED, i] = SHORT_LINK
        return _DONE, at
    control, flags = np.int64(d[at]), np.int64(d[at + 1])
    kind, subtype = control >> 2 & 3, control >> 4
    header = 24
    to_ds, from_ds = flags & 1, flags >> 1 & 1
    if kind == 1:
        o[DST_MAC, i] = _mac(d, at + 4)
        if end - at >= 16 and subtype not in (12, 13):  # CTS and ACK name nobody else
            o[SRC_MAC, i] = _mac(d, at + 10)
        return _DONE, at
    if kind == 2:
        if to_ds and from_ds:
            header = 30
        if subtype & 8:
            header += 6 if flags & 0x80 else 2
    if end - at < header or kind == 3:
        o[UNDECODED, i] = SHORT_LINK
        return _DONE, at
    o[DST_MAC, i] = _mac(d, at + (16 if to_ds and kind == 2 else 4))
    source = 10
    if kind == 2 and from_ds:
        source = 24 if to_ds else 16
    o[SRC_MAC, i] = _mac(d, at + source)
    if kind != 2 or subtype & 4:  # management, and data frames without data
        return _DONE, at
    if flags & 0x40:
        o[UNDECODED, i] = ENCRYPTED
        return _DONE, at
    aggregate = subtype & 8 and d[at + (30 if to_ds and from_ds else 24)] & 0x80
    if flags & 4 or d[at + 22] & 15 or aggregate:
        o[UNDECODED, i] = WLAN_PART
        return _DONE, at
    if link == 127 and _radiotap_pads(d, begin, at):
        header += -header % 4
    o[NETWORK, i] = -1
    return _LLC_NEXT, at + header


@njit(cache=True, nogil=True)
def _ethernet(d, at, end, o, i):
    """As _link, for Ethernet."""
    if end - at < 14:
        o[UNDECODED, i] = SHORT_LINK
        return _DONE, at
    o[DST_MAC, i], o[SRC_MAC, i] = _mac(d, at), _mac(d, at + 6)
    return _u16(d, at + 12), at + 14


@njit(cache=True, nogil=True)
def _link(d, at, end, o, i, link):
    """Read the link header; return what comes next (an EtherType or a _NEXT) and where, or _DONE."""
    if link in (149, 258) and end - at >= 12 and _u32_little(d, at + 4) == 1:  # PKTAP: the true link type is inside
        header = _u32_little(d, at)
        if 12 <= header <= end - at:
            link = _u32_little(d, at + 8)
            at += header
    if link == 1:
        return _ethernet(d, at, end, o, i)
    need = 0
    if link in (0, 108, 50, 104):
        need = 4
    elif link in (9, 51):
        need = 2
    elif link == 166:
        need = 3
    elif link == 10:
        need = 13
    elif link == 242:
        need = 44
    elif link in (12, 14, 101, 228, 229):
        need = 1
    if end - at < need:
        o[UNDECODED, i] = SHORT_LINK
        return _DONE, at
    if link in (12, 14, 101, 228, 229):
        return _IP_NEXT, at
    if link in (0, 108):
        family = _u32(d, at)
        family = family if family < 0x10000 else _u32_little(d, at)
        kind = _ip_family(family)
        if kind == _DONE and _u16(d, at + 2) in (0x0800, 0x86DD):  # some wrote an EtherType instead
            kind = _u16(d, at + 2)
        if kind == _DONE:
            o[UNDECODED, i] = BAD_FAMILY + 256 * family
        return kind, at + 4
    if link == 113:
        return _cooked(d, at, end, o, i, 1)
    if link == 276:
        return _cooked(d, at, end, o, i, 2)
    if link == 104 or (link in (9, 50) and d[at] in (0x0F, 0x8F) and d[at + 1] == 0):
        return _CHDLC_NEXT, at + 2
    if link in (9, 50, 166):
        at += link == 166
        return _PPP_NEXT, at + 2 if d[at] == 0xFF and d[at + 1] == 0x03 else at
    if link == 51:
        return 0x8864, at
    if link == 10:  # FDDI
        o[DST_MAC, i], o[SRC_MAC, i] = _mac(d, at + 1), _mac(d, at + 7)
        if d[at] & 0xF0 == 0x50:
            return _LLC_NEXT, at + 13
        o[NETWORK, i] = FDDI
        return _DONE, at
    if link == 242:  # IP over InfiniBand
        return max(_u16(d, at + 40), 0x600), at + 44
    if link == 107:
        kind, at = _frame_relay(d, at, end)
        if kind == _DONE:
            o[UNDECODED, i] = SHORT_LINK
        return kind, at
    if link == 239:
        at = _nflog(d, at, end)
        if at < 0:
            o[UNDECODED, i] = SHORT_LINK
        return (_IP_NEXT if at >= 0 else _DONE), at
    if link in (105, 119, 127, 163):
        return _wlan(d, at, end, o, i, link)
    o[UNDECODED, i] = BAD_LINK_TYPE + 256 * link
    return _DONE, at


@njit(cache=True, nogil=True)
def ethernet(d, offset, captured, o, kind, begin):
    """`links` for frames that are all Ethernet: most captures need no other link type compiled."""
    for i in range(offset.size):
        kind[i], begin[i] = _ethernet(d, offset[i], offset[i] + captured[i], o, i)


@njit(cache=True, nogil=True)
def links(d, offset, captured, link_type, o, kind, begin):
    """Read the link header of every frame into o; what comes next into kind, and where that begins into begin."""
    for i in range(offset.size):
        kind[i], begin[i] = _link(d, offset[i], offset[i] + captured[i], o, i, link_type[i])


# ---------------------------------------------------------------- between link and network layer


@njit(cache=True, nogil=True)
def _llc(d, at, end):
    """IEEE 802.2 and SNAP: what comes next, or the number of a protocol that is not looked into."""
    if end - at < 3:
        return _DONE, at
    dsap, ssap, control = d[at], d[at + 1], d[at + 2]
    if dsap == 0xFF and ssap == 0xFF:
        return LLC + 0xE0, at  # Novell's raw 802.3
    if dsap == 0x06 and control == 3:
        return 0x0800, at + 3
    if dsap == 0xAA and ssap == 0xAA and control == 3:
        if end - at < 8:
            return _DONE, at
        organisation = _u16(d, at + 3) << 8 | np.int64(d[at + 5])
        if organisation in (0, 0xF8) and _u16(d, at + 6) >= 0x600:
            return _u16(d, at + 6), at + 8
        return (CISCO + _u16(d, at + 6) if organisation == 0x0C else SNAP), at + 8
    return LLC + np.int64(dsap & 0xFE), at


@njit(cache=True, nogil=True)
def _ppp(d, at, end):
    """RFC 1661: the protocol number has one or two bytes."""
    if end - at < 1:
        return _DONE, at
    if d[at] & 1:
        protocol, at = np.int64(d[at]), at + 1
    elif end - at < 2:
        return _DONE, at
    else:
        protocol, at = _u16(d, at), at + 2
    if protocol == 0x0021:
        return 0x0800, at
    if protocol == 0x0057:
        return 0x86DD, at
    if protocol in (0x0281, 0x0283):
        return 0x8847, at
    return PPP + protocol, at


@njit(cache=True, nogil=True)
def _mpls(d, at, end):
    """RFC 3032: a stack of labels; what is below is IP if it looks so (RFC 4928), else stays closed."""
    while end - at >= 4:
        at += 4
        if d[at - 2] & 1:
            if at < end and d[at] >> 4 in (4, 6):
                return _IP_NEXT, at
            return 0x8847, at
    return _DONE, at


@njit(cache=True, nogil=True)
def _between(d, at, end, wire, o, i, kind):
    """Take off tags, labels and sessions until a network protocol comes: (its number or _DONE, where, end, wire)."""
    while True:
        o_kind = kind
        if 0 <= kind <= 1500:  # IEEE 802.3: a length
            wire = min(wire, at + kind)
            end = min(end, wire)
            kind = _LLC_NEXT
        if kind == _LLC_NEXT:
            kind, at = _llc(d, at, end)
        elif kind in (0x8100, 0x88A8, 0x9100):
            if end - at >= 4:
                if o[VLAN, i] < 0:
                    o[VLAN, i] = _u16(d, at) & 0xFFF
                kind, at = _u16(d, at + 2), at + 4
            else:
                kind = _DONE
        elif kind == 0x8926:  # VN-Tag, IEEE 802.1Qbh
            kind, at = (_u16(d, at + 4), at + 6) if end - at >= 6 else (_DONE, at)
        elif kind in (0x8847, 0x8848):
            kind, at = _mpls(d, at, end)
            if kind == 0x8847:
                o[NETWORK, i] = kind
                return _DONE, at, end, wire
        elif kind == 0x8864:  # PPPoE session, RFC 2516
            if end - at < 6:
                kind = _DONE
            elif d[at + 1] != 0:  # discovery
                o[NETWORK, i] = 0x8863
                return _DONE, at, end, wire
            else:
                wire = min(wire, at + 6 + _u16(d, at + 4))
                end = min(end, wire)
                kind, at = _PPP_NEXT, at + 6
        elif kind == _PPP_NEXT:
            kind, at = _ppp(d, at, end)
        elif kind == _CHDLC_NEXT:
            kind, at = (_u16(d, at), at + 2) if end - at >= 2 else (_DONE, at)
            if 0 <= kind < 0x600 or kind == 0x8035:
                o[NETWORK, i] = SLARP if kind == 0x8035 else kind
                return _DONE, at, end, wire
        elif kind == _IP_NEXT:
            version = np.int64(d[at]) >> 4 if at < end else np.int64(0)
            if version not in (4, 6):
                o[UNDECODED, i] = BAD_VERSION + 256 * version if at < end else SHORT_IPV4
                return _DONE, at, end, wire
            kind = 0x0800 if version == 4 else 0x86DD
        else:
            return kind, at, end, wire
        if kind == _DONE:
            o[UNDECODED, i] = SHORT_TAG
            o[NETWORK, i] = o_kind if o_kind > 1500 else -1
            return kind, at, end, wire


# ---------------------------------------------------------------- network layer


@njit(cache=True, nogil=True)
def _address(d, at, size, family, into):
    into[0] = family
    for k in range(size):
        into[1 + k] = d[at + k]


@njit(cache=True, nogil=True)
def _arp(d, at, end, o, i, source, target):
    """RFC 826 (and RARP, RFC 903): operation and, where IPv4, the protocol addresses."""
    if end - at < 8:
        o[UNDECODED, i] = SHORT_ARP
        return
    o[ARP_OPERATION, i] = _u16(d, at + 6)
    hardware, protocol = np.int64(d[at + 4]), np.int64(d[at + 5])
    if end - at < 8 + 2 * (hardware + protocol):
        o[UNDECODED, i] = SHORT_ARP
    elif _u16(d, at + 2) == 0x0800 and protocol == 4:
        _address(d, at + 8 + hardware, 4, 4, source)
        _address(d, at + 12 + 2 * hardware, 4, 4, target)


@njit(cache=True, nogil=True)
def _ipv4(d, at, end, wire, o, i, source, target):
    """RFC 791. Returns where its payload begins, its size by the header's lengths (-1: stop), and its protocol."""
    if end - at < 20:
        o[UNDECODED, i] = SHORT_IPV4
        return at, -1, 0
    header, total = np.int64(d[at] & 15) * 4, _u16(d, at + 2)
    if header < 20:
        o[UNDECODED, i] = BAD_IPV4_HEADER
        return at, -1, 0
    fragment = _u16(d, at + 6)
    o[TTL, i] = d[at + 8]
    o[PROTOCOL, i] = d[at + 9]
    o[FRAGMENT, i] = 2 if fragment & 0x1FFF else fragment >> 13 & 1
    _address(d, at + 12, 4, 4, source)
    _address(d, at + 16, 4, 4, target)
    if total == 0:  # left to the network card to fill in (TCP segmentation offload)
        total = max(wire - at, header)
    if total < header:
        o[UNDECODED, i] = BAD_IPV4_LENGTH
        return at, -1, 0
    if end - at < header:
        o[UNDECODED, i] = SHORT_IPV4
        return at, -1, 0
    return at + header, total - header, np.int64(d[at + 9])


@njit(cache=True, nogil=True)
def _ipv6(d, at, end, wire, o, i, source, target):
    """RFC 8200. Returns what `_ipv4` does."""
    if end - at < 40:
        o[UNDECODED, i] = SHORT_IPV6
        return at, -1, 0
    size = _u16(d, at + 4)
    o[TTL, i] = d[at + 7]
    o[PROTOCOL, i] = d[at + 6]
    o[FRAGMENT, i] = 0
    _address(d, at + 8, 16, 6, source)
    _address(d, at + 24, 16, 6, target)
    if size == 0 and d[at + 6] in (0, 6, 17):  # a jumbogram (RFC 2675), or left to the network card
        size = max(wire - at - 40, 0)
    return at + 40, size, np.int64(d[at + 6])


@njit(cache=True, nogil=True)
def _extensions(d, at, end, o, i, size, protocol):
    """Pass over IPv6 extension headers (RFC 8200, RFC 4302 AH, RFC 6275 mobility), AH also in IPv4."""
    while protocol in (0, 43, 44, 51, 60, 135, 140):
        if end - at < 8 or size < 8:
            o[UNDECODED, i] = SHORT_EXTENSION
            return at, -1, protocol
        following = np.int64(d[at])
        if protocol == 44:
            header, place = np.int64(8), _u16(d, at + 2)
            if place & 0xFFF8:
                o[FRAGMENT, i] = 2
            elif place & 1:
                o[FRAGMENT, i] = 1
        elif protocol == 51:
            header = (np.int64(d[at + 1]) + 2) * 4
        else:
            header = (np.int64(d[at + 1]) + 1) * 8
        if protocol == 135 and following == 59:
            return at, size, protocol
        if header > size or header > end - at:
            o[UNDECODED, i] = SHORT_EXTENSION
            return at, -1, protocol
        at, size, protocol = at + header, size - header, following
        o[PROTOCOL, i] = protocol
        if o[FRAGMENT, i] == 2:
            break
    return at, size, protocol


# ---------------------------------------------------------------- transport layer


@njit(cache=True, nogil=True)
def _tcp(d, at, end, o, i, size):
    """RFC 9293."""
    have = end - at
    if have >= 14:
        o[TCP_FLAGS, i] = _u16(d, at + 12) & 0x1FF
    if have >= 16:
        o[TCP_WINDOW, i] = _u16(d, at + 14)
    header = np.int64(d[at + 12] >> 4) * 4 if have > 12 else np.int64(20)
    if 20 <= header <= size and have > 12:
        o[PAYLOAD, i] = size - header
    if have < 20 or header < 20 or header > size:
        o[UNDECODED, i] = SHORT_TCP if have < 20 else BAD_TCP_HEADER
        return
    at += header
    if end - at >= 14 and (o[SRC_PORT, i] == 53 or o[DST_PORT, i] == 53):
        o[DNS_AT, i], o[DNS_END, i] = at + 2, min(end, at + 2 + _u16(d, at))
    elif end - at >= 48 and d[at] == 22 and d[at + 1] == 3 and d[at + 5] == 1:
        o[HELLO_AT, i], o[HELLO_END, i] = at, end


@njit(cache=True, nogil=True)
def _udp(d, at, end, o, i, size):
    """RFC 768; tunnels and DNS by port."""
    o[PAYLOAD, i] = size - 8 if size >= 8 else -1
    if end - at < 8:
        o[UNDECODED, i] = SHORT_UDP
        return
    told = _u16(d, at + 4)
    if o[FRAGMENT, i] == 0 and 8 <= told <= size:  # a first fragment's length is that of the whole datagram
        size = told
        end = min(end, at + told)
    elif told < 8 and told != 0:
        o[UNDECODED, i] = BAD_UDP_LENGTH
    o[PAYLOAD, i] = size - 8
    a, b = o[SRC_PORT, i], o[DST_PORT, i]
    if a in (53, 5353, 5355) or b in (53, 5353, 5355):
        o[DNS_AT, i], o[DNS_END, i] = at + 8, end
    elif b == 4789:
        o[TUNNEL, i] = VXLAN
    elif b == 6081:
        o[TUNNEL, i] = GENEVE
    elif a == 3544 or b == 3544:
        o[TUNNEL, i] = TEREDO
    elif a == 2152 or b == 2152:
        o[TUNNEL, i] = GTP
    elif a == 1701 or b == 1701:
        o[TUNNEL, i] = L2TP


@njit(cache=True, nogil=True)
def _transport(d, at, end, o, i, size, protocol):
    """Ports, flags, types; `size` bytes belong to the packet from `at` on, by the header's lengths."""
    end = min(end, at + size)
    o[PAYLOAD, i] = size
    if protocol in (4, 41, 47, 94, 97, 115, 137):
        o[TUNNEL, i] = protocol
    if o[FRAGMENT, i] == 2:
        return
    if protocol in (6, 17, 132):
        o[PAYLOAD, i] = -1
        if end - at < 4:
            o[UNDECODED, i] = SHORT_TCP if protocol == 6 else SHORT_UDP if protocol == 17 else SHORT_SCTP
            return
        o[SRC_PORT, i], o[DST_PORT, i] = _u16(d, at), _u16(d, at + 2)
        if protocol == 6:
            _tcp(d, at, end, o, i, size)
        elif protocol == 17:
            _udp(d, at, end, o, i, size)
        else:
            o[PAYLOAD, i] = size - 12 if size >= 12 else -1
            if end - at < 12:
                o[UNDECODED, i] = SHORT_SCTP
    elif protocol in (1, 58):
        if end - at < 2:
            o[UNDECODED, i] = SHORT_ICMP
        else:
            o[ICMP_TYPE, i], o[ICMP_CODE, i] = d[at], d[at + 1]


@njit(cache=True, nogil=True)
def decode(d, offset, captured, length, o, address, kinds, begin):
    """Decode what is above the link header of every frame d[offset : offset + captured], which must lie within d.

    kinds, begin: what `ethernet` or `links` found.
    o: int64[FIELDS, n], all -1 at first. address: uint8[2, n, 17], all 0: source and destination as family (4, 6; 0 for
    none) and up to 16 bytes.
    """
    for i in range(offset.size):
        end = offset[i] + captured[i]
        wire = offset[i] + max(length[i], captured[i])
        kind, at = kinds[i], begin[i]
        if kind == _DONE:
            continue
        kind, at, end, wire = _between(d, at, end, wire, o, i, kind)
        if kind == _DONE:
            continue
        o[NETWORK, i] = kind
        source, target = address[0, i], address[1, i]
        if kind in (0x0806, 0x8035):
            _arp(d, at, end, o, i, source, target)
            continue
        if kind not in (0x0800, 0x86DD):
            continue
        version = np.int64(d[at]) >> 4 if at < end else np.int64(4 if kind == 0x0800 else 6)
        if version == 4:
            o[NETWORK, i] = 0x0800
            at, size, protocol = _ipv4(d, at, end, wire, o, i, source, target)
        elif version == 6:
            o[NETWORK, i] = 0x86DD
            at, size, protocol = _ipv6(d, at, end, wire, o, i, source, target)
        else:
            o[UNDECODED, i] = BAD_VERSION + 256 * version
            continue
        if size >= 0 and o[FRAGMENT, i] != 2 and (version == 6 or protocol == 51):
            at, size, protocol = _extensions(d, at, min(end, at + size), o, i, size, protocol)
        if size >= 0:
            _transport(d, at, end, o, i, size, protocol)
