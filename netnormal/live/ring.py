"""One interface through Linux's memory-mapped packet ring, AF_PACKET with TPACKET_V3: the kernel writes, we copy.

Sources: packet(7), Documentation/networking/packet_mmap of the Linux kernel, linux/if_packet.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import socket
import struct

import numpy as np

from netnormal.frames import Frames
from netnormal.kernels import ring as kernels
from netnormal.live import bpf, interfaces, rights
from netnormal.tables import InputError

BLOCK_BYTES = 1 << 20
RETIRE_MS = 100  # after which the kernel passes on a block that is not full
_FRAME_BYTES = 2048  # checked by the kernel, without a meaning in version 3
_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION = 263, 5, 6, 10
_V3, _ALL, _USER = 2, 3, 1
_COOKED = 113  # LINKTYPE_LINUX_SLL


class Ring:
    """A ring of `buffer_bytes` (less where the kernel has no room) on one interface, or `any`.

    Nothing comes in before `start`; what the filter does not take never does.
    Raises InputError if it cannot be opened, in words that say what to do.
    """

    def __init__(self, name: str, expression: str | None, snaplen: int, buffer_bytes: int) -> None:
        self.name, self.snaplen = name, snaplen
        self._index = interfaces.index(name)
        self._cooked = name == interfaces.ANY
        hardware = None if self._cooked else interfaces.number(name, "type")
        if not self._cooked and hardware not in interfaces.LINK_TYPES:
            raise InputError(
                f"interface {name}", f"has hardware type {hardware}", "record it with tcpdump, then --read"
            )
        self.link_type = _COOKED if hardware is None else interfaces.LINK_TYPES[hardware]
        self._kind = 2 if self._cooked else int(self.link_type == 1)
        try:
            self._socket = socket.socket(17, socket.SOCK_DGRAM if self._cooked else socket.SOCK_RAW, 0)
        except PermissionError:
            raise InputError(f"interface {name}", "capturing needs more rights", rights.needed()) from None
        with contextlib.ExitStack() as undo:
            undo.callback(self._socket.close)
            program = bpf.everything(snaplen)
            if expression:
                program = bpf.translated(expression, name, snaplen, self._cooked)
            bpf.attach(self._socket, program)
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _V3)
            self._map = self._mapped(buffer_bytes)
            undo.pop_all()
        self._blocks = np.frombuffer(self._map, np.uint8).reshape(-1, BLOCK_BYTES)
        self._status = self._blocks.view(np.uint32)[:, 2]
        self._next = 0
        self.buffer_bytes = self._blocks.size
        self._drops = self._freezes = 0
        nothing, empty = np.zeros(BLOCK_BYTES, np.uint8), np.empty((4, 0), np.int64)
        kernels.copy_block(nothing, 0, 0, nothing, 0, *empty, 0)  # type: ignore[call-arg] # compiled early
        self._lost_before = None if self._cooked else interfaces.drops(name)

    def _mapped(self, buffer_bytes: int) -> mmap.mmap:
        count = max(buffer_bytes // BLOCK_BYTES, 4)
        while True:
            request = (BLOCK_BYTES, count, _FRAME_BYTES, BLOCK_BYTES // _FRAME_BYTES * count, RETIRE_MS, 0, 0)
            try:
                self._socket.setsockopt(_SOL_PACKET, _RX_RING, struct.pack("7I", *request))
                return mmap.mmap(self._socket.fileno(), BLOCK_BYTES * count)
            except OSError as error:
                if count <= 4:
                    raise InputError(
                        f"interface {self.name}",
                        f"the kernel gives no memory for its packets ({error.strerror})",
                        "close other programs, or try --source scapy",
                    ) from error
                count //= 2

    def start(self) -> None:
        """Packets come in from now on."""
        try:
            if not self._cooked:
                interfaces.promiscuous(self._socket, self._index)
            _bind(self._socket, self._index)
        except OSError as error:
            raise InputError(
                f"interface {self.name}", f"cannot be listened on ({error.strerror})", "choose another"
            ) from error
        if self.failure():
            raise InputError(f"interface {self.name}", "is down", f"run  ip link set {self.name} up")

    def stop(self) -> None:
        """No more packets come in; those that did are whole in the ring after RETIRE_MS."""
        bpf.attach(self._socket, bpf.nothing())

    def fileno(self) -> int:
        return self._socket.fileno()

    def failure(self) -> int:
        """The errno of what happened to the interface, 0 if nothing did."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def take(self, most_bytes: int) -> Frames:
        """Copy what waits, at most `most_bytes`, and give its room back to the kernel."""
        ready: list[int] = []
        size = 0
        at = self._next
        while len(ready) < len(self._blocks) and self._status[at] & _USER and size < most_bytes:
            ready.append(at)
            size += int(self._blocks[at, 20:24].view(np.uint32)[0])
            at = (at + 1) % len(self._blocks)
        room = sum(int(self._blocks[i, 12:16].view(np.uint32)[0]) for i in ready)
        data, columns = np.empty(size, np.uint8), np.empty((4, room), np.int64)
        end = row = 0
        for i in ready:
            end, row = kernels.copy_block(self._blocks[i], self._kind, self.snaplen, data, end, *columns, row)  # type: ignore[call-arg]
            self._status[i] = 0
        self._next = at
        offset, captured, length, time = columns[:, :row]
        return Frames(data, offset, captured, length, time, np.full(row, self.link_type, np.int32))

    def _count(self) -> None:
        _, drops, freezes = struct.unpack("3I", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
        self._drops += drops  # each look sets the kernel's counts to zero
        self._freezes += freezes

    def kernel_drops(self) -> int:
        """Packets that found the ring full."""
        self._count()
        return self._drops

    def freezes(self) -> int:
        """How often the ring was full."""
        self._count()
        return self._freezes

    def interface_drops(self) -> int | None:
        now = None if self._cooked else interfaces.drops(self.name)
        return None if now is None or self._lost_before is None else now - self._lost_before

    def close(self) -> None:
        self._socket.close()  # the kernel keeps the memory until the map goes


def _bind(sock: socket.socket, index: int) -> None:
    """bind(2) to all protocols of an interface; Python's own has no way to say all interfaces, index 0."""
    address = struct.pack("=H2si12x", socket.AF_PACKET, struct.pack("!H", _ALL), index)
    if ctypes.CDLL(None, use_errno=True).bind(sock.fileno(), address, len(address)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
