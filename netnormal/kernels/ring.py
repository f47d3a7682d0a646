"""Blocks of Linux's packet ring (TPACKET_V3 of packet(7)) → frames, by copying.

Source: Documentation/networking/packet_mmap.rst and linux/if_packet.h of the Linux kernel.
"""

import numpy as np
from numba import njit

COOKED = 16  # bytes of the link header of LINKTYPE_LINUX_SLL
_VLAN_VALID, _VLAN_TPID_VALID = 0x10, 0x40
_LOOPBACK, _OUTGOING = 772, 4


@njit(cache=True, nogil=True)
def _u16(data, at):
    return np.int64(data[at]) | np.int64(data[at + 1]) << 8


@njit(cache=True, nogil=True)
def _u32(data, at):
    return _u16(data, at) | _u16(data, at + 2) << 16


@njit(cache=True, nogil=True)
def copy_block(block, kind, snaplen, into, at, offset, captured, length, time, row):
    """Copy the frames of a ring block behind `at` and `row`; returns (at, row) after them.

    block: uint8, the kernel's, little endian. kind: 0 other link layer, 1 Ethernet, 2 cooked: the ring has no link
    header, and one of LINKTYPE_LINUX_SLL is made. A VLAN tag that the kernel took off is put back. A frame that leaves
    by loopback is left out: it comes in again. `into` has room for the block, `offset` … `time` (int64; bytes, ns UTC)
    for its frames.
    """
    packets, here = _u32(block, 12), _u32(block, 16)
    for _ in range(packets):
        following, kept, wire = _u32(block, here), _u32(block, here + 12), _u32(block, here + 16)
        status, start, tci = _u32(block, here + 20), here + _u16(block, here + 24), _u16(block, here + 32)
        link = here + 48  # struct sockaddr_ll
        if not (_u16(block, link + 8) == _LOOPBACK and block[link + 10] == _OUTGOING):
            tagged = kind != 0 and status & _VLAN_VALID != 0
            to = at
            head = 0
            if kind == 2:
                for i in range(COOKED):
                    into[to + i] = 0
                into[to + 1] = block[link + 10]
                into[to + 2], into[to + 3] = block[link + 9], block[link + 8]
                into[to + 5] = block[link + 11]
                for i in range(8):  # as long as the address is, zeros behind it
                    into[to + 6 + i] = block[link + 12 + i]
                into[to + 14], into[to + 15] = block[link + 2], block[link + 3]
                head = COOKED
            elif tagged:
                head = 12
                tagged = kept >= head
                head = head if tagged else 0
                into[to : to + head] = block[start : start + head]
                kept, wire, start = kept - head, wire - head, start + head
            extra = head
            if tagged:
                tpid = _u16(block, here + 36) if status & _VLAN_TPID_VALID else 0x8100
                if kind == 2:  # the tag's type takes the place of the protocol, which follows the tag
                    into[to + 18], into[to + 19] = into[to + 14], into[to + 15]
                    head = 14
                into[to + head], into[to + head + 1] = tpid >> 8, tpid & 0xFF
                into[to + head + 2], into[to + head + 3] = tci >> 8, tci & 0xFF
                extra += 4
            into[to + extra : to + extra + kept] = block[start : start + kept]
            offset[row], captured[row], length[row] = to, min(kept + extra, snaplen), wire + extra
            time[row] = _u32(block, here + 4) * 1_000_000_000 + _u32(block, here + 8)
            at += captured[row]
            row += 1
        here += following
    return at, row


@njit(cache=True, nogil=True)
def gather(data, offset, captured, into):
    """The bytes of the frames (offset, captured: int64) of `data`, one behind the other, into `into`."""
    at = 0
    for i in range(offset.size):
        into[at : at + captured[i]] = data[offset[i] : offset[i] + captured[i]]
        at += captured[i]
