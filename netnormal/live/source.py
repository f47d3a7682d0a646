"""Several interfaces as one source of blocks of raw frames, in order of time."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from netnormal.frames import Frames
from netnormal.kernels import ring as kernels
from netnormal.live import interfaces
from netnormal.live.pcap_socket import PcapSocket
from netnormal.live.ring import RETIRE_MS, Ring
from netnormal.tables import InputError

BLOCK_BYTES = 8 << 20
BLOCK_SECONDS = 0.25  # a block is passed on when it is full or this old; an empty one too, so that time goes on
_WAIT_S = 0.1
SETTLED_NS = 3 * RETIRE_MS * 1_000_000  # what is older has come in from every interface


class LiveSource:
    """Interfaces as an iterator of Frames; a context manager, as frames.FileSource is.

    names: interfaces, or `any`: all there are, now and later, with Linux's cooked link header.
    kind: "ring", Linux's own; "scapy": libpcap through scapy, on any system.
    Ends after `duration_s` (None: never), when no interface is left, or soon after `stop`, which a signal handler may
    call. lost: interfaces that went away. problems: what happened on the way, in words.
    Raises InputError where an interface cannot be opened, or their link types differ.
    """

    def __init__(
        self,
        names: Sequence[str],
        bpf: str | None,
        snaplen: int,
        duration_s: float | None = None,
        kind: str = "ring",
        buffer_bytes: int = 64 << 20,
    ) -> None:
        self.names = list(dict.fromkeys(names))
        self.name = ", ".join(self.names)
        self.snaplen, self.filter, self.duration_s, self.kind = snaplen, bpf, duration_s, kind
        self.problems: list[str] = []
        self.lost: list[str] = []
        self.packets = 0
        self._stopping = False
        self._sockets: list[Ring | PcapSocket] = []
        self._kept: Frames | None = None
        self._until: float | None = None
        opened = Ring if kind == "ring" else PcapSocket
        try:
            if interfaces.ANY in self.names and len(self.names) > 1:
                raise InputError("--interface any", "has all interfaces already", "name it alone")
            for name in self.names:
                self._sockets.append(opened(name, bpf, snaplen, buffer_bytes))
        except BaseException:
            self.close()
            raise
        self.link_types = sorted({s.link_type for s in self._sockets})
        if len(self.link_types) > 1:
            self.close()
            raise InputError(f"interfaces {self.name}", "have different link types", "capture them one by one")
        longest = [None if name == interfaces.ANY else interfaces.longest_frame(name) for name in self.names]
        self.longest_frame = None if None in longest else max(filter(None, longest))
        self._watched = list(self._sockets)

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

    def prepare(self) -> None:
        """Compile the kernels now, rather than while packets wait."""
        none = np.zeros(0, np.int64)
        _alone(Frames(np.zeros(0, np.uint8), none, none, none, none, none.astype(np.int32)))

    def start(self) -> None:
        """Packets come in from now on."""
        for one in self._sockets:
            one.start()
        self._until = None if self.duration_s is None else time.monotonic() + self.duration_s

    def about(self) -> dict[str, Any]:
        """For the manifest. Call it before `close`."""
        return {
            "source": f"live: {self.name}",
            "format": "live",
            "link_types": self.link_types,
            "filter": self.filter,
            "snap_length": self.snaplen,
            "buffer_bytes": sum(one.buffer_bytes for one in self._sockets) or None,
        } | self.losses()

    def losses(self) -> dict[str, int | None]:
        """Packets lost so far because we were too slow, how often, and those the interfaces lost. None: not known."""
        return {
            "kernel_drops": _sum(one.kernel_drops() for one in self._sockets),
            "ring_freezes": _sum(one.freezes() for one in self._sockets),
            "interface_drops": _sum(one.interface_drops() for one in self._sockets),
        }

    def __iter__(self) -> Iterator[Frames]:
        while not self._stopping and self._watched and (self._until is None or time.monotonic() < self._until):
            yield self._in_order(*self._gathered())
        for one in self._watched:
            one.stop()
        time.sleep(2 * RETIRE_MS / 1000 if self._watched else 0)  # then the last blocks are passed on, too
        while True:
            parts, settled = self._taken()
            last = settled is None
            yield self._in_order(parts, None if last else settled)
            if last:
                return

    def _gathered(self) -> tuple[list[Frames], int | None]:
        """What comes in until BLOCK_BYTES or BLOCK_SECONDS; up to which time [ns] all is there."""
        parts: list[Frames] = []
        size, full = 0, time.monotonic() + BLOCK_SECONDS
        full = full if self._until is None else min(full, self._until)
        settled: int | None = None
        while size < BLOCK_BYTES and not self._stopping and self._watched and (left := full - time.monotonic()) > 0:
            self._wait(min(left, _WAIT_S))
            more, settled = self._taken()
            parts += more
            size += sum(len(part.data) for part in more)
        now = time.time_ns() - SETTLED_NS
        return parts, now if settled is None else min(now, settled)

    def _wait(self, seconds: float) -> None:
        if sys.platform == "win32":  # a Npcap handle cannot be waited for in this way
            time.sleep(0.02)
            return
        waiting = select.poll()
        for one in self._watched:
            waiting.register(one.fileno(), select.POLLIN | select.POLLERR)
        waiting.poll(seconds * 1000)
        for one in list(self._watched):
            if failure := one.failure():
                self.problems.append(f"interface {one.name} went down ({os.strerror(failure)})")
                self.lost.append(one.name)
                self._watched.remove(one)

    def _taken(self) -> tuple[list[Frames], int | None]:
        """What waits now. The time [ns] of the last frame of an interface with more waiting; None: there is none."""
        parts, settled = [], None
        for one in self._sockets:
            part = one.take(BLOCK_BYTES)
            if not len(part):
                continue
            parts.append(part)
            if len(part.data) >= BLOCK_BYTES:
                last = int(part.time[-1])
                settled = last if settled is None else min(settled, last)
        return parts, settled

    def _in_order(self, parts: list[Frames], settled: int | None) -> Frames:
        """One block of `parts`; of several interfaces those up to `settled` (None: all), by time."""
        if self._kept is not None and len(self._kept):
            parts = [self._kept, *parts]
        block = _joined(parts, self.link_types[0])
        if len(self._sockets) > 1:
            block = block.select(np.argsort(block.time, kind="stable"))
            cut = len(block) if settled is None else int(np.searchsorted(block.time, settled, side="right"))
            self._kept, block = _alone(block.select(slice(cut, None))), block.select(slice(0, cut))
        self.packets += len(block)
        return block


def _joined(parts: list[Frames], link_type: int) -> Frames:
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [len(part.data) for part in parts])
    none = np.zeros(0, np.int64)
    return Frames(
        np.concatenate([np.zeros(0, np.uint8), *(part.data for part in parts)]),
        np.concatenate([none, *(part.offset + start for part, start in zip(parts, starts, strict=False))]),
        np.concatenate([none, *(part.captured for part in parts)]),
        np.concatenate([none, *(part.length for part in parts)]),
        np.concatenate([none, *(part.time for part in parts)]),
        np.full(sum(len(part) for part in parts), link_type, np.int32),
    )


def _alone(block: Frames) -> Frames:
    """The same frames without bytes of others between them."""
    offset = np.cumsum(block.captured) - block.captured
    data = np.empty(int(block.captured.sum()), np.uint8)
    kernels.gather(block.data, block.offset, block.captured, data)
    return Frames(data, offset, block.captured, block.length, block.time, block.link_type)


def _sum(numbers: Any) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
