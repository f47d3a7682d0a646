"""Live interfaces as a source of blocks of raw frames, and what was lost on the way. Knows no header field of a frame.

Linux only: a packet socket made by scapy, as packet(7) describes it. Elsewhere record with another tool, then read.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import selectors
import shlex
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netnormal.frames import Frames
from netnormal.tables import InputError

BLOCK_BYTES = 4 << 20
BLOCK_SECONDS = 0.5  # a block is passed on when it is full or this old
_BUFFER_BYTES = 16 << 20  # the kernel's, per interface

# hardware type (ARPHRD_, if_arp.h) → link type (LINKTYPE_)
_LINK_TYPES = {1: 1, 772: 1, 801: 105, 802: 119, 803: 127, 768: 101, 769: 101, 776: 101, 778: 101, 65534: 101}
_LOOPBACK = 772
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_AUXDATA = 263, 6, 8
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_VLAN_VALID, _VLAN_TPID_VALID = 0x10, 0x40  # of tpacket_auxdata


def interfaces() -> list[str]:
    """The names of the interfaces here."""
    return [name for _, name in socket.if_nameindex()]


def default_interface() -> str:
    """The interface of the default route. Raises InputError where there is none."""
    routes: list[tuple[int, str]] = []
    table = Path("/proc/net/route")
    for line in table.read_text().splitlines()[1:] if table.exists() else []:
        name, destination, _, flags, _, _, metric, mask = line.split()[:8]
        if int(destination, 16) == int(mask, 16) == 0 and int(flags, 16) & 1:
            routes.append((int(metric), name))
    table = Path("/proc/net/ipv6_route")
    for line in table.read_text().splitlines() if not routes and table.exists() else []:
        words = line.split()
        if int(words[0], 16) == int(words[1], 16) == 0 and words[9] != "lo":
            routes.append((int(words[5], 16), words[9]))
    if not routes:
        raise InputError("default route", "there is none", f"name one with --interface: {', '.join(interfaces())}")
    return min(routes)[1]


class _Socket:
    """A packet socket on one interface: link type, what it lost, and its packets, one at a time."""

    def __init__(self, name: str, bpf: str | None, snaplen: int) -> None:
        if name not in interfaces():
            raise InputError(f"interface {name}", "does not exist", f"the interfaces are {', '.join(interfaces())}")
        self.name, self.snaplen = name, snaplen
        self._socket = _listen(name, bpf)
        self.raw: socket.socket = self._socket.ins
        self.raw.setblocking(False)
        try:
            self.raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        except PermissionError:  # without CAP_NET_ADMIN up to what net.core.rmem_max allows
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self.hardware = int(self.raw.getsockname()[3])
        if self.hardware not in _LINK_TYPES:
            self.close()
            raise InputError(
                f"interface {name}", f"has hardware type {self.hardware}", "record it with tcpdump, then --read"
            )
        self.link_type = _LINK_TYPES[self.hardware]
        self._lost, self._lost_before = 0, self._dropped()

    def receive(self, view: memoryview) -> tuple[int, int, int] | None:
        """Put a packet into `view` (snaplen + 4 bytes or more): its captured and wire bytes and time [ns].

        None for the second sight of a packet on loopback. Raises BlockingIOError when no packet waits.
        """
        size, ancillary, _, sender = self.raw.recvmsg_into([view[: self.snaplen]], 256)
        if self.hardware == _LOOPBACK and sender[2] == socket.PACKET_OUTGOING:
            return None
        wire, stamp = size, 0
        for level, kind, value in ancillary:
            if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
                status, wire, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
                if (tci or status & _VLAN_VALID) and self.link_type == 1 and size >= 12:  # the kernel took the tag off
                    view[16 : size + 4] = bytes(view[12:size])
                    view[12:16] = struct.pack("!HH", tpid if status & _VLAN_TPID_VALID else 0x8100, tci)
                    size, wire = min(size + 4, self.snaplen), wire + 4
            elif level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("qq" if len(value) == 16 else "ii", value)
                stamp = seconds * 1_000_000_000 + nanoseconds
        return size, max(wire, size), stamp or time.time_ns()

    def kernel_drops(self) -> int:
        """Packets that found the socket's buffer full."""
        self._lost += struct.unpack("II", self.raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        return self._lost

    def interface_drops(self) -> int | None:
        now = self._dropped()
        return None if now is None or self._lost_before is None else now - self._lost_before

    def _dropped(self) -> int | None:
        counts = [
            Path(f"/sys/class/net/{self.name}/statistics/{count}") for count in ("rx_dropped", "rx_missed_errors")
        ]
        return sum(int(count.read_text()) for count in counts) if all(count.exists() for count in counts) else None

    def close(self) -> None:
        self._socket.close()


def _listen(name: str, bpf: str | None) -> Any:
    """scapy's listening socket on `name`; every way it can fail as an InputError."""
    if not sys.platform.startswith("linux"):
        raise InputError(
            "live capture", "works on Linux only", "record with tcpdump or Wireshark, then --read the file"
        )
    from scapy.arch.linux import L2ListenSocket
    from scapy.error import Scapy_Exception

    logging.getLogger("scapy").setLevel(logging.ERROR)  # it warns of layers that it does not know; we use none
    try:
        return L2ListenSocket(iface=name, filter=bpf)
    except PermissionError:
        command = shlex.join(["sudo", sys.executable, *sys.argv])
        raise InputError(f"interface {name}", "capturing needs more rights", f"run  {command}") from None
    except Scapy_Exception as error:
        if isinstance(error.__context__, ImportError):
            raise InputError("--filter", "libpcap is missing, which translates it", "install libpcap") from error
        reason = re.search(r"\(([^()]*)\)$", str(error))
        raise InputError(f"--filter {bpf!r}", reason[1] if reason else str(error), "see  man pcap-filter") from error
    except OSError as error:
        raise InputError(f"interface {name}", f"cannot be opened ({error.strerror})", "choose another") from error


def end_on_signal(source: LiveSource) -> None:
    """Ctrl+C and SIGTERM end `source` as if it had ended by itself; a second one does not wait."""

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler)
        source.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


