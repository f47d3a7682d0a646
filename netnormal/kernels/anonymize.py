"""Raw frames → copies that hold nothing but known header fields, and where the addresses in them are.

What is kept is named here field by field; all else stays zero or is cut. Hostile bytes are expected: nothing is read
beyond what was captured. `d` are the bytes of a block, `at` is where a header begins, `end` where the frame ends.
"""

import numpy as np
from numba import njit

_TAGS = 8  # VLAN tags, MPLS labels and the like passed over
_NONE, _IP = -1, -2  # nothing more is kept; the IP version tells


@njit(cache=True, nogil=True)
def _u16(d, at):
    return np.int64(d[at]) << 8 | np.int64(d[at + 1])


@njit(cache=True, nogil=True)
def _copy(d, at, size, out, to):
    for k in range(size):
        out[to + k] = d[at + k]


@njit(cache=True, nogil=True)
def _note(places, count, kind, at):
    places[kind, count[kind]] = at
    count[kind] += 1


@njit(cache=True, nogil=True)
def _cooked(d, at, end, out, to, places, count, version):
    """Linux cooked header: (EtherType or _NONE, bytes)."""
    header = 16 if version == 1 else 20
    if end - at < header:
        return _NONE, 0
    address, hardware, kind, size = 6, 2, 14, np.int64(d[at + 5]) if d[at + 4] == 0 else np.int64(0)
    if version == 2:
        address, hardware, kind, size = 12, 8, 0, np.int64(d[at + 11])
    _copy(d, at, address, out, to)
    _copy(d, at + kind, 2, out, to + kind)
    if size == 6:
        _copy(d, at + address, 6, out, to + address)
        _note(places, count, 0, to + address)
    if _u16(d, at + hardware) in (801, 802, 803, 824, 280):
        return _NONE, header
    return _u16(d, at + kind), header


@njit(cache=True, nogil=True)
def _link(d, at, end, out, to, places, count, link):
    """Keep the link header: (EtherType, _IP or _NONE; bytes; known link type)."""
    if link == 1:
        if end - at < 14:
            return _NONE, 0, True
        _copy(d, at, 14, out, to)
        _note(places, count, 0, to)
        _note(places, count, 0, to + 6)
        return _u16(d, at + 12), 14, True
    if link in (12, 14, 101, 228, 229):
        return _IP, 0, True
    if link in (0, 108):
        if end - at < 5 or d[at + 4] >> 4 not in (4, 6):
            return _NONE, 0, True
        _copy(d, at, 4, out, to)
        return _IP, 4, True
    if link in (113, 276):
        kind, size = _cooked(d, at, end, out, to, places, count, 1 if link == 113 else 2)
        return kind, size, True
    return _NONE, 0, False


@njit(cache=True, nogil=True)
def _ppp(d, at, end, out, to):
    """PPP's protocol number in two bytes (RFC 2516 allows no fewer): (what follows, bytes)."""
    if end - at < 2:
        return _NONE, 0
    _copy(d, at, 2, out, to)
    protocol = _u16(d, at)
    return 0x0800 if protocol == 0x0021 else 0x86DD if protocol == 0x0057 else _NONE, 2


@njit(cache=True, nogil=True)
def _llc(d, at, end, out, to):
    """IEEE 802.2, and the type in SNAP: (what follows, bytes)."""
    if end - at < 3:
        return _NONE, 0
    _copy(d, at, 3, out, to)
    if d[at] == 0x06 and d[at + 2] == 3:
        return 0x0800, 3
    if d[at] != 0xAA or d[at + 1] != 0xAA or d[at + 2] != 3 or end - at < 8:
        return _NONE, 3
    _copy(d, at + 3, 5, out, to + 3)
    kind = _u16(d, at + 6)
    bridged = d[at + 3] == 0 and d[at + 4] == 0 and d[at + 5] in (0, 0xF8) and kind >= 0x600
    return kind if bridged else _NONE, 8


