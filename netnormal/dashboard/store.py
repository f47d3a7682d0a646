"""A capture as columns on disk: packets, who talked to whom each second, handshakes, and which MAC has which address.

A part holds up to PART_ROWS packets. What the dashboard asks is answered part by part, so memory is bounded by a part
and by the answer, not by the capture. A growing CSV is read from where the last reading ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from netnormal import flows, frames, inputs, tables

PART_ROWS = 250_000
SECOND = 1_000_000_000
KEPT_CAPTURES = 6  # caches of captures looked at before; those longest unused are removed
_READ_BYTES = 24 << 20  # of a CSV at one go
_FIRST_BYTES = 4 << 20  # the first time, so that there is soon something to see
_VERSION = 2  # of the files in the cache
_PROBE = 4096  # bytes at the start and before the end of what was read: are they still the same?

#: columns of tables.PACKETS that are kept
COLUMNS = [
    "packet",
    "time",
    "length",
    "src_mac",
    "dst_mac",
    "src_ip",
    "dst_ip",
    "protocol",
    "src_port",
    "dst_port",
    "tcp_flags",
    "payload",
    "icmp_type",
    "arp_operation",
    "dns_query",
    "server_name",
]
KINDS = ("packets", "talk", "handshakes", "bindings")


@dataclass(frozen=True)
class Part:
    """Up to PART_ROWS packets. first, last: packet numbers; start, end: times [ns]."""

    number: int
    rows: int
    first: int
    last: int
    start: int
    end: int


def cache_home() -> Path:
    """Where caches go unless the user names another folder: the system's place for what can be made again."""
    known = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return Path(known) / "netnormal" if known else Path.home() / ".cache" / "netnormal"


