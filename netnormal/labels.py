"""What packets really are, in whatever form somebody says it: tables by packet, interval or flow, Zeek, Suricata.

Zeek's conn.log says it in a column `label` or `detailed-label`, as labelled sets add it (IoT-23 and others), as TSV or
JSON. Suricata's eve.json says what Suricata calls an attack, which is another opinion and no truth.
"""

from __future__ import annotations

import contextlib
import gzip
import ipaddress
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netnormal import tables
from netnormal.plain import plain
from netnormal.tables import FLOW_LABELS, INTERVAL_LABELS, PACKET_LABELS, InputError

BENIGN = "benign"
#: What labelled sets call traffic without an attack.
HARMLESS = {"benign", "normal", "background", "legitimate", "-", "(empty)", ""}
NAMES = ("label", "detailed-label", "detailed_label")
MOST_LETTERS = 1 << 20  # of a line
_SECOND = 1_000_000_000
_FORM = "give labels by packet, interval or flow, Zeek's conn.log with a column `label`, or Suricata's eve.json"
Row = tuple[int, int, str, str, int, str, int, str]  # as FLOW_LABELS


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """A table of tables.PACKET_LABELS, INTERVAL_LABELS or FLOW_LABELS, whatever the file has; gzipped or not.

    Flows that are labelled harmless are in it as `benign`. Raises InputError, with the line, if the file is none of
    these or says nothing of any flow.
    """
    path = Path(path)
    reader = _reader(path)
    if reader is None:
        return tables.read(path, tables.identify(path, [FLOW_LABELS, PACKET_LABELS, INTERVAL_LABELS]))
    rows: list[Row] = list(reader(path))
    if not rows:
        raise InputError(path, "has no labelled flow", _FORM)
    columns: dict[str, Any] = dict(zip(FLOW_LABELS.names, zip(*rows, strict=True), strict=True))
    for column in FLOW_LABELS:
        values = list(columns[column.name])
        text = column.kind == "text"
        columns[column.name] = pd.Categorical(pd.array(values, dtype="str")) if text else np.array(values, np.int64)
    return pd.DataFrame(columns)


def _reader(path: Path) -> Callable[[Path], Iterator[Row]] | None:
    """What reads a file of another tool; None for a table."""
    first = next((text for _, text in _lines(path) if text.strip()), "")
    if first.startswith(("#separator", "#fields")):
        return _zeek_table
    if not first.startswith("{"):
        return None
    return _suricata if "event_type" in _object(path, 1, first) else _zeek_json


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if packed else contextlib.nullcontext(raw) as stream:
                number = 0
                while line := stream.readline(MOST_LETTERS):
                    number += 1
                    if len(line) == MOST_LETTERS:
                        raise InputError(f"{path}:{number}", "is a line without end", _FORM)
                    yield number, line.decode("utf-8", "replace").rstrip("\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"is damaged gzip ({error})", "get it again") from error
    except FileNotFoundError:
        raise InputError(path, "does not exist", "name another file with --labels") from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "name another file with --labels") from error


# ---------------------------------------------------------------- Zeek


def _zeek_table(path: Path) -> Iterator[Row]:
    separator, names, unset = "\t", [], {"-", "(empty)"}
    for number, line in _lines(path):
        if line.startswith("#separator "):
            separator = line.split(" ", 1)[1].encode().decode("unicode_escape", "replace") or "\t"
        elif line.startswith("#fields"):
            names = _cells(line, separator)[1:]
            _refuse_unlabelled(path, names)
        elif line and not line.startswith("#"):
            cells = _cells(line, separator)
            if len(cells) != len(names):
                raise InputError(f"{path}:{number}", f"has {len(cells)} cells, not {len(names)}", "get the file again")
            known = {name: cell for name, cell in zip(names, cells, strict=True) if cell not in unset}
            yield from _zeek(known, f"{path}:{number}")


def _cells(line: str, separator: str) -> list[str]:
    """IoT-23 puts the labels behind the last cell, apart by blanks."""
    cells = line.split(separator)
    return cells[:-1] + re.split(r" {2,}", cells[-1].strip())


def _refuse_unlabelled(path: Path, names: Iterable[str]) -> None:
    if not set(NAMES) & set(names):
        raise InputError(path, "has no column label or detailed-label", "name a conn.log that somebody labelled")


def _zeek_json(path: Path) -> Iterator[Row]:
    labelled = False
    for number, line in _lines(path):
        if line.strip():
            one = _object(path, number, line)
            ends = one.pop("id", None)
            one |= {f"id.{name}": value for name, value in ends.items()} if isinstance(ends, dict) else {}
            labelled |= bool(set(NAMES) & set(one))
            yield from _zeek(one, f"{path}:{number}")
    if not labelled:
        _refuse_unlabelled(path, [])


