"""Slow, obvious twins of the reading and decoding kernels, and makers of frames and capture files for tests."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import numpy as np
import pandas as pd

from netnormal import packets, tables
from netnormal.frames import Frames

# ---------------------------------------------------------------- frames


def frames_of(raw: list[bytes], link_type: int = 1, around: bytes = b"", wire: list[int] | None = None) -> Frames:
    """A block of these frames, with `around` before, between and after them."""
    data = around + b"".join(frame + around for frame in raw)
    size = np.array([len(frame) for frame in raw], np.int64)
    offset = np.cumsum(np.concatenate([[0], size[:-1] + len(around)]))[: len(raw)].astype(np.int64) + len(around)
    length = size if wire is None else np.array(wire, np.int64)
    time = np.arange(len(raw), dtype=np.int64) * 1_000_000_000
    return Frames(np.frombuffer(data, np.uint8), offset, size, length, time, np.full(len(raw), link_type, np.int32))


def row_of(raw: bytes, link_type: int = 1, wire: int | None = None) -> dict[str, object]:
    """What the decoder says of one frame; empty cells are left out."""
    table = packets.Decoder().decode(frames_of([raw], link_type, wire=None if wire is None else [wire]))
    return {name: value for name, value in table.iloc[0].items() if not pd.isna(value) and value != -1}


def csv_of(blocks: list[pd.DataFrame]) -> bytes:
    """The bytes of captured_data.csv for these blocks."""
    stream = io.BytesIO()
    writer = tables.Writer(stream, tables.PACKETS)
    for block in blocks:
        writer.append(block)
    writer.close()
    return stream.getvalue()


# ---------------------------------------------------------------- capture files


def pcap(
    raw: list[bytes], order: str = "<", magic: int = 0xA1B2C3D4, version: tuple[int, int] = (2, 4), link: int = 1
) -> bytes:
    """A pcap file; packet i at i + 0.5 s. Magic a1b2cd34 has longer record headers; before 2.3 lengths are swapped."""
    out = [struct.pack(f"{order}IHHIIII", magic, *version, 0, 0, 262_144, link)]
    half = 500_000_000 if magic == 0xA1B23C4D else 500_000
    for i, frame in enumerate(raw):
        sizes = (len(frame), len(frame) + 7)
        out.append(struct.pack(f"{order}IIII", i, half, *(sizes[::-1] if version < (2, 3) else sizes)))
        out.append(b"\0" * 8 if magic == 0xA1B2CD34 else b"")
        out.append(frame)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def interface(link: int = 1, snaplen: int = 0, options: bytes = b"", order: str = "<") -> bytes:
    return block(
        1, struct.pack(f"{order}HHI", link, 0, snaplen) + options + (option(0, b"") if options else b""), order
    )


def enhanced(frame: bytes, ticks: int, which: int = 0, order: str = "<") -> bytes:
    head = struct.pack(f"{order}IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame) + 7)
    return block(6, head + frame, order)


# ---------------------------------------------------------------- twins


def nanoseconds(ticks: int, resolution: int, offset_s: int) -> int:
    """kernels.frames.nanoseconds_of by exact fractions; no limits."""
    unit = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    return int(Fraction(ticks, unit) * 1_000_000_000 // 1) + offset_s * 1_000_000_000


def spelt(label: bytes) -> str:
    r"""A label or host name as the table spells it: small letters, digits, - and _ as they are, the rest as \DDD."""
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(chr(byte) if byte in plain else f"\\{byte:03d}" for byte in label.lower())


def question(message: bytes) -> tuple[str, int] | None:
    """Name and type of the first question of a DNS message; None where there is none, or it is damaged."""
    if len(message) < 12 or message[4:6] == b"\0\0":
        return None
    labels, at = [], 12
    while at < len(message) and message[at]:
        size = message[at]
        if size > 63:
            return None
        labels.append(message[at + 1 : at + 1 + size])
        at += 1 + size
    if at + 5 > len(message) or at + 1 - 12 > 255:
        return None
    return ".".join(map(spelt, labels)) or ".", int.from_bytes(message[at + 1 : at + 3], "big")
