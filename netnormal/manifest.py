"""What a capture says of itself: captured_data.json, written beside captured_data.csv."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

import netnormal
from netnormal import tables
from netnormal.frames import Frames
from netnormal.kernels.frames import repeats

_LIBRARIES = ("numba", "numpy", "pandas", "pyarrow", "scapy")
_LINK_TYPES = {
    0: "NULL",
    1: "Ethernet",
    9: "PPP",
    10: "FDDI",
    12: "raw IP",
    14: "raw IP",
    50: "PPP over HDLC",
    51: "PPPoE",
    101: "raw IP",
    104: "Cisco HDLC",
    105: "IEEE 802.11",
    107: "Frame Relay",
    108: "LOOP",
    113: "Linux cooked",
    119: "IEEE 802.11 with Prism header",
    127: "IEEE 802.11 with radiotap",
    163: "IEEE 802.11 with AVS header",
    166: "PPP with direction",
    228: "IPv4",
    229: "IPv6",
    239: "NFLOG",
    242: "IP over InfiniBand",
    258: "PKTAP",
    276: "Linux cooked, version 2",
}


def link_type_name(link_type: int) -> str:
    """A LINKTYPE_ value in words; those that are not decoded as `link type N`."""
    return _LINK_TYPES.get(link_type, f"link type {link_type}")


class Counted(Protocol):
    """What `sentence` speaks of; times in ns."""

    packets: int
    wire_bytes: int
    start: int
    end: int


def sentence(counted: Counted, table: Path, undecoded: int) -> str:
    """What became of a capture, for the last line on the terminal."""
    seconds = round((counted.end - counted.start) / 1e9)
    minutes, rest = divmod(seconds, 60)
    span = f"{minutes:,} min {rest} s" if minutes else f"{rest} s"
    size = counted.wire_bytes
    amount = f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
    about = table.name.removesuffix(".gz").removesuffix(".csv") + ".json"
    left = f"; {undecoded:,} not decoded (see {about})" if undecoded else ""
    return f"{counted.packets:,} packets ({span}, {amount}) → {table}{left}"


class Tally:
    """Counts over the blocks of one capture: packets, bytes, when, whether its clock went backwards, and duplicates.

    longest_frame: bytes of the longest that belongs on the wire; None: not known. Longer ones are the work of an
    adapter that joins what it receives, and splits what it sends (offloading). whole: frames have their payload;
    without it duplicates cannot be told.
    """

    def __init__(self, longest_frame: int | None = None, whole: bool = True) -> None:
        self._longest, self._whole = longest_frame, whole
        self.duplicates = self.oversized = 0
        self._recent = np.zeros((2, 4), np.int64)  # hash and time of the latest frames
        self.packets = self.wire_bytes = self.captured_bytes = 0
        self.start = self.end = 0
        self.backward_steps = self.largest_backward_step_ns = 0
        self._last: int | None = None

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any], longest_frame: int | None) -> Tally:
        """The counts that `manifest` wrote down, to go on with."""
        one = cls(longest_frame, manifest["duplicate_packets"] is not None)
        one.packets, one.wire_bytes = manifest["packets"], manifest["wire_bytes"]
        one.captured_bytes, one.duplicates = manifest["captured_bytes"], manifest["duplicate_packets"] or 0
        one.oversized = manifest["oversized_packets"] or 0
        one.backward_steps = manifest["clock"]["backward_steps"]
        one.largest_backward_step_ns = round(manifest["clock"]["largest_backward_step_s"] * 1e9)
        if one.packets:
            one.start, one.end = (tables.nanoseconds(manifest[k]) for k in ("start", "end"))
            one._last = one.end
        return one

    def add(self, frames: Frames) -> None:
        """Take the next frames."""
        if self._whole:
            data, marks, times = frames.data, self._recent[0], self._recent[1]
            self.duplicates += repeats(data, frames.offset, frames.captured, frames.length, frames.time, marks, times)
        self._add(frames.time, frames.length, int(frames.captured.sum()))

    def add_rows(self, rows: pd.DataFrame) -> None:
        """Take packets of which there are only the rows of tables.PACKETS: duplicates are not found among them."""
        self._add(rows["time"].to_numpy(), rows["length"].to_numpy(), int(rows["captured"].sum()))

    def _add(self, time: np.ndarray, length: np.ndarray, captured_bytes: int) -> None:
        if not len(time):
            return
        first = int(time[0]) if self._last is None else self._last
        steps = time[1:] - time[:-1]
        into = int(time[0]) - first
        self.backward_steps += int((steps < 0).sum()) + (into < 0)
        self.largest_backward_step_ns = max(self.largest_backward_step_ns, -into, -int(steps.min(initial=0)))
        self.start = int(time.min()) if self._last is None else min(self.start, int(time.min()))
        self.end = int(time.max()) if self._last is None else max(self.end, int(time.max()))
        self._last = int(time[-1])
        if self._longest is not None:
            self.oversized += int((length > self._longest).sum())
        self.packets += len(time)
        self.wire_bytes += int(length.sum())
        self.captured_bytes += captured_bytes

    def manifest(self, source: dict[str, Any], undecoded: dict[str, int], problems: list[str]) -> dict[str, Any]:
        """The manifest. source: what is known of where the packets came from; its names come first.

        An unknown value is None: `kernel_drops` 0 says that none were lost, None that nobody counted.
        """
        return source | {
            "start": tables.iso(self.start) if self.packets else None,
            "end": tables.iso(self.end) if self.packets else None,
            "packets": self.packets,
            "wire_bytes": self.wire_bytes,
            "captured_bytes": self.captured_bytes,
            "undecoded_packets": sum(undecoded.values()),
            "undecoded_by_reason": dict(sorted(undecoded.items(), key=lambda item: (-item[1], item[0]))),
            "clock": {
                "backward_steps": self.backward_steps,
                "largest_backward_step_s": self.largest_backward_step_ns / 1e9,
            },
            "duplicate_packets": self.duplicates if self._whole else None,
            "oversized_packets": None if self._longest is None else self.oversized,
            "problems": problems,
            "versions": {"netnormal": netnormal.__version__, "python": platform.python_version()}
            | {name: metadata.version(name) for name in _LIBRARIES},
        }
