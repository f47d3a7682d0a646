"""Where the packets lie in the bytes of a capture file, and the bytes of a capture file from packets.

Sources: pcap, draft-ietf-opsawg-pcap; pcapng, draft-ietf-opsawg-pcapng; both as `pcap-savefile(5)` has them.
"""

import numpy as np
from numba import njit

MORE, FULL, OTHER, TOO_LONG, NO_INTERFACE, BAD_BLOCK = range(6)  # why an index function stopped

LATEST_S = 7_258_118_400  # 2200-01-01: later times are damage, and window arithmetic must not overflow
_BILLION = np.uint64(1_000_000_000)


@njit(cache=True, nogil=True)
def _u16(data, at, big):
    low, high = np.int64(data[at]), np.int64(data[at + 1])
    return (low << 8 | high) if big else (high << 8 | low)


@njit(cache=True, nogil=True)
def _u32(data, at, big):
    if big:
        return _u16(data, at, True) << 16 | _u16(data, at + 2, True)
    return _u16(data, at + 2, False) << 16 | _u16(data, at, False)


@njit(cache=True, nogil=True)
def index_pcap(data, at, end, big, header, nanoseconds, swapped, limit, offset, captured, length, time):
    """Fill offset, captured, length [bytes] and time [ns] of the pcap records in data[at:end] that are whole.

    header: bytes of a record's header; nanoseconds: its fractions are, else microseconds; swapped: 1 if its two lengths
    stand in the other order (files before version 2.3), 2 if perhaps.
    Returns (records, position reached, why it stopped).
    """
    n = 0
    unit = 1 if nanoseconds else 1000
    while True:
        if n == offset.size:
            return n, at, FULL
        if end - at < header:
            return n, at, MORE
        kept, wire = _u32(data, at + 8, big), _u32(data, at + 12, big)
        if swapped == 1 or (swapped == 2 and kept > wire):
            kept, wire = wire, kept
        if kept > limit:
            return n, at, TOO_LONG
        if end - at - header < kept:
            return n, at, MORE
        offset[n], captured[n], length[n] = at + header, kept, wire
        time[n] = _u32(data, at, big) * 1_000_000_000 + _u32(data, at + 4, big) * unit
        at += header + kept
        n += 1