@njit(cache=True, nogil=True)
def _surely_ip(d, at, end, wire):
    """Whether this is IP where nothing says so: by IPv4's checksum, IPv6's length (the frame may be padded) and header.

    Ethernet may be below a label too, and hardware addresses begin as they like; they must not pass for IP headers.
    """
    have = end - at
    if have >= 20 and d[at] >> 4 == 4:
        size, total = np.int64(d[at] & 15) * 4, np.int64(0)
        for k in range(0, min(size, have), 2):
            total += _u16(d, at + k)
        return 20 <= size <= have and total > 0 and total % 0xFFFF == 0
    if have < 40 or d[at] >> 4 != 6 or d[at + 6] not in (0, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 60, 89, 132):
        return False
    return 0 <= wire - at - 40 - _u16(d, at + 4) <= 46


@njit(cache=True, nogil=True)
def _between(d, at, end, wire, out, to, kind):
    """Keep one header between link and network: (what follows, bytes; 0: there is none, `kind` is what comes)."""
    have = end - at
    if kind in (0x8100, 0x88A8, 0x9100) and have >= 4:
        _copy(d, at, 4, out, to)
        return _u16(d, at + 2), 4
    if kind in (0x8847, 0x8848) and have >= 4:  # labels are local numbers, as those of VLANs
        _copy(d, at, 4, out, to)
        if d[at + 2] & 1 == 0:
            return kind, 4
        return _IP if _surely_ip(d, at + 4, end, wire) else _NONE, 4
    if kind in (0x8863, 0x8864) and have >= 6:
        _copy(d, at, 6, out, to)
        if kind == 0x8863 or d[at + 1] != 0:  # discovery names the access concentrator
            return _NONE, 6
        kind, size = _ppp(d, at + 6, end, out, to + 6)
        return kind, 6 + size
    if 0 < kind <= 1500:
        return _llc(d, at, min(end, at + kind), out, to)
    return kind, 0


@njit(cache=True, nogil=True)
def _arp(d, at, end, out, to, places, count):
    have = end - at
    _copy(d, at, min(have, 8), out, to)
    if have < 28 or _u16(d, at + 2) != 0x0800 or d[at + 4] != 6 or d[at + 5] != 4:
        return min(have, 8)
    _copy(d, at + 8, 20, out, to + 8)
    for mac, address in ((8, 14), (18, 24)):
        _note(places, count, 0, to + mac)
        _note(places, count, 1, to + address)
    return 28


@njit(cache=True, nogil=True)
def _extension(d, at, end, protocol, out, to):
    """Keep what an extension header says of its size, no contents: (its size or -1, next protocol, last to read)."""
    if end - at < 8:
        return np.int64(-1), np.int64(protocol), True
    size, last = (np.int64(d[at + 1]) + 1) * 8, False
    if protocol == 44:
        size, last = np.int64(8), _u16(d, at + 2) & 0xFFF8 != 0
    elif protocol == 51:
        size = (np.int64(d[at + 1]) + 2) * 4
    if size > end - at:
        return np.int64(-1), np.int64(protocol), True
    _copy(d, at, 8 if protocol == 44 else 2, out, to)
    return size, np.int64(d[at]), last or protocol == 135


@njit(cache=True, nogil=True)
def _transport(d, at, end, protocol, out, to):
    """Ports, TCP's numbers and flags, the type of ICMP; no checksum, no option. Bytes kept."""
    have = max(end - at, 0)
    if protocol == 6:
        size = min(have, 20)
        _copy(d, at, min(size, 16), out, to)
        return size
    if protocol == 17:
        size = min(have, 8)
        _copy(d, at, min(size, 6), out, to)
        return size
    if protocol == 132:
        size = min(have, 12)
        _copy(d, at, min(size, 4), out, to)
        return size
    if protocol in (1, 58):
        size = min(have, 4)
        _copy(d, at, min(size, 2), out, to)
        return size
    return 0