class Store:
    """The packets of `capture` (packet CSV, pcap, pcapng, or a folder of them), kept below `home`.

    `update` brings it up to date, `follow` does so in a thread; `parts` are those that are complete so far, and
    `written` counts them and what was thrown away. The capture itself is only read.
    """

    def __init__(self, capture: Path, home: Path) -> None:
        self.capture = capture
        name = hashlib.sha256(str(capture.resolve()).encode()).hexdigest()[:16]
        self.folder = home / name
        self.parts: list[Part] = []
        self.written = 0
        self.failure: tables.InputError | None = None  # of the last reading
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._beginning = threading.Lock()
        self._shown = threading.Event()  # there are packets to see, or there is nothing more to come

    @property
    def version(self) -> tuple[object, ...]:
        """Another one whenever `parts` or what is in them has changed."""
        return self.written, *self.parts

    @property
    def packets(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def start(self) -> int:
        return min((part.start for part in self.parts), default=0)

    @property
    def end(self) -> int:
        return max((part.end for part in self.parts), default=0)

    def table(self, part: Part, kind: str, columns: list[str] | None = None) -> pa.Table:
        """One of KINDS of a part, or some of its columns."""
        try:
            return pq.read_table(self._path(part.number, kind), columns=columns, memory_map=True)
        except FileNotFoundError:
            raise tables.InputError(self.capture, "was replaced just now", "this page will come anew") from None

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:05d}.{kind}.parquet"

    # ------------------------------------------------------------ bringing it up to date

    def update(self) -> bool:
        """Read what is new in the capture; True if there was anything. Raises InputError if it cannot be read."""
        with self._lock, self._held():
            before = self.written
            state = self._state()
            if frames.is_capture(self.capture) or self.capture.is_dir():
                state = self._whole(state)
            else:
                state = self._grown(state)
            self._publish(state)
            return self.written != before

    def follow(self, patience_s: float) -> None:
        """Update in a thread, and wait for it, or for the first packets, no longer than `patience_s`.

        How it failed is in `failure`.
        """
        with self._beginning:
            if self.reading:
                return
            known = bool(self.parts)
            self._shown.clear()
            self._thread = threading.Thread(target=self._update_quietly, daemon=True)
            self._thread.start()
        if known:
            self._thread.join(patience_s)
        else:
            self._shown.wait(patience_s)

    @property
    def reading(self) -> bool:
        """Whether there is more to come from a thread that `follow` began."""
        return self._thread is not None and self._thread.is_alive()

    def _update_quietly(self) -> None:
        try:
            self.update()
            self.failure = None
        except tables.InputError as error:
            self.failure = error
        finally:
            self._shown.set()

    def _publish(self, state: dict[str, Any]) -> None:
        """Let readers see the parts that are complete."""
        self.parts = [Part(**part) for part in state["parts"]]

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """One process at a time writes to the cache."""
        try:
            if not self.folder.exists():
                self.folder.mkdir(parents=True, mode=0o700)
                _forget_oldest(self.folder)
            held = (self.folder / "lock").open("w")
        except OSError as error:
            raise tables.InputError(
                self.folder, f"cannot be written ({error.strerror})", "name another folder with --cache"
            ) from error
        with held:
            if os.name == "posix":
                import fcntl

                fcntl.flock(held, fcntl.LOCK_EX)
            os.utime(self.folder)
            yield

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.folder / "state.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        whole = isinstance(state, dict) and state.get("version") == _VERSION and isinstance(state.get("parts"), list)
        return state if whole else {}

    def _save(self, state: dict[str, Any]) -> None:
        tables.write_json(self.folder / "state.json", state)

    def _emptied(self) -> dict[str, Any]:
        self.parts = []
        self.written += 1
        for old in self.folder.glob("*.parquet"):
            old.unlink()
        return {"version": _VERSION, "parts": [], "offset": 0}

    def _whole(self, state: dict[str, Any]) -> dict[str, Any]:
        """A capture file, or a folder: read as a whole when it is not the one that was read."""
        identity = _identity(self.capture)
        if state.get("identity") == identity:
            return state
        state = self._emptied()
        self._append(state, (block[COLUMNS] for block in inputs.packet_blocks(self.capture)))
        state["identity"] = identity
        self._save(state)
        return state

    def _grown(self, state: dict[str, Any]) -> dict[str, Any]:
        """A packet CSV, of which new lines are read."""
        try:
            with self.capture.open("rb") as file:
                status = os.fstat(file.fileno())
                if not self._continues(state, file, status):
                    state = self._emptied() | {"identity": [status.st_dev, status.st_ino]}
                    header = file.readline(1 << 16)
                    if not header.endswith(b"\n"):
                        raise tables.InputError(self.capture, "has no header line yet", "wait, or capture again")
                    state |= {"header": header.decode("utf-8", "replace"), "offset": len(header)}
                    state["head"] = _digest(header)
                self._read_lines(state, file, status.st_size)
        except OSError as error:
            remedy = "make it with  python capture.py"
            raise tables.InputError(self.capture, f"cannot be read ({error.strerror})", remedy) from error
        return state

    def _continues(self, state: dict[str, Any], file: Any, status: os.stat_result) -> bool:
        """Whether the file is the one that was read so far, perhaps with more at its end."""
        if state.get("identity") != [status.st_dev, status.st_ino] or status.st_size < state.get("offset", 0):
            return False
        same = _digest(file.readline(1 << 16)) == state.get("head")
        file.seek(max(state["offset"] - _PROBE, 0))
        return same and _digest(file.read(min(state["offset"], _PROBE))) == state.get("tail")

    def _read_lines(self, state: dict[str, Any], file: Any, size: int) -> None:
        before = state["offset"] if state["parts"] else 0
        self._append(state, self._blocks(state, file, size))
        if state["offset"] != before:
            file.seek(max(state["offset"] - _PROBE, 0))
            state["tail"] = _digest(file.read(min(state["offset"], _PROBE)))
            self._save(state)

    def _blocks(self, state: dict[str, Any], file: Any, size: int) -> Iterator[pd.DataFrame]:
        """The lines up to `size` that are whole; `state` knows where the next one begins."""
        while state["offset"] < size:
            file.seek(state["offset"])
            most = _READ_BYTES if state["parts"] else _FIRST_BYTES
            data = file.read(min(most, size - state["offset"]))
            data = data[: data.rfind(b"\n") + 1]
            if not data:
                return
            rows = tables.parse(data, state["header"], tables.PACKETS, self.capture)[COLUMNS]
            state["offset"] += len(data)
            yield rows

    def _append(self, state: dict[str, Any], blocks: Iterable[pd.DataFrame]) -> None:
        """Write packets after those that are there, the last part first; the very first are there to see at once."""
        waiting = self._last_part(state)
        number = len(state["parts"]) - bool(waiting)
        written = sum(map(len, waiting))  # of part `number`
        for block in blocks:
            waiting.append(block)
            while sum(map(len, waiting)) >= PART_ROWS:
                rows = tables.concat(waiting)
                self._write(state, number, rows.iloc[:PART_ROWS])
                waiting, number, written = [rows.iloc[PART_ROWS:]], number + 1, 0
            if not state["parts"] and sum(map(len, waiting)) > 0:
                self._write(state, number, tables.concat(waiting))
                written = sum(map(len, waiting))
        if sum(map(len, waiting)) > written:
            self._write(state, number, tables.concat(waiting))

    def _last_part(self, state: dict[str, Any]) -> list[pd.DataFrame]:
        """The packets of the last part if it is not full: new ones are added to it."""
        if not state["parts"] or state["parts"][-1]["rows"] >= PART_ROWS:
            return []
        table = pq.read_table(self._path(len(state["parts"]) - 1, "packets"), columns=COLUMNS)
        return [frame_of(table.slice(0, state["parts"][-1]["rows"]))]  # it may hold what a killed process added

    def _write(self, state: dict[str, Any], number: int, rows: pd.DataFrame) -> None:
        """Part `number`, new or again with more packets."""
        rows = rows.reset_index(drop=True)
        for kind, table in zip(KINDS, _digested(rows), strict=True):
            with tables.atomic(self._path(number, kind)) as temporary:
                pq.write_table(table, temporary, compression="zstd", compression_level=1)
        part = Part(
            number,
            len(rows),
            int(rows["packet"].iloc[0]),
            int(rows["packet"].iloc[-1]),
            int(rows["time"].min()),
            int(rows["time"].max()),
        )
        state["parts"][number:] = [asdict(part)]
        self.written += 1
        self._publish(state)
        self._shown.set()


