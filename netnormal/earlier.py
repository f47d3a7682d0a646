"""The files of a live capture that lie there from before: moved away, mended after a kill, or continued."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from netnormal import tables
from netnormal.frames import open_capture, whole_bytes
from netnormal.manifest import Tally, link_type_name
from netnormal.tables import InputError

KINDS = (".csv", ".pcap", ".json")
UNFINISHED = "the capture did not end by itself: it still runs, or was killed"
_ANEW = "leave out --append: the earlier capture is then moved away, not lost"
_log = logging.getLogger("netnormal")


def put_away(table: Path) -> tuple[Path | None, str]:
    """Move the files of an earlier capture to captures/<its start>/ beside them. Where to; what was found, in words.

    A capture that was killed is cut to its last complete records first.
    Raises InputError if another process writes there, or the files cannot be moved.
    """
    there = _existing(table)
    if not there:
        return None, ""
    manifest = _manifest(table)
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
    if _manifest(table).get("format") == "live" and read.resolve() != table.with_suffix(".pcap").resolve():
        _log.info(put_away(table)[1])


def hold(file: IO[bytes]) -> None:
    """Whoever looks can see that `file` is being written, until it is closed."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _manifest(table: Path) -> dict[str, Any]:
    with contextlib.suppress(InputError):
        return tables.read_json(table.with_suffix(".json"), "")
    return {}


def _refuse_if_written(table: Path) -> None:
    if not table.exists():
        return
    with table.open("rb") as held:
        try:
            hold(held)
        except BlockingIOError:
            raise InputError(table, "another capture is writing it", "end that one, or name another --output") from None


def _mended(table: Path) -> str:
    """Cut CSV and pcap behind their last complete record; how much that was, in words."""
    cut = 0
    if table.exists():
        size, whole = table.stat().st_size, _last_line(table)[0]
        os.truncate(table, whole)
        cut += size - whole
    pcap = table.with_suffix(".pcap")
    if pcap.exists():
        size, whole = pcap.stat().st_size, whole_bytes(pcap)
        os.truncate(pcap, whole)
        cut += size - whole
    return f", without {cut:,} bytes of half written records" if cut else ", complete to its last record"


def _last_line(table: Path) -> tuple[int, bytes]:
    """Where the last complete line ends, and the line; (0, b"") if there is none."""
    with table.open("rb") as file:
        at, tail = file.seek(0, os.SEEK_END), b""
        while at and tail.count(b"\n") < 2:
            start = max(at - (1 << 16), 0)
            file.seek(start)
            tail, at = file.read(at - start) + tail, start
    lines = tail[: tail.rfind(b"\n") + 1].splitlines(keepends=True)
    return at + sum(map(len, lines)), lines[-1] if lines else b""


def _folder(table: Path, start: str) -> Path:
    if not start:
        start = datetime.fromtimestamp(min(p.stat().st_mtime for p in _existing(table)), UTC).isoformat()
    name = start[:19].replace(":", "-") + "Z"
    captures = table.parent / "captures"
    free = (captures / (name + (f"-{n}" if n > 1 else "")) for n in range(1, 10_000))
    return next(folder for folder in free if not folder.exists())


def _existing(table: Path) -> list[Path]:
    return [path for kind in KINDS if (path := table.with_suffix(kind)).exists()]


# ---------------------------------------------------------------- going on


@dataclass
class Earlier:
    """A capture that is continued: its manifest, its counts, and what is to be said."""

    manifest: Mapping[str, Any]
    tally: Tally
    undecoded: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    said: str = ""


def continued(table: Path, pcap: bool, about: Mapping[str, Any], longest_frame: int | None) -> Earlier | None:
    """The earlier capture in `table`, made ready to be appended to; None if there is none.

    about: the source's, which must be alike (link type, snap length, anonymized or not). After a kill CSV and pcap are
    cut to the packets that both have. Raises InputError if it cannot be continued; then nothing was changed.
    """
    if not _existing(table):
        return None
    manifest = _manifest(table)
    if manifest.get("format") != "live" or not table.exists():
        raise InputError(table, "is no live capture that could be continued", _ANEW)
    _refuse_if_written(table)
    _refuse_if_different(table, pcap, about, manifest)
    if UNFINISHED in manifest.get("problems", []):
        return _after_a_kill(table, pcap, manifest, longest_frame)
    rows = _packets(table)
    if rows != manifest.get("packets"):
        raise InputError(table, f"has {rows:,} packets, its manifest tells of others", _ANEW)
    tally = Tally.of_manifest(manifest, longest_frame)
    undecoded = Counter({str(why): int(count) for why, count in manifest["undecoded_by_reason"].items()})
    return Earlier(manifest, tally, undecoded, list(manifest["problems"]), f"continues after packet {rows:,}")


def _refuse_if_different(table: Path, pcap: bool, about: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    path = table.with_suffix(".pcap")
    if path.exists() != pcap:
        raise InputError(table, f"was written with{'' if path.exists() else 'out'} a pcap, this capture is not", _ANEW)
    for name in ("link_types", "snap_length", "anonymized"):
        if manifest.get(name) != about.get(name):
            here, now = _words(manifest.get(name)), _words(about.get(name))
            raise InputError(table, f"has {name.replace('_', ' ')} {here}, this capture {now}", _ANEW)


def _words(value: Any) -> str:
    return ", ".join(map(link_type_name, value)) if isinstance(value, list) else str(value)


def _packets(table: Path) -> int:
    """Rows of the CSV, by the number of the last."""
    number = _last_line(table)[1].split(b",")[0]
    return int(number) if number.isdigit() else 0


def _after_a_kill(table: Path, pcap: bool, manifest: Mapping[str, Any], longest_frame: int | None) -> Earlier:
    said = _mended(table)
    tally, undecoded, rows = Tally(longest_frame, not manifest.get("anonymized")), Counter[str](), _packets(table)
    if pcap:
        end, left = 24, rows
        with contextlib.suppress(InputError), open_capture(table.with_suffix(".pcap")) as source:  # without a packet
            for frames in source:
                block = frames.select(slice(0, left))
                tally.add(block)
                left -= len(block)
                end += 16 * len(block) + int(block.captured.sum())
        if table.with_suffix(".pcap").stat().st_size > end:
            os.truncate(table.with_suffix(".pcap"), end)
        rows = tally.packets
        _cut_rows(table, rows)
    for part in tables.blocks(table, tables.PACKETS) if rows else ():
        undecoded.update(map(str, part["undecoded"].dropna()))
        if not pcap:
            tally.add_rows(part)
    problems = [text for text in manifest["problems"] if text != UNFINISHED]
    problems.append(f"the capture was killed after packet {rows:,} and continued later")
    return Earlier(
        manifest, tally, undecoded, problems, f"continues a capture that was killed after packet {rows:,}{said}"
    )


def _cut_rows(table: Path, rows: int) -> None:
    """Keep the header and the first `rows` lines."""
    if _packets(table) <= rows:
        return
    end = 0
    with table.open("rb") as file:
        for line in range(rows + 1):
            text = file.readline()
            assert text.endswith(b"\n"), f"line {line} of {table} is not whole"
            end += len(text)
    os.truncate(table, end)