@njit(cache=True, nogil=True)
def nanoseconds_of(ticks, resolution, offset_s):
    """Time [ns] of a pcapng stamp (uint64), and whether it had to be moved into 1970..2200.

    resolution: `if_tsresol` (a power of ten, or of two if its top bit is set); offset_s: `if_tsoffset`.
    """
    power = np.uint64(resolution & 0x7F)
    if resolution & 0x80:
        if power >= 64:
            return np.int64(0), True
        seconds = ticks >> power
        rest = ticks - (seconds << power)
        if power <= 34:
            fraction = rest * _BILLION >> power
        else:  # rest * 10^9 does not fit into 64 bits: its low 32 bits only carry
            word = np.uint64(32)
            low = (rest & np.uint64(0xFFFFFFFF)) * _BILLION >> word
            fraction = ((rest >> word) * _BILLION + low) >> (power - word)
    else:
        if power > 19:
            return np.int64(0), True
        unit = np.uint64(1)
        for _ in range(power):
            unit *= np.uint64(10)
        seconds = ticks // unit
        rest = ticks - seconds * unit
        fraction = rest * (_BILLION // unit) if power <= 9 else rest // (unit // _BILLION)
    if seconds > np.uint64(LATEST_S) or abs(offset_s) > LATEST_S:
        return np.int64(LATEST_S) * 1_000_000_000, True
    whole = np.int64(seconds) + offset_s
    if whole < 0:
        return np.int64(0), True
    if whole >= LATEST_S:
        return np.int64(LATEST_S) * 1_000_000_000, True
    return whole * 1_000_000_000 + np.int64(fraction), False


@njit(cache=True, nogil=True)
def index_pcapng(data, at, end, big, interfaces, limit, clock, offset, captured, length, time, link_type):
    """Fill the arrays with the packets of the pcapng blocks in data[at:end] that are whole.

    interfaces: int64[k, 4], of each its link type, snap length, if_tsresol, if_tsoffset.
    clock: int64[3], kept between calls: time of the last packet (simple packet blocks have none of their own), packets
    without a time, packets whose time was out of range. Stops before blocks that describe (section header, interface,
    statistics) and skips those of other kinds. Returns (packets, position reached, why it stopped).
    """
    n = 0
    while True:
        if n == offset.size:
            return n, at, FULL
        if end - at < 12:
            return n, at, MORE
        kind, size = _u32(data, at, big), _u32(data, at + 4, big)
        if kind in (0x0A0D0D0A, 1, 5):
            return n, at, OTHER
        if size < 12:
            return n, at, BAD_BLOCK
        if size > limit:
            return n, at, TOO_LONG
        size = (size + 3) & ~3  # some writers forget the padding in the length
        if end - at < size:
            return n, at, MORE
        if _u32(data, at + size - 4, big) != _u32(data, at + 4, big):
            return n, at, BAD_BLOCK
        if kind in (2, 3, 6):
            header = 12 if kind == 3 else 28
            if size < header + 4:
                return n, at, BAD_BLOCK
            which = 0 if kind == 3 else _u32(data, at + 8, big) if kind == 6 else _u16(data, at + 8, big)
            if which >= interfaces.shape[0]:
                return n, at, NO_INTERFACE
            room = size - header - 4
            if kind == 3:
                length[n] = _u32(data, at + 8, big)
                captured[n] = min(length[n], room)
                if interfaces[0, 1] > 0:
                    captured[n] = min(captured[n], interfaces[0, 1])
                time[n] = clock[0]
                clock[1] += 1
            else:
                captured[n], length[n] = _u32(data, at + 20, big), _u32(data, at + 24, big)
                if captured[n] > room:
                    return n, at, BAD_BLOCK
                ticks = np.uint64(_u32(data, at + 12, big)) << np.uint64(32) | np.uint64(_u32(data, at + 16, big))
                time[n], moved = nanoseconds_of(ticks, interfaces[which, 2], interfaces[which, 3])
                clock[0] = time[n]
                clock[2] += moved
            offset[n], link_type[n] = at + header, interfaces[which, 0]
            n += 1
        at += size


@njit(cache=True, nogil=True)
def pack_pcap(data, offset, captured, length, time, into):
    """Write nanosecond little-endian pcap records into the bytes `into`, which must hold 16 + captured of each."""
    at = 0
    for i in range(offset.size):
        seconds = time[i] // 1_000_000_000
        for word in (seconds, time[i] - seconds * 1_000_000_000, captured[i], length[i]):
            for byte in range(4):
                into[at + byte] = word >> 8 * byte & 0xFF
            at += 4
        into[at : at + captured[i]] = data[offset[i] : offset[i] + captured[i]]
        at += captured[i]


@njit(cache=True, nogil=True)
def repeats(data, offset, captured, length, time, hashes, times):
    """How many frames are the same as one shortly before (1 ms at most): in length and the first 96 bytes.

    Those hold the checksums, which depend on the rest.

    hashes, times: int64, of the latest frames, kept from block to block; compares with as many frames as they have.
    FNV-1a: that different frames have the same 64 bits is less likely than a fault of the memory.
    """
    found = 0
    for i in range(offset.size):
        mark = np.uint64(0xCBF29CE484222325) ^ np.uint64(length[i])
        for at in range(offset[i], offset[i] + min(captured[i], 96)):
            mark = (mark ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
        value = np.int64(mark)
        for k in range(hashes.size):
            if hashes[k] == value and abs(time[i] - times[k]) <= 1_000_000:
                found += 1
                break
        for k in range(hashes.size - 1, 0, -1):
            hashes[k], times[k] = hashes[k - 1], times[k - 1]
        hashes[0], times[0] = value, time[i]
    return found
