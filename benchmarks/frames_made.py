"""Frames made by hand for benchmarks: what an attack or an honest program would put on the wire, without payloads.

A conversation is a list of (time [ns], frame, length on the wire); `Frames` and packet tables are made of it. Frames
carry headers as senders fill them in, but no checksums, and of payloads only what is looked at (DNS names).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import numpy as np
import pandas as pd

from netnormal import frames, packets

SECOND = 1_000_000_000
SEGMENT = 1448  # payload bytes of a full TCP segment over Ethernet, with timestamps (RFC 9293, RFC 7323)
SYN, ACK, RST, FIN, PUSH = 2, 16, 4, 1, 8
Frame = tuple[int, bytes, int]


@dataclass(frozen=True)
class End:
    """One end of a conversation. mac: that of the router for a host beyond it."""

    ip: str
    mac: str
    ttl: int = 64


def ip_frame(time: int, src: End, dst: End, protocol: int, body: bytes, unseen: int = 0) -> Frame:
    """An IPv4 packet in an Ethernet frame; `unseen` payload bytes were on the wire and are not in the frame."""
    header = bytes.fromhex(dst.mac.replace(":", "") + src.mac.replace(":", "")) + b"\x08\x00"
    total = 20 + len(body) + unseen
    header += struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0x4000, src.ttl, protocol, 0)
    header += IPv4Address(src.ip).packed + IPv4Address(dst.ip).packed
    return time, header + body, 14 + total


def tcp(time: int, src: End, dst: End, sport: int, dport: int, flags: int, payload: int = 0) -> Frame:
    options = b"\x02\x04\x05\xb4" if flags & SYN else b""
    offset = (20 + len(options)) // 4 << 4
    header = struct.pack("!HHIIBBHHH", sport, dport, 1, 1 if flags & ACK else 0, offset, flags, 64_240, 0, 0)
    return ip_frame(time, src, dst, 6, header + options, payload)


def udp(time: int, src: End, dst: End, sport: int, dport: int, payload: bytes = b"", unseen: int = 0) -> Frame:
    header = struct.pack("!HHHH", sport, dport, 8 + len(payload) + unseen, 0)
    return ip_frame(time, src, dst, 17, header + payload, unseen)


def ping(time: int, src: End, dst: End, reply: bool, number: int, payload: int = 56) -> Frame:
    return ip_frame(time, src, dst, 1, struct.pack("!BBHHH", 0 if reply else 8, 0, 0, 7, number & 0xFFFF), payload)


def dns(name: str, kind: int, number: int, reply: bool, failed: bool = False) -> bytes:
    """A DNS message with one question (RFC 1035); a reply says nothing but whether the name exists."""
    flags = (0x8180 | (3 if failed else 0)) if reply else 0x0100
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", number & 0xFFFF, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def session(
    time: int, client: End, server: End, sport: int, dport: int, said: Sequence[tuple[int, int]], rtt_s: float,
    pause_s: float = 0.0, bytes_per_s: float = 12_500_000.0,
) -> list[Frame]:  # fmt: skip
    """A TCP connection: handshake, for each of `said` so many bytes out and so many in, then both close it.

    A pause lies before each but the first. Bulk goes at `bytes_per_s`, and every second segment is acknowledged.
    """
    half = round(rtt_s * SECOND / 2)
    ends = (client, server, sport, dport), (server, client, dport, sport)
    found = [tcp(time, *ends[0], SYN), tcp(time + half, *ends[1], SYN | ACK), tcp(time + 2 * half, *ends[0], ACK)]
    now = time + 2 * half
    for i, both in enumerate(said):
        now += round(pause_s * SECOND) if i else 0
        for way, amount in enumerate(both):
            for j in range(-(-amount // SEGMENT)):
                size = min(amount - j * SEGMENT, SEGMENT)
                now += round(size / bytes_per_s * SECOND)
                found.append(tcp(now, *ends[way], ACK | PUSH, size))
                if j % 2 or size < SEGMENT:
                    found.append(tcp(now + half, *ends[1 - way], ACK))
            now += half
    found.append(tcp(now, *ends[0], FIN | ACK))
    found.append(tcp(now + half, *ends[1], FIN | ACK))
    found.append(tcp(now + 2 * half, *ends[0], ACK))
    return found


def refused(time: int, client: End, server: End, sport: int, dport: int, rtt_s: float) -> list[Frame]:
    later = time + round(rtt_s * SECOND / 2)
    return [tcp(time, client, server, sport, dport, SYN), tcp(later, server, client, dport, sport, RST | ACK)]


def block(made: Sequence[Frame]) -> frames.Frames:
    """The frames in order of time, as netnormal.frames reads them from a file."""
    ordered = sorted(made, key=lambda frame: frame[0])
    captured = np.array([len(data) for _, data, _ in ordered], np.int64)
    return frames.Frames(
        data=np.frombuffer(b"".join(data for _, data, _ in ordered), np.uint8),
        offset=np.cumsum(captured) - captured,
        captured=captured,
        length=np.array([length for _, _, length in ordered], np.int64),
        time=np.array([time for time, _, _ in ordered], np.int64),
        link_type=np.ones(len(ordered), np.int32),  # Ethernet
    )


def table(made: Sequence[Frame]) -> pd.DataFrame:
    """The same as a table of tables.PACKETS."""
    return packets.Decoder().decode(block(made))
