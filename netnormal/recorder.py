"""A live capture's files: written to as packets come in, whole at every moment."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from netnormal import earlier, packets, tables, traffic
from netnormal.frames import Frames, PcapWriter
from netnormal.manifest import Tally
from netnormal.tables import InputError

_MANIFEST_S = 10  # seconds between two states of the manifest while the capture runs
_MOST_PLACES = 256  # of a pcap that are in its manifest: of twice as many every other one
_PLACE_BYTES = 16 << 20  # between two of them at first
_WAITING = 2  # blocks that may wait to be written; then the kernel's buffer fills
_log = logging.getLogger("netnormal")
Taker = Callable[[pd.DataFrame], None]


@dataclass(frozen=True)
class Plan:
    """Where and how. table: the CSV; the others lie beside it with its stem. None: no such limit."""

    table: Path
    pcap: bool
    rotate_s: float | None = None
    rotate_bytes: int | None = None
    keep: int | None = None
    drop_share: float = 0.0

    def beside(self, kind: str) -> Path:
        return self.table.with_suffix(kind)


def prepare(link_type: int) -> None:
    """Compile all kernels now, rather than while packets wait, and as who may write beside them."""
    frame = bytes(12) + bytes.fromhex(
        "08004500002800010000400666cd0a0000010a0000029c4001bb0000000000000000500220000000000000"
    )
    one = np.array([len(frame)], np.int64)
    block = Frames(np.frombuffer(bytearray(frame), np.uint8), one * 0, one, one, one, np.full(1, link_type, np.int32))
    Tally().add(block)
    with PcapWriter(os.devnull, link_type, 64) as nowhere:
        nowhere.append(block)
    statistics = traffic.TrafficStatistics()
    statistics.add(packets.Decoder().decode(block))
    statistics.summary()
    Tally().manifest({}, {}, [])  # loads what it needs while we may still read it, too
    gc.freeze()  # what is loaded by now stays: not to be looked through again and again


# ---------------------------------------------------------------- files of now


class _Whole:
    """A file without buffer whose `write` takes all, or raises: a full disk takes a part, and then refuses."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, piece: bytes | memoryview) -> int:
        left = memoryview(piece)
        while left:
            left = left[self._file.write(left) :]
        return len(piece)


class _Segment:
    """The files of one capture, or of one part of a long one. What `append` has taken is in them.

    before: the capture that lies there already, and is continued.
    """

    def __init__(self, plan: Plan, source: Any, before: earlier.Earlier | None = None) -> None:
        self.plan, self.decoder, self.before = plan, packets.Decoder(), before
        self.tally = Tally(source.longest_frame, not source.about().get("anonymized"))
        self._places: list[tuple[int, int]] = []  # up to which time [ns] all is before which byte of the pcap
        self._apart = _PLACE_BYTES
        if before:
            self.tally, self.decoder.undecoded = before.tally, before.undecoded
            self.decoder.packets = before.tally.packets
        self.began = time.monotonic()
        self._broken = False
        with contextlib.ExitStack() as undo:
            try:
                plan.table.parent.mkdir(parents=True, exist_ok=True)
                self._table = plan.table.open("ab" if before else "xb", buffering=0)
                self._pcap = None
                undo.callback(self.undo)
                earlier.hold(self._table)
                if plan.pcap:
                    pcap = plan.beside(".pcap")
                    self._pcap = PcapWriter(pcap, source.link_types[0], source.snaplen, before is not None)
                there = tables.PACKETS.names if self._table.tell() else None
                self._rows = tables.Writer(_Whole(self._table), tables.PACKETS, there)
                self._rows.append(tables.empty(tables.PACKETS))  # the header line
                self.csv_bytes = self._table.tell()
            except OSError as error:
                raise _cannot(plan.table, error) from error
            undo.pop_all()

    def undo(self) -> None:
        """Leave nothing of files that could not all be made."""
        self._table.close()
        if self._pcap:
            self._pcap.close()
        for kind in () if self.before else earlier.KINDS:
            self.plan.beside(kind).unlink(missing_ok=True)

    @property
    def problems(self) -> list[str]:
        """Of the part before this one."""
        return self.before.problems if self.before else []

    @property
    def runs(self) -> int:
        """How many captures one after the other wrote these files."""
        return 1 + int(self.before.manifest.get("runs") or 1) if self.before else 1

    @property
    def pcap_bytes(self) -> int:
        return self._pcap.size if self._pcap else 0

    @property
    def size(self) -> int:
        return self.csv_bytes + self.pcap_bytes

    def append(self, block: Frames, behind: ThreadPoolExecutor) -> Any:
        """Write a block; the decoded rows. Raises InputError if the disk is full: then the files end before it."""
        rows = self.decoder.decode(block)
        pcap_bytes = self.pcap_bytes
        written: Future[None] = behind.submit(self._rows.append, rows)
        try:
            try:
                if self._pcap:
                    self._pcap.append(block)
            finally:
                written.result()
        except OSError as error:
            self._broken = True
            os.truncate(self.plan.table, self.csv_bytes)
            if self._pcap:
                os.truncate(self.plan.beside(".pcap"), pcap_bytes)
            raise _cannot(self.plan.table, error) from error
        self.csv_bytes = self._table.tell()
        if pcap_bytes - (self._places[-1][1] if self._places else 0) >= self._apart:
            self._places.append((self.tally.end, pcap_bytes))
        if len(self._places) >= 2 * _MOST_PLACES:
            self._places, self._apart = self._places[1::2], 2 * self._apart
        self.tally.add(block)
        return rows

    def write_manifest(self, about: Mapping[str, Any], problems: list[str]) -> None:
        places = [[tables.iso(time), byte] for time, byte in self._places]
        whole = self.tally.manifest({**about, "pcap_places": places}, self.decoder.undecoded, problems)
        tables.write_json(self.plan.beside(".json"), whole)

    def close(self, about: Mapping[str, Any], problems: list[str]) -> None:
        self._table.close()
        checksum = {}
        if self._pcap:
            self._pcap.close()
            checksum = {"sha256": None if self._broken else self._pcap.sha256()}
        self.write_manifest({**about, **checksum}, problems)