def _zeek(one: dict[str, Any], where: str) -> Iterator[Row]:
    """A connection. The detailed label is the attack's name where there is one."""
    kinds = [str(one[name]).strip() for name in NAMES if name in one]
    if not kinds:
        return
    attack = next((kind for kind in reversed(kinds) if kind.lower() not in HARMLESS), BENIGN)
    attack = BENIGN if kinds[0].lower() in HARMLESS and "label" in one else attack
    try:
        start = _moment(str(one["ts"]))
        lasts = _nanoseconds(str(one.get("duration", "0")))
        ends = [(str(one[f"id.{side}_h"]), int(one.get(f"id.{side}_p", -1))) for side in ("orig", "resp")]
        yield _row(start, start + lasts, str(one["proto"]), *ends[0], *ends[1], attack)
    except (KeyError, ValueError) as error:
        raise InputError(where, f"is no connection of a conn.log ({plain(error, 80)})", "get the file again") from error


# ---------------------------------------------------------------- Suricata


def _suricata(path: Path) -> Iterator[Row]:
    """Each flow with an alert, named by its most severe one, from the flow's start to its end, if eve.json has it."""
    ends: dict[str, int] = {}
    alerts: dict[str, tuple[int, Row]] = {}  # by flow: severity, 1 is the worst
    for number, line in _lines(path):
        one = _object(path, number, line) if line.strip() else {}
        try:
            flow = str(one.get("flow_id", f"line {number}"))
            if one.get("event_type") == "flow":
                ends[flow] = _moment(str(one["flow"]["end"]))
            elif one.get("event_type") == "alert" and "src_ip" in one:
                seen = _moment(str(one["timestamp"]))
                start = min(_moment(str(one.get("flow", {}).get("start", one["timestamp"]))), seen)
                name, severity = plain(one["alert"]["signature"], 200), int(one["alert"].get("severity", 3))
                sides = [(str(one[f"{side}_ip"]), int(one.get(f"{side}_port", -1))) for side in ("src", "dest")]
                row = _row(start, seen, str(one["proto"]), *sides[0], *sides[1], name)
                worst, known = alerts.get(flow, (severity, row))
                best = row if severity < worst else known
                whole = (min(known[0], start), max(known[1], seen))
                alerts[flow] = min(worst, severity), (*whole, *best[2:])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path}:{number}", f"is no event of eve.json ({plain(error, 80)})", _FORM) from error
    for flow, (_, row) in alerts.items():
        yield (row[0], max(row[1], ends.get(flow, row[1])), *row[2:])


# ---------------------------------------------------------------- what they share


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    """A line of JSON; numbers stay as they are written."""
    try:
        found = json.loads(line, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number}", f"is no JSON ({plain(error, 80)})", _FORM) from error
    if not isinstance(found, dict):
        raise InputError(f"{path}:{number}", "is no JSON object", _FORM)
    return found


def _row(
    start: int, end: int, protocol: str, source: str, src_port: int, destination: str, dst_port: int, label: str
) -> Row:
    """Raises ValueError if an address or a port is none. What stands for ports of ICMP are its type and code."""
    words = {"ICMP": "ICMP", "ICMPV6": "ICMP", "ICMP6": "ICMP", "IPV6-ICMP": "ICMP"}
    protocol = words.get(protocol.upper(), protocol.upper())
    ports = (-1, -1) if protocol == "ICMP" else (src_port, dst_port)
    if not all(-1 <= port <= 65535 for port in ports):
        raise ValueError(f"port {src_port} or {dst_port}")
    ends = [str(ipaddress.ip_address(name)) for name in (source, destination)]
    return start, end, protocol, ends[0], ports[0], ends[1], ports[1], plain(label, 200) or BENIGN


def _moment(text: str) -> int:
    """Seconds since 1970, or ISO 8601 with or without a zone (UTC), as ns. Raises ValueError."""
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return _nanoseconds(text)
    zone = re.search(r"([+-])([0-9]{2}):?([0-9]{2})$", text)
    bare = text[: zone.start()] if zone else text
    offset = (int(zone[2]) * 60 + int(zone[3])) * 60 * _SECOND * (-1 if zone[1] == "-" else 1) if zone else 0
    return tables.nanoseconds(bare) - offset


def _nanoseconds(text: str) -> int:
    """Seconds with decimals as ns, exactly. Raises ValueError."""
    whole, _, part = text.partition(".")
    if not re.fullmatch(r"[0-9]{1,10}", whole) or not re.fullmatch(r"[0-9]*", part):
        raise ValueError(f"{text!r} is no time")
    return int(whole) * _SECOND + int(part.ljust(9, "0")[:9])