@njit(cache=True, nogil=True)
def _ip(d, at, end, wire, out, to, places, count):
    """IPv4 or IPv6 by the version that is there; bytes kept."""
    have = end - at
    version = d[at] >> 4 if have > 0 else 0
    if version == 4 and have >= 20:
        header, total = np.int64(d[at] & 15) * 4, _u16(d, at + 2)
        _copy(d, at, 10, out, to)
        _copy(d, at + 12, 8, out, to + 12)
        _note(places, count, 1, to + 12)
        _note(places, count, 1, to + 16)
        _note(places, count, 3, to)
        total = total if total else max(wire - at, header)
        if header < 20 or total < header or have < header:
            return min(max(header, 20), have)
        kept, protocol, done = header, np.int64(d[at + 9]), _u16(d, at + 6) & 0x1FFF != 0
        end, walk = min(end, at + total), protocol == 51
    elif version == 6 and have >= 40:
        _copy(d, at, 40, out, to)
        _note(places, count, 2, to + 8)
        _note(places, count, 2, to + 24)
        size, protocol = _u16(d, at + 4), np.int64(d[at + 6])
        if size == 0 and protocol in (0, 6, 17):
            size = max(wire - at - 40, 0)
        kept, done, walk = np.int64(40), False, True
        end = min(end, at + 40 + size)
    else:
        return 0
    while walk and not done and protocol in (0, 43, 44, 51, 60, 135, 140):
        size, protocol, done = _extension(d, at + kept, end, protocol, out, to + kept)
        if size < 0:
            return kept
        kept += size
    return kept if done else kept + _transport(d, at + kept, end, protocol, out, to + kept)


@njit(cache=True, nogil=True)
def headers(d, offset, captured, length, link_type, out, to, kept, places, count):
    """Copy to out[to[i]:] what may be kept of frame i, kept[i] bytes, at most what was captured. Returns the number of
    frames whose link type is not known, of which nothing is kept.

    out: uint8, all 0. places: int64[4, 4n], count: int64[4], 0 at first: where in `out` hardware, IPv4 and IPv6
    addresses, and IPv4 headers, begin.
    """
    unknown = 0
    for i in range(offset.size):
        at, end, into = offset[i], offset[i] + captured[i], to[i]
        wire = at + max(length[i], captured[i])
        kind, size, known = _link(d, at, end, out, into, places, count, link_type[i])
        unknown += not known
        for _ in range(_TAGS):
            kind, more = _between(d, at + size, end, wire, out, into + size, kind)
            size += more
            if more == 0:
                break
        if kind in (0x0806, 0x8035):
            size += _arp(d, at + size, end, out, into + size, places, count)
        elif kind in (_IP, 0x0800, 0x86DD):
            size += _ip(d, at + size, end, wire, out, into + size, places, count)
        kept[i] = size
    return unknown


@njit(cache=True, nogil=True)
def put(out, places, values, index):
    """Write values[index[i]], a row of bytes, to out[places[i]:]."""
    for i in range(places.size):
        for k in range(values.shape[1]):
            out[places[i] + k] = values[index[i], k]


@njit(cache=True, nogil=True)
def take(out, places, into):
    """into[i]: the bytes at out[places[i]:]."""
    for i in range(places.size):
        for k in range(into.shape[1]):
            into[i, k] = out[places[i] + k]


@njit(cache=True, nogil=True)
def checksums(out, places):
    """Set the checksums (RFC 1071) of IPv4 headers, whose options are all 0."""
    for at in places:
        out[at + 10] = out[at + 11] = 0
        total = np.int64(0)
        for k in range(0, 20, 2):
            total += _u16(out, at + k)
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        out[at + 10], out[at + 11] = (total ^ 0xFFFF) >> 8, (total ^ 0xFFFF) & 0xFF