class LiveSource:
    """Interfaces as an iterator of Frames; a context manager, as frames.FileSource is.

    Ends after `duration_s` (None: never), or soon after `stop`, which a signal handler may call.
    problems: what happened on the way, in words.
    Raises InputError where an interface cannot be opened, or their link types differ.
    """

    def __init__(self, names: Sequence[str], bpf: str | None, snaplen: int, duration_s: float | None = None) -> None:
        self.name = ", ".join(names)
        self.snaplen, self.filter, self.duration_s = snaplen, bpf, duration_s
        self.problems: list[str] = []
        self.packets = 0
        self._stopping = False
        self._sockets: list[_Socket] = []
        try:
            for name in dict.fromkeys(names):
                self._sockets.append(_Socket(name, bpf, snaplen))
        except BaseException:
            self.close()
            raise
        self.link_types = sorted({s.link_type for s in self._sockets})
        if len(self.link_types) > 1:
            self.close()
            raise InputError(f"interfaces {self.name}", "have different link types", "capture them one by one")

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for one in self._sockets:
            one.close()

    def stop(self) -> None:
        """End the iteration: what has come in is passed on first."""
        self._stopping = True

    def about(self) -> dict[str, Any]:
        """For the manifest. Call it before `close`."""
        lost = [one.interface_drops() for one in self._sockets]
        return {
            "source": f"live: {self.name}",
            "format": "live",
            "link_types": self.link_types,
            "filter": self.filter,
            "snap_length": self.snaplen,
            "kernel_drops": self.kernel_drops(),
            "interface_drops": None if None in lost else sum(filter(None, lost)),
        }

    def kernel_drops(self) -> int:
        """Packets lost so far because we were too slow."""
        return sum(one.kernel_drops() for one in self._sockets)

    def __iter__(self) -> Iterator[Frames]:
        until = None if self.duration_s is None else time.monotonic() + self.duration_s
        with selectors.DefaultSelector() as waiting:
            for one in self._sockets:
                waiting.register(one.raw, selectors.EVENT_READ, one)
            while not self._stopping and (until is None or time.monotonic() < until) and waiting.get_map():
                block = self._block(waiting, until)
                if len(block):
                    self.packets += len(block)
                    yield block

    def _block(self, waiting: selectors.BaseSelector, until: float | None) -> Frames:
        data = np.empty(BLOCK_BYTES + self.snaplen + 4, np.uint8)
        room = data.data
        rows: list[tuple[int, int, int, int]] = []  # offset, captured, length, time
        at = 0
        full = time.monotonic() + BLOCK_SECONDS
        full = full if until is None else min(full, until)
        while at < BLOCK_BYTES and not self._stopping and (left := full - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                for _ in range(256):  # then the others have their turn
                    try:
                        packet = key.data.receive(room[at:])
                    except BlockingIOError:
                        break
                    except OSError as error:
                        if error.errno not in (errno.ENETDOWN, errno.ENODEV, errno.ENXIO):
                            raise
                        self.problems.append(f"interface {key.data.name} went down ({os.strerror(error.errno)})")
                        waiting.unregister(key.fileobj)
                        break
                    if packet:
                        rows.append((at, *packet))
                        at += packet[0]
                    if at >= BLOCK_BYTES:
                        break
            if not waiting.get_map():
                break
        offset, captured, length, stamp = np.array(rows, np.int64).reshape(-1, 4).T.copy()
        block = Frames(data, offset, captured, length, stamp, np.full(len(rows), self.link_types[0], np.int32))
        return block.select(np.argsort(stamp, kind="stable")) if len(self._sockets) > 1 else block
