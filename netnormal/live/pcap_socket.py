"""One interface through libpcap (on Windows Npcap), by way of scapy: works everywhere, a packet at a time."""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
from typing import Any

import numpy as np

from netnormal.frames import Frames
from netnormal.live import interfaces, rights
from netnormal.tables import InputError

# data link type of libpcap → LINKTYPE_, where they differ (pcap-linktype(7))
_LINK_TYPES = {12: 101, 14: 101}


class PcapSocket:
    """The same as ring.Ring for systems without it. Nobody counts what is lost here."""

    def __init__(self, name: str, expression: str | None, snaplen: int, _buffer_bytes: int) -> None:
        self.name, self.snaplen = name, snaplen
        if sys.platform != "win32":
            interfaces.index(name)
        from scapy.config import conf
        from scapy.error import Scapy_Exception

        logging.getLogger("scapy").setLevel(logging.ERROR)  # it warns of layers that it does not know; we use none
        try:
            conf.use_pcap = True
            from scapy.arch.libpcap import L2pcapListenSocket

            self._socket: Any = L2pcapListenSocket(iface=name, filter=expression)
        except (PermissionError, Scapy_Exception, OSError, ImportError, NameError) as error:
            raise _why(name, expression, error) from error
        link_type = int(self._socket.pcap_fd.datalink())
        self.link_type = _LINK_TYPES.get(link_type, link_type)
        self._socket.pcap_fd.setnonblock(True)
        self.buffer_bytes = 0

    def start(self) -> None:
        """Packets come in since the socket is there."""

    def stop(self) -> None:
        """What comes in from now on is not asked for."""

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def failure(self) -> int:
        """ENETDOWN if the interface has gone, 0 if not or nobody knows."""
        gone = sys.platform.startswith("linux") and self.name != interfaces.ANY and not interfaces.is_up(self.name)
        return errno.ENETDOWN if gone else 0

    def take(self, most_bytes: int) -> Frames:
        """What waits, at most `most_bytes`."""
        pieces: list[bytes] = []
        stamps: list[int] = []
        lengths: list[int] = []
        size = 0
        while size < most_bytes:
            _, packet, stamp = self._socket.recv_raw(self.snaplen)
            if packet is None:
                break
            pieces.append(packet[: self.snaplen])
            stamps.append(round(stamp * 1_000_000) * 1000)  # libpcap counts microseconds
            lengths.append(int(self._socket.pcap_fd.header.contents.len))
            size += len(packet)
        captured = np.array([len(piece) for piece in pieces], np.int64)
        data = np.frombuffer(bytearray(b"".join(pieces)), np.uint8)  # writable, as all others
        time, length = np.array([stamps, lengths], np.int64).reshape(2, -1)
        offset = np.cumsum(captured) - captured
        return Frames(data, offset, captured, length, time, np.full(len(time), self.link_type, np.int32))

    def kernel_drops(self) -> int | None:
        return None  # nobody counts

    def freezes(self) -> int | None:
        return None

    def interface_drops(self) -> int | None:
        return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


def _why(name: str, expression: str | None, error: Exception) -> InputError:
    words = " ".join(str(error).split())
    if isinstance(error, (ImportError, NameError)):
        if sys.platform == "win32":
            return InputError("live capture", "Npcap is missing", "install it from npcap.com, see docs/windows.md")
        return InputError("live capture", "libpcap is missing", "install libpcap")
    if isinstance(error, PermissionError) or "permission" in words.lower():
        return InputError(f"interface {name}", "capturing needs more rights", rights.needed())
    if expression and "filter" in words.lower():
        return InputError(f"--filter {expression!r}", words, "see  man pcap-filter")
    return InputError(f"interface {name}", f"cannot be opened ({words})", "choose another")
