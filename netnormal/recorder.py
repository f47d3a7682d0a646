"""A live capture's files: written to as packets come in, whole at every moment, moved away before the next capture."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from netnormal import packets, sinks, tables, traffic
from netnormal.frames import Frames, PcapWriter, whole_bytes
from netnormal.manifest import Tally
from netnormal.tables import InputError

KINDS = (".csv", ".pcap", ".json")
UNFINISHED = "the capture did not end by itself: it still runs, or was killed"
_MANIFEST_S = 10  # seconds between two states of the manifest while the capture runs
_WAITING = 4  # blocks that may wait to be written; then the kernel's buffer fills
_log = logging.getLogger("netnormal")


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


# ---------------------------------------------------------------- what lies there from before


def put_away(table: Path) -> tuple[Path | None, str]:
    """Move the files of an earlier capture to captures/<its start>/ beside them. Where to; what was found, in words.

    A capture that was killed is cut to its last complete records first.
    Raises InputError if another process writes there, or the files cannot be moved.
    """
    there = _existing(table)
    if not there:
        return None, ""
    manifest: Mapping[str, Any] = {}
    with contextlib.suppress(InputError):
        manifest = tables.read_json(table.with_suffix(".json"), "")
    try:
        _refuse_if_written(table)
        cut = _mended(table) if UNFINISHED in manifest.get("problems", []) else None
        folder = _folder(table, str(manifest.get("start") or ""))
        folder.mkdir(parents=True)
        for path in there:
            path.rename(folder / path.name)
    except OSError as error:
        raise InputError(
            table, f"the earlier capture cannot be moved ({error.strerror})", "move it yourself"
        ) from error
    if cut is None:
        return folder, f"the earlier capture is now in {folder}"
    return folder, f"the earlier capture did not end by itself; it is now in {folder}{cut}"


def spare_live_capture(table: Path, read: Path) -> None:
    """Put away a live capture that lies where the table of another file will be; it cannot be made again."""
    manifest: Mapping[str, Any] = {}
    with contextlib.suppress(InputError):
        manifest = tables.read_json(table.with_suffix(".json"), "")
    if manifest.get("format") == "live" and read.resolve() != table.with_suffix(".pcap").resolve():
        _log.info(put_away(table)[1])


def _refuse_if_written(table: Path) -> None:
    if os.name != "posix" or not table.exists():
        return
    import fcntl

    with table.open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(table, "another capture is writing it", "end that one, or name another --output") from None


def _mended(table: Path) -> str:
    """Cut CSV and pcap behind their last complete record; how much that was, in words."""
    cut = 0
    if table.exists():
        size = table.stat().st_size
        with table.open("r+b") as file:
            whole, at = 0, size
            while at and not whole:
                start = max(at - (1 << 16), 0)
                file.seek(start)
                whole = start + file.read(at - start).rfind(b"\n") + 1
                whole, at = (0, start) if whole == start else (whole, start)
            file.truncate(whole)
            cut += size - whole
    pcap = table.with_suffix(".pcap")
    if pcap.exists():
        size, whole = pcap.stat().st_size, whole_bytes(pcap)
        os.truncate(pcap, whole)
        cut += size - whole
    return f", without {cut:,} bytes of half written records" if cut else ", complete to its last record"


def _folder(table: Path, start: str) -> Path:
    if not start:
        start = datetime.fromtimestamp(min(p.stat().st_mtime for p in _existing(table)), UTC).isoformat()
    name = start[:19].replace(":", "-") + "Z"
    captures = table.parent / "captures"
    free = (captures / (name + (f"-{n}" if n > 1 else "")) for n in range(1, 10_000))
    return next(folder for folder in free if not folder.exists())


def _existing(table: Path) -> list[Path]:
    return [path for kind in KINDS if (path := table.with_suffix(kind)).exists()]


# ---------------------------------------------------------------- files of now


class _Segment:
    """The files of one capture, or of one part of a long one. What `append` has taken is in them."""

    def __init__(self, plan: Plan, name: str, link_type: int, snaplen: int, longest_frame: int | None) -> None:
        self.plan, self.tally, self.decoder = plan, Tally(longest_frame), packets.Decoder()
        self.began = time.monotonic()
        self.capture = sinks.Capture(name)
        self.sha256: str | None = None
        self._rows = io.BytesIO()
        self._writer = tables.Writer(self._rows, tables.PACKETS)
        self._broken = False
        try:
            plan.table.parent.mkdir(parents=True, exist_ok=True)
            self._table = plan.table.open("xb", buffering=0)
            _hold(self._table)
            self._pcap = PcapWriter(plan.beside(".pcap"), link_type, snaplen) if plan.pcap else None
            self._writer.append(tables.empty(tables.PACKETS))  # the header line
            self.csv_bytes = 0
            self._write_rows()
        except OSError as error:
            raise _cannot(plan.table, error) from error

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
        written: Future[None] = behind.submit(self._append_rows, rows)
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
        self.csv_bytes = os.fstat(self._table.fileno()).st_size
        self.tally.add(block)
        return rows

    def _append_rows(self, rows: Any) -> None:
        self._writer.append(rows)
        self._write_rows(count=False)

    def _write_rows(self, count: bool = True) -> None:
        left = self._rows.getbuffer()
        try:
            while left:
                left = left[self._table.write(left) or 0 :]
        finally:
            left.release()
            self._rows.seek(0)
            self._rows.truncate()
        if count:
            self.csv_bytes = os.fstat(self._table.fileno()).st_size

    def write_manifest(self, about: Mapping[str, Any], problems: list[str]) -> None:
        whole = self.tally.manifest(dict(about), self.decoder.undecoded, problems)
        tables.write_json(self.plan.beside(".json"), whole)

    def close(self, about: Mapping[str, Any], problems: list[str]) -> None:
        self._table.close()
        checksum: dict[str, str | None] = {}
        if self._pcap:
            self._pcap.close()
            self.sha256 = None if self._broken else self._pcap.sha256()
            checksum = {"sha256": self.sha256}
        self.write_manifest({**about, **checksum}, problems)


def _hold(file: io.FileIO) -> None:
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _cannot(path: Path, error: OSError) -> InputError:
    return InputError(path, f"cannot be written ({error.strerror})", "make room or choose another --output")


# ---------------------------------------------------------------- the recorder


class Recorder:
    """Writes what a live source passes on, in threads of its own, so that the source is emptied in the meantime.

    A context manager: its end finishes the files. `put` blocks of frames; `state` is what is known, once a second.
    base: a started database that gets the packets too.
    about: what the source says of itself and of its losses, asked from time to time.
    Raises InputError (from `put`, `finish` or the end) when the disk is full; what was written before is whole.
    """

    def __init__(self, plan: Plan, source: Any, base: sinks.Database | None = None) -> None:
        self.plan, self._source, self._base = plan, source, base
        self.packets = self.wire_bytes = 0
        self.start = self.end = 0
        self.undecoded = 0
        self.state: dict[str, Any] = {}
        self.segments: list[Path] = []
        self._statistics = traffic.TrafficStatistics()
        self._lost_before: dict[str, int | None] = {}
        self._segment = self._open()
        self._began = self._last_state = time.monotonic()
        self._last_manifest, self._state_cost = self._began, 0.0
        self._counted = (0, 0)
        self._queue: queue.Queue[Frames | None] = queue.Queue(_WAITING)
        self._failure: BaseException | None = None
        self._finished = False
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def _open(self) -> _Segment:
        source = self._source
        segment = _Segment(self.plan, source.name, source.link_types[0], source.snaplen, source.longest_frame)
        segment.write_manifest(self._about(), [UNFINISHED])
        return segment

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def put(self, block: Frames) -> None:
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
            try:
                self._note(time.monotonic())
                self._close([str(self._failure)] if self._failure else [])
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
                        self._statistics.add(self._append(block, behind))
                    self._tick()
        except BaseException as error:
            self._failure = error

    def _append(self, block: Frames, behind: ThreadPoolExecutor) -> Any:
        rows = self._segment.append(block, behind)
        if self._base:
            self._base.packets(rows, self._segment.capture)
        low, high = int(block.time.min()), int(block.time.max())
        self.start = min(self.start, low) if self.packets else low
        self.end = max(self.end, high) if self.packets else high
        self.packets += len(block)
        self.wire_bytes += int(block.length.sum())
        return rows

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._last_state >= max(1.0, 20 * self._state_cost):
            self._note(now)
            self._state_cost = time.monotonic() - now
        if now - self._last_manifest >= _MANIFEST_S:
            self._last_manifest = now
            self._segment.write_manifest(self._about(), [UNFINISHED])
        if self._full(now):
            self._close([])
            folder, _ = put_away(self.plan.table)
            assert folder is not None
            self.segments.append(folder)
            _log.info("a segment is whole: %s", folder, extra={"file_only": True})
            while self.plan.keep is not None and len(self.segments) > self.plan.keep:
                shutil.rmtree(self.segments.pop(0))
            self._segment = self._open()

    def _full(self, now: float) -> bool:
        plan, segment = self.plan, self._segment
        if not segment.tally.packets:
            return False
        long = plan.rotate_s is not None and now - segment.began >= plan.rotate_s
        return long or (plan.rotate_bytes is not None and segment.size >= plan.rotate_bytes)

    def _about(self) -> dict[str, Any]:
        """What the source says, its losses counted from the start of the segment."""
        about = dict(self._source.about())
        for name, count in self._source.losses().items():
            before = self._lost_before.get(name) or 0
            about[name] = None if count is None else count - before
        return about | {"drop_share_limit": self.plan.drop_share}

    def _close(self, problems: list[str]) -> None:
        about = self._about()
        self.undecoded += sum(self._segment.decoder.undecoded.values())
        self._segment.close(about | {"statistics": self.state}, [*self._source.problems, *problems])
        if self._base:
            self._base.ended(self._segment.capture, self._segment.sha256)
        self._lost_before = self._source.losses()

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
            "csv_bytes": self._segment.csv_bytes,
            "pcap_bytes": self._segment.pcap_bytes,
        }
        self._last_state, self._counted = now, (self.packets, self.wire_bytes)
