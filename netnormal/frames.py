"""Capture files → blocks of raw frames, and back: pcap and pcapng, also gzipped. Knows no header field of a frame.

Sources: pcap and pcapng as in draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng, link types as in pcap-linktype(7).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import select
import stat
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from netnormal.kernels import frames as kernels
from netnormal.tables import InputError

BLOCK_BYTES = 16 << 20  # read at one go, and
BLOCK_PACKETS = 1 << 17  # packets passed on at one go; neither has a meaning, results never depend on them
LONGEST_FRAME = 256 << 20  # a longer claim is damage [bytes]
_PIECE_BYTES = 1 << 18  # packed at one go: what fits into a processor's cache is there to be hashed and written
_LOOK_S = 0.2  # how often a wait for a pipe looks whether it shall end

_STANDARD_INPUT = "standard input"
_GIVE_ONE = "give a pcap or pcapng file (editcap converts other kinds of capture)"
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
# magic (big endian) → fractions are nanoseconds, bytes of a record header. The last is Kuznetzov's, of old Linux tools.
_PCAPS = {0xA1B2C3D4: (False, 16), 0xA1B23C4D: (True, 16), 0xA1B2CD34: (False, 24)}


def checksum(path: str) -> str | None:
    """SHA-256 of a file as it lies there; None of what is no file."""
    if not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class Frames:
    """A block of n raw frames. Frame i is data[offset[i] : offset[i] + captured[i]].

    data: uint8, may hold other bytes between frames. offset, captured, length: int64[n]; `length` is what the frame had
    on the wire. time: int64[n], ns UTC. link_type: int32[n], a LINKTYPE_ value of pcap-linktype(7).
    """

    data: np.ndarray
    offset: np.ndarray
    captured: np.ndarray
    length: np.ndarray
    time: np.ndarray
    link_type: np.ndarray

    def __len__(self) -> int:
        return len(self.offset)

    def select(self, rows: slice | np.ndarray) -> Frames:
        """The frames of `rows` (a slice, a mask or indices); the bytes are shared."""
        return Frames(self.data, *(getattr(self, f.name)[rows] for f in fields(self)[1:]))


@dataclass(frozen=True)
class Interface:
    """What a capture says of an interface. drops: packets that the kernel, and the interface, lost; None: not said."""

    link_type: int
    snaplen: int  # 0: no limit
    name: str = ""
    resolution: int = 6  # pcapng's if_tsresol
    offset_s: int = 0
    filter: str = ""
    drops: list[int | None] = field(default_factory=lambda: [None, None], compare=False)


# ---------------------------------------------------------------- bytes of a file


class _Pipe:
    """A pipe, read so that a signal is heard however long nothing comes.

    Python's own buffered read goes on from one read(2) to the next without looking whether a signal came in between,
    and then waits. waiting: called again and again while nothing comes; may raise.
    """

    def __init__(self, raw: IO[bytes], waiting: Callable[[], None]) -> None:
        self._raw, self._waiting = raw, waiting

    def read(self, size: int) -> bytes:
        handle = self._raw.fileno()
        while True:
            while not select.select([handle], [], [], _LOOK_S)[0]:
                self._waiting()
            with contextlib.suppress(BlockingIOError):
                return os.read(handle, size)

    def close(self) -> None:
        self._raw.close()


class _Bytes:
    """The bytes of a capture, gunzipped if need be, and the SHA-256 of the file as it lies there."""

    def __init__(self, raw: IO[bytes] | _Pipe) -> None:
        self._raw, self._hash, self.problem, self.ended = raw, hashlib.sha256(), "", False
        self._waiting = self._take(4)  # read already, not passed on yet
        self._gunzip = zlib.decompressobj(31) if self._waiting[:2] == b"\x1f\x8b" else None

    def _take(self, size: int) -> bytes:
        piece = self._raw.read(size)
        self._hash.update(piece)
        self.ended = self.ended or not piece
        return piece

    def fill(self, view: memoryview) -> int:
        """Fill `view` as far as there are bytes; how many there were."""
        done = 0
        while done < len(view):
            piece = self._next(len(view) - done)
            if not piece:
                break
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def seek(self, byte: int) -> bool:
        """Go on at `byte`. False where that cannot be: in gzip, in a pipe."""
        if self._gunzip is not None or isinstance(self._raw, _Pipe):
            return False
        self._raw.seek(byte)
        self._waiting = b""
        return True

    def _next(self, most: int) -> bytes:
        """Up to `most` bytes; none at the end."""
        if self._gunzip is None:
            piece, self._waiting = self._waiting[:most] or self._take(min(most, 1 << 20)), self._waiting[most:]
            return piece
        while not self.problem:
            self._waiting = self._waiting or self._take(1 << 16)
            if self._gunzip.eof:  # another gzip member may follow; what else follows is padding
                while self._waiting and len(self._waiting) < 2:
                    more = self._take(1 << 16)
                    if not more:
                        break
                    self._waiting += more
                if self._waiting[:2] != b"\x1f\x8b":
                    return b""
                self._gunzip = zlib.decompressobj(31)
            try:
                piece = self._gunzip.decompress(self._waiting, min(most, 1 << 18))
            except zlib.error as error:
                self.problem = f"the gzip is damaged ({error})"
                return b""
            at_end = not self._waiting
            self._waiting = self._gunzip.unused_data or self._gunzip.unconsumed_tail
            if piece:
                return piece
            if at_end and not self._gunzip.eof:
                self.problem = "the gzip ends too early"
        return b""

    def sha256(self) -> str:
        """Of the whole file: reads on to its end."""
        while self._take(1 << 20):
            pass
        return self._hash.hexdigest()


def is_capture(path: Any) -> bool:
    """Whether the file begins as pcap or pcapng does, also inside gzip. False too where opening it will say why not."""
    try:
        with Path(path).open("rb") as raw:
            start = np.zeros(12, np.uint8)
            return _kind(start[: _Bytes(raw).fill(start.data)].tobytes()) != ""
    except OSError:
        return False


def _kind(start: bytes) -> str:
    if start[:4] == _PCAPNG and start[8:12] in _BYTE_ORDERS:
        return "pcapng"
    if len(start) >= 4 and any(int.from_bytes(start[:4], order) in _PCAPS for order in ("big", "little")):
        return "pcap"
    return ""


# ---------------------------------------------------------------- reading


class FileSource:
    """A capture file as an iterator of Frames; a context manager. Use `open_capture`.

    kind: "pcap" or "pcapng". interfaces: as met so far (pcapng names them on the way; a pcap has one without a name).
    problems: what is wrong with the file, in words; what was whole before it is passed on. packets: passed on so far.
    Iterating raises InputError if not even one packet is whole and the file is damaged.
    """

    def __init__(self, name: str, raw: IO[bytes] | _Pipe, block_bytes: int, block_packets: int) -> None:
        self.name, self.interfaces, self.problems, self.packets = name, list[Interface](), list[str](), 0
        self._block_bytes, self._block_packets = block_bytes, block_packets
        self._bytes = _Bytes(raw)
        self._data = np.empty(max(block_bytes, 64), np.uint8)
        self._at, self._end, self._position = 0, 0, 0
        self._read_more()
        start = self._data[: min(self._end, 24)].tobytes()
        self.kind = _kind(start)
        if not self._end:
            raise InputError(name, self._bytes.problem or "is empty", _GIVE_ONE)
        if not self.kind:
            raise InputError(name, self._bytes.problem or f"is no capture: it begins with {_shown(start)}", _GIVE_ONE)
        if self.kind == "pcap":
            self._pcap_header(start)

    @property
    def link_types(self) -> list[int]:
        return sorted({interface.link_type for interface in self.interfaces})

    @property
    def snaplen(self) -> int:
        """The longest snap length that the file states, bytes; 0: not said, or without limit."""
        known = [interface.snaplen for interface in self.interfaces]
        return 0 if 0 in known else max(known, default=0)

    def skip_to(self, byte: int) -> None:
        """Read on from `byte` of the file, where a packet begins: of a pcap, not gzipped, before the first block.

        The checksum is of no use then.
        """
        if self.kind != "pcap" or not self._bytes.seek(byte):
            raise ValueError(f"{self.name} can only be read from its start")
        self._at, self._end, self._position = 0, 0, byte

    def sha256(self) -> str:
        """Of the file as it lies there; reads on to its end."""
        return self._bytes.sha256()

    def about(self) -> dict[str, Any]:
        """For the manifest. Reads a file on to its end for its checksum; standard input has one only if it ended."""
        drops = [[i.drops[slot] for i in self.interfaces] for slot in (0, 1)]
        return {
            "source": self.name,
            "format": self.kind,
            "link_types": self.link_types,
            "filter": "; ".join(sorted({i.filter for i in self.interfaces if i.filter})) or None,
            "snap_length": self.snaplen or None,
            "kernel_drops": _sum(drops[0]),
            "interface_drops": _sum(drops[1]),
            "sha256": self.sha256() if self._bytes.ended or self.name != _STANDARD_INPUT else None,
        }

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._bytes._raw.close()

    def __iter__(self) -> Iterator[Frames]:
        yield from self._pcap() if self.kind == "pcap" else self._pcapng()
        if self._bytes.problem:
            self.problems.append(self._bytes.problem)
        if self.problems and not self.packets:
            raise InputError(self.name, f"has no whole packet: {self.problems[0]}", "record or copy it again")

    def _read_more(self) -> bool:
        """Move what is left to the front of a new buffer and fill it. False at the end of the file."""
        left = self._data[self._at : self._end]
        size = self._data.size * 2 if left.size > self._data.size // 2 else max(self._block_bytes, 64)
        fresh = np.empty(max(size, 2 * left.size), np.uint8)
        fresh[: left.size] = left
        got = self._bytes.fill(fresh.data[left.size :])
        self._data, self._position = fresh, self._position + self._at
        self._at, self._end = 0, left.size + got
        return got > 0

    def _stopped(self, what: str) -> None:
        self.problems.append(f"{what} at byte {self._position + self._at:,}, after packet {self.packets:,}")

    def _frames(self, n: int, columns: list[np.ndarray]) -> Frames:
        self.packets += n
        return Frames(self._data, *(column[:n] for column in columns))

    def _columns(self) -> list[np.ndarray]:
        return [np.empty(self._block_packets, np.int64) for _ in range(4)]

    # ------------------------------------------------ pcap

    def _pcap_header(self, start: bytes) -> None:
        self._order = ">" if int.from_bytes(start[:4], "big") in _PCAPS else "<"
        if len(start) < 24:
            raise InputError(self.name, "ends inside its file header", "record or copy it again")
        magic, major, minor, _, _, snaplen, network = struct.unpack(f"{self._order}IHHIIII", start)
        if major != 2:
            raise InputError(self.name, f"is pcap of an unknown version, {major}.{minor}", _GIVE_ONE)
        self._nanoseconds, self._header = _PCAPS[magic]
        self._swapped = 1 if minor < 3 else 2 if minor == 3 else 0
        # the upper 16 bits tell about the frame check sequence, and are no part of the link type
        self.interfaces.append(Interface(network & 0xFFFF, snaplen))
        self._at = 24

    def _pcap(self) -> Iterator[Frames]:
        while True:
            columns = self._columns()
            n, at, why = kernels.index_pcap(
                self._data,
                self._at,
                self._end,
                self._order == ">",
                self._header,
                self._nanoseconds,
                self._swapped,
                LONGEST_FRAME,
                *columns,
            )
            self._at = at
            if n:
                link_type = np.full(n, self.interfaces[0].link_type, np.int32)
                yield self._frames(n, [*columns, link_type])
            if why == kernels.TOO_LONG:
                return self._stopped(f"a packet claims more than {LONGEST_FRAME >> 20} MiB")
            if why == kernels.MORE and not self._read_more():
                if self._end > self._at:
                    self._stopped("the file ends inside a packet")
                return

    # ------------------------------------------------ pcapng

    def _pcapng(self) -> Iterator[Frames]:
        self._order, self._section = "<", list[Interface]()
        clock = np.zeros(3, np.int64)
        while True:
            columns = [*self._columns(), np.empty(self._block_packets, np.int32)]
            rows = [(i.link_type, i.snaplen, i.resolution, i.offset_s) for i in self._section]
            n, at, why = kernels.index_pcapng(
                self._data,
                self._at,
                self._end,
                self._order == ">",
                np.array(rows, np.int64).reshape(-1, 4),
                LONGEST_FRAME,
                clock,
                *columns,
            )
            self._at = at
            if n:
                yield self._frames(n, columns)
            stopped = ""
            if why == kernels.OTHER:
                stopped = self._describing_block()
            elif why == kernels.TOO_LONG:
                stopped = f"a block claims more than {LONGEST_FRAME >> 20} MiB"
            elif why == kernels.NO_INTERFACE:
                stopped = "a packet names an interface that the file does not describe"
            elif why == kernels.BAD_BLOCK:
                stopped = "a block's lengths contradict each other"
            elif why == kernels.MORE and not self._read_more():
                stopped = "the file ends inside a block" if self._end > self._at else "end"
            if stopped:
                if stopped != "end":
                    self._stopped(stopped)
                break
        if clock[1]:
            self.problems.append(f"{clock[1]:,} packets have no time: they get that of the packet before")
        if clock[2]:
            self.problems.append(f"{clock[2]:,} packets have a time outside 1970..2200: it was moved to the nearest")

    def _describing_block(self) -> str:
        """Take in the section header, interface or statistics at the position reached; what is wrong with it, if so."""
        while self._end - self._at < 12:
            if not self._read_more():
                return "the file ends inside a block"
        start = self._data[self._at : self._at + 12].tobytes()
        if start[:4] == _PCAPNG:
            if start[8:12] not in _BYTE_ORDERS:
                return "a section header has no byte order"
            self._order = _BYTE_ORDERS[start[8:12]]
        kind, size = struct.unpack(f"{self._order}II", start[:8])
        if size < 12 or size % 4 or size > LONGEST_FRAME:
            return f"a block claims {size:,} bytes"
        while self._end - self._at < size:
            if not self._read_more():
                return "the file ends inside a block"
        block = self._data[self._at : self._at + size].tobytes()
        if block[-4:] != block[4:8]:
            return "a block's two lengths differ"
        body = block[8:-4]
        if len(body) < {0x0A0D0D0A: 16, 1: 8, 5: 12}[kind]:
            return "a block is too short for its kind"
        if kind == 0x0A0D0D0A:
            major, minor = struct.unpack_from(f"{self._order}HH", body, 4)
            if major != 1:
                return f"a section is of an unknown version, {major}.{minor},"
            self._section = []
        elif kind == 1:
            self._section.append(self._interface(body))
            self.interfaces.append(self._section[-1])
        else:
            which = struct.unpack_from(f"{self._order}I", body)[0]
            if which < len(self._section):
                options = self._options(body[12:])
                for slot, code in ((0, 7), (1, 5)):  # isb_osdrop, isb_ifdrop
                    if len(options.get(code, b"")) == 8:
                        self._section[which].drops[slot] = struct.unpack(f"{self._order}Q", options[code])[0]
        self._at += size
        return ""

    def _interface(self, body: bytes) -> Interface:
        link_type, _, snaplen = struct.unpack_from(f"{self._order}HHI", body)
        options = self._options(body[8:])
        resolution = options.get(9, b"")[:1]
        shift = options.get(14, b"")
        return Interface(
            link_type,
            snaplen,
            options.get(2, b"").decode("utf-8", "replace").rstrip("\0"),
            resolution[0] if resolution else 6,
            struct.unpack(f"{self._order}q", shift)[0] if len(shift) == 8 else 0,
            options.get(11, b"")[1:].decode("utf-8", "replace") if options.get(11, b"")[:1] == b"\0" else "",
        )

    def _options(self, body: bytes) -> dict[int, bytes]:
        """Options by code, the first of each; what does not fit is left out."""
        found: dict[int, bytes] = {}
        at = 0
        while at + 4 <= len(body):
            code, size = struct.unpack_from(f"{self._order}HH", body, at)
            if code == 0 or at + 4 + size > len(body):
                break
            found.setdefault(code, body[at + 4 : at + 4 + size])
            at += 4 + (size + 3 & ~3)
        return found


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _shown(start: bytes) -> str:
    text = start[:12].decode("ascii", "replace")
    return repr(text) if text.isprintable() and "\ufffd" not in text else start[:8].hex(" ")


def open_capture(
    path: Any,
    block_bytes: int = BLOCK_BYTES,
    block_packets: int = BLOCK_PACKETS,
    waiting: Callable[[], None] = lambda: None,
) -> FileSource:
    """A capture file or pipe (`-`: standard input) as a FileSource. The sizes of blocks change nothing in what comes.

    waiting: called again and again while nothing comes from a pipe; what it raises ends the wait.
    Raises InputError if it is missing, unreadable, empty or no capture.
    """
    with contextlib.ExitStack() as stack:
        try:
            raw = _opened(path)
            stack.callback(raw.close)
            regular = stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
            windows = sys.platform == "win32"  # where select knows sockets only
            piped = raw if regular or windows else _Pipe(raw, waiting)
            name = _STANDARD_INPUT if str(path) == "-" else str(path)
            source = FileSource(name, piped, block_bytes, block_packets)
        except FileNotFoundError:
            raise InputError(path, "does not exist", "name a pcap or pcapng file") from None
        except OSError as error:
            raise InputError(
                path, f"cannot be read ({error.strerror or error})", "name a pcap or pcapng file"
            ) from error
        stack.pop_all()
        return source


def _opened(path: Any) -> IO[bytes]:
    if str(path) == "-":
        return sys.stdin.buffer
    if not Path(path).is_fifo():
        return Path(path).open("rb")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting for who writes: read waits better
    return os.fdopen(handle, "rb", buffering=0)


def limited(blocks: Iterable[Frames], count: int | None, duration_s: float | None) -> Iterator[Frames]:
    """The first `count` packets, up to `duration_s` after the first packet (exclusive); None: no such limit."""
    until = None
    for frames in blocks:
        block = frames
        if duration_s is not None and len(block):
            until = int(block.time[0]) + int(duration_s * 1e9) if until is None else until
            late = block.time >= until
            if late.any():
                block, count = block.select(slice(0, int(late.argmax()))), 0
        if count is not None:
            block = block.select(slice(0, count)) if len(block) > count > 0 else block
            count -= len(block)
        yield block
        if count is not None and count <= 0:
            return


# ---------------------------------------------------------------- writing


def whole_bytes(path: Any) -> int:
    """Bytes of a pcap file up to the end of its last whole packet; 0 if not even the file header is whole."""
    end = 24
    try:
        with open_capture(path) as source:
            for block in source:
                end += len(block) * source._header + int(block.captured.sum())
            return end if source.kind == "pcap" else Path(path).stat().st_size
    except InputError:  # nothing whole: perhaps the file header is
        return 24 if Path(path).stat().st_size >= 24 else 0


class PcapWriter:
    """A nanosecond pcap file, little endian: `append` blocks of frames of its link type. A context manager.

    What `append` has taken is in the file: nothing waits. size: bytes so far. go_on: behind what a PcapWriter of the
    same link type and snap length wrote there before, if there is anything.
    """

    def __init__(self, path: Any, link_type: int, snaplen: int, go_on: bool = False) -> None:
        self.link_type, self.packets, self.size = link_type, 0, 0
        self._hash, self._room = hashlib.sha256(), np.empty(0, np.uint8)
        if go_on and Path(path).exists():
            with Path(path).open("rb") as file:
                while piece := file.read(1 << 20):
                    self._hash.update(piece)
                    self.size += len(piece)
        self._stream = Path(path).open("ab" if go_on else "wb", buffering=0)  # noqa: SIM115 - closed by close()
        if not self.size:
            self._write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snaplen, link_type))

    def _write(self, piece: bytes | memoryview) -> None:
        left = memoryview(piece)
        while left:  # a full disk takes a part, and then refuses
            left = left[self._stream.write(left) :]
        self._hash.update(piece)
        self.size += len(piece)

    def sha256(self) -> str:
        """Of what was written so far."""
        return self._hash.hexdigest()

    def append(self, frames: Frames) -> None:
        """Raises ValueError if a frame is of another link type."""
        if np.any(frames.link_type != self.link_type):
            raise ValueError(f"link types {Counter(frames.link_type.tolist())} in a pcap of {self.link_type}")
        ends = np.cumsum(frames.captured + 16)
        starts = np.flatnonzero(np.diff(ends // _PIECE_BYTES, prepend=-1))
        for first, after in itertools.pairwise([*starts.tolist(), len(frames)]):
            some = frames.select(slice(first, after))
            size = 16 * len(some) + int(some.captured.sum())
            if size > self._room.size:
                self._room = np.empty(max(size, 2 * _PIECE_BYTES), np.uint8)
            kernels.pack_pcap(some.data, some.offset, some.captured, some.length, some.time, self._room)
            self._write(self._room[:size].data)
        self.packets += len(frames)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> PcapWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