def frame_of(table: pa.Table) -> pd.DataFrame:
    """A table of a part in the form that tables.PACKETS has in memory."""
    made = {}
    for name in table.column_names:
        cells = table.column(name)
        if pa.types.is_dictionary(cells.type):
            cells = cells.unify_dictionaries().combine_chunks()
            codes = cells.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            made[name] = pd.Categorical.from_codes(codes, pd.Index(cells.dictionary.to_pylist(), dtype="str"))
        else:
            made[name] = cells.to_numpy()
    return pd.DataFrame(made, copy=False)


def _digested(rows: pd.DataFrame) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Packets in order of capture → the tables of a part, in the order of KINDS.

    packets    : COLUMNS, and of each packet its flow's service.
    talk       : second [ns], source (who asked), destination, service, protocol; packets and bytes, out and in; failed
                 (flows that began in this second and were refused or never answered).
    handshakes : time [ns], client, server, service, latency_s.
    bindings   : mac, ip, first, last [ns], packets; by who sent.
    """
    order = np.argsort(rows["time"].to_numpy(), kind="stable")
    timely = rows.iloc[order].reset_index(drop=True)
    flow_table, flow_of_packet, outward = flows.directed_flows(timely)
    keys, row_of_flow = flows.conversations(flow_table)
    conversation = row_of_flow[flow_of_packet]
    second = timely["time"].to_numpy() // SECOND * SECOND
    length = timely["length"].to_numpy()
    talk = pd.DataFrame(
        {
            "second": second,
            "conversation": conversation,
            "packets_out": outward,
            "packets_in": 1 - outward,
            "bytes_out": length * outward,
            "bytes_in": length * (1 - outward),
        }
    )
    talk = talk.groupby(["second", "conversation"], as_index=False, sort=True).sum()
    failed = flow_table["outcome"].isin([flows.REFUSED, flows.UNANSWERED]) | (flow_table["half_open"] == 1)
    lost = pd.DataFrame(
        {"second": flow_table["first_packet"] // SECOND * SECOND, "conversation": row_of_flow, "failed": failed * 1}
    )
    talk = talk.merge(lost.groupby(["second", "conversation"], as_index=False).sum(), how="left").fillna({"failed": 0})
    talk["failed"] = talk["failed"].astype(np.int64)
    at = talk.pop("conversation").to_numpy()
    for name in ("source", "destination", "service"):
        talk.insert(1, name, keys[name].array.take(at))
    talk["protocol"] = _first_part(talk["service"].array)

    shaken = flow_table[flow_table["handshake_s"].notna()]
    handshakes = shaken[["first_packet", "source", "destination", "service", "handshake_s"]].rename(
        columns={"first_packet": "time", "source": "client", "destination": "server", "handshake_s": "latency_s"}
    )
    bound = pd.DataFrame({"mac": rows["src_mac"], "ip": rows["src_ip"], "first": rows["time"], "last": rows["time"]})
    bound = bound.dropna(subset=["mac", "ip"]).assign(packets=1)
    sums = {"first": "min", "last": "max", "packets": "sum"}
    bound = bound.groupby(["mac", "ip"], observed=True, as_index=False).agg(sums)

    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    service = flow_table["service"].array.take(flow_of_packet[back])
    packets = rows[COLUMNS].assign(service=service)
    return _arrow(packets), _arrow(talk), _arrow(handshakes), _arrow(bound)


def _first_part(services: pd.Categorical) -> pd.Categorical:
    words = pd.Index([str(word).split("/")[0] for word in services.categories], dtype="str")
    codes, names = pd.factorize(words)
    return pd.Categorical.from_codes(np.append(codes, -1)[services.codes], names)


def _arrow(frame: pd.DataFrame) -> pa.Table:
    columns = {}
    for name in frame.columns:
        values = frame[name].array
        if isinstance(values, pd.Categorical):
            used = values.remove_unused_categories()
            codes = pa.array(used.codes.astype(np.int32), mask=used.codes < 0)
            words = pa.array(used.categories.astype(object), pa.string())
            columns[name] = pa.DictionaryArray.from_arrays(codes, words)
        elif frame[name].dtype.kind in "if":
            columns[name] = pa.array(frame[name].to_numpy())
        else:
            columns[name] = pa.array(frame[name].astype(object), pa.string()).dictionary_encode()
    return pa.table(columns)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _identity(path: Path) -> list[Any]:
    """What a file, or the files of a folder, look like from outside."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    seen = []
    for file in files:
        status = file.stat()
        if file.is_file():
            seen.append([file.name, status.st_size, status.st_mtime_ns])
    return seen


def _forget_oldest(newest: Path) -> None:
    others = [folder for folder in newest.parent.iterdir() if (folder / "state.json").exists() and folder != newest]
    for folder in sorted(others, key=lambda one: one.stat().st_mtime, reverse=True)[KEPT_CAPTURES - 1 :]:
        shutil.rmtree(folder)