def _cannot(path: Path, error: OSError) -> InputError:
    return InputError(path, f"cannot be written ({error.strerror})", "make room or choose another --output")


# ---------------------------------------------------------------- the recorder


class Recorder:
    """Writes what a live source passes on, in threads of its own, so that the source is emptied in the meantime.

    before: the capture that is continued. also: called, in the recorder's thread, with the rows (tables.PACKETS) of
    each block when they are in the files.
    A context manager: its end finishes the files. `put` blocks of frames; `state` is what is known, once a second.
    about: what the source says of itself and of its losses, asked from time to time.
    Raises InputError (from `put`, `finish` or the end) when the disk is full; what was written before is whole.
    """

    def __init__(
        self, plan: Plan, source: Any, before: earlier.Earlier | None = None, also: Sequence[Taker] = ()
    ) -> None:
        self.plan, self._source, self._also = plan, source, also
        self.packets = self.wire_bytes = 0
        self.start = self.end = 0
        self.undecoded = 0
        self.state: dict[str, Any] = {}
        self.segments: list[Path] = []
        self._given = self._unwritten = 0
        self._statistics = traffic.TrafficStatistics()
        self._lost_before: dict[str, int | None] = {}
        self._odd_before: dict[str, int] = {}
        if before:
            self._lost_before = {name: -(before.manifest.get(name) or 0) for name in source.losses()}
            self.undecoded = -sum(before.undecoded.values())
        self._segment: _Segment | None = None
        self._open(before)
        self._began = self._last_state = time.monotonic()
        self._last_manifest, self._state_cost = self._began, 0.0
        self._counted = (0, 0)
        self._queue: queue.Queue[Frames | None] = queue.Queue(_WAITING)
        self._failure: BaseException | None = None
        self._finished = False
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def _open(self, before: earlier.Earlier | None = None) -> None:
        segment = _Segment(self.plan, self._source, before)
        try:
            segment.write_manifest(self._about(segment), [*segment.problems, earlier.UNFINISHED])
        except InputError:
            segment.undo()
            raise
        self._segment = segment

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def put(self, block: Frames) -> None:
        self._given += len(block)
        while not self._failure:
            try:
                return self._queue.put(block, timeout=0.2)
            except queue.Full:
                continue
        self.finish()
        return None

    def finish(self) -> None:
        """Write what waits and finish the files. More than once does no harm."""
        if not self._finished:
            self._finished = True
            while self._thread.is_alive():
                with contextlib.suppress(queue.Full):
                    self._queue.put(None, timeout=0.2)
                    break
            self._thread.join()
            self._unwritten = self._given - self.packets
            lost = [f"{self._failure}; {self._unwritten:,} packets were not written"] if self._failure else []
            try:
                self._note(time.monotonic())
                self._close(lost)
            except InputError:
                if not self._failure:
                    raise
            if self._failure:
                raise self._failure

    def _work(self) -> None:
        try:
            with ThreadPoolExecutor(1) as behind:
                while (block := self._queue.get()) is not None:
                    if len(block):
                        self._append(block, behind)
                    self._tick()
        except BaseException as error:
            self._failure = error

    def _append(self, block: Frames, behind: ThreadPoolExecutor) -> None:
        assert self._segment is not None
        rows = self._segment.append(block, behind)
        low, high = int(block.time.min()), int(block.time.max())
        self.start = min(self.start, low) if self.packets else low
        self.end = max(self.end, high) if self.packets else high
        self.packets += len(block)
        self.wire_bytes += int(block.length.sum())
        self._statistics.add(rows)
        for take in self._also:
            take(rows)

    def _tick(self) -> None:
        now = time.monotonic()
        segment = self._segment
        assert segment is not None
        if not self.state or now - self._last_state >= max(1.0, 20 * self._state_cost):
            self._note(now)
            self._state_cost = time.monotonic() - now
        if now - self._last_manifest >= _MANIFEST_S:
            self._last_manifest = now
            segment.write_manifest(self._about(segment), [*segment.problems, earlier.UNFINISHED])
        if self._full(segment, now):
            self._close([])
            folder, _ = earlier.put_away(self.plan.table)
            assert folder is not None
            self.segments.append(folder)
            _log.info("a segment is whole: %s", folder, extra={"file_only": True})
            while self.plan.keep is not None and len(self.segments) > self.plan.keep:
                shutil.rmtree(self.segments.pop(0))
            self._open()

    def _full(self, segment: _Segment, now: float) -> bool:
        if not segment.tally.packets:
            return False
        long = self.plan.rotate_s is not None and now - segment.began >= self.plan.rotate_s
        return long or (self.plan.rotate_bytes is not None and segment.size >= self.plan.rotate_bytes)

    def _about(self, segment: _Segment) -> dict[str, Any]:
        """What the source says, its losses counted from the start of the segment."""
        about = dict(self._source.about())
        for name, count in self._source.losses().items():
            before = self._lost_before.get(name) or 0
            about[name] = None if count is None else count - before
        return about | {"disk_drops": self._unwritten, "runs": segment.runs, "drop_share_limit": self.plan.drop_share}

    def _close(self, problems: list[str]) -> None:
        self._odd_before = self._oddities()
        segment, self._segment = self._segment, None
        if segment is not None:
            about = self._about(segment) | {"statistics": self.state}
            self.undecoded += sum(segment.decoder.undecoded.values())
            segment.close(about, [*segment.problems, *self._source.problems, *problems])
            self._lost_before = self._source.losses()

    def _oddities(self) -> dict[str, int]:
        """Of all segments: what the capture point, an adapter or the clock did to the packets."""
        tally = self._segment.tally if self._segment else Tally()
        now = {
            "duplicate_packets": tally.duplicates,
            "oversized_packets": tally.oversized,
            "backward_steps": tally.backward_steps,
        }
        return {name: count + self._odd_before.get(name, 0) for name, count in now.items()}

    def _note(self, now: float) -> None:
        """Bring `state` up to date."""
        whole = self._statistics.summary()
        span = max(now - self._last_state, 1e-3)
        mean = max(now - self._began, 1e-3)
        handshake = whole["handshake_latency"]
        self.state = {
            "elapsed_s": round(now - self._began, 1),
            "packets": self.packets,
            "wire_bytes": self.wire_bytes,
            "packets_per_s": round((self.packets - self._counted[0]) / span),
            "mbit_per_s": round((self.wire_bytes - self._counted[1]) * 8e-6 / span, 3),
            "mean_packets_per_s": round(self.packets / mean, 1),
            "mean_mbit_per_s": round(self.wire_bytes * 8e-6 / mean, 3),
            "protocols": {one["protocol"]: round(one["packet_share"], 4) for one in whole["protocols"][:8]},
            "ip_addresses": whole["distinct"]["ip_addresses"],
            "mac_addresses": whole["distinct"]["sending_hardware_addresses"],
            "talkers": {one["address"]: one["bytes_sent"] for one in whole["talkers"]["sources_by_bytes"][:5]},
            "handshakes": handshake["count"],
            "handshake_median_s": handshake["median_s"],
            "handshake_p95_s": handshake["p95_s"],
            **self._source.losses(),
            "disk_drops": self._unwritten,
            **self._oddities(),
            "csv_bytes": self._segment.csv_bytes if self._segment else 0,
            "pcap_bytes": self._segment.pcap_bytes if self._segment else 0,
        }
        self._last_state, self._counted = now, (self.packets, self.wire_bytes)
